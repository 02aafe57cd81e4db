"""Ours and its peers on the cuts of one log."""

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from threadpoolctl import threadpool_limits

from lib.core.half_lives import half_life_at
from lib.settings import Settings
from local.evaluation.cuts import MAX_USERS, cut_log
from local.evaluation.data import Cut, Ranking, UnusableDataError
from local.evaluation.from_database import Log
from local.evaluation.metrics import Judged, Truth, judge
from local.evaluation.peers import rank_als, rank_item_knn, rank_popular
from local.evaluation.production import position_at_cut, rank_cut

OURS = "ours"
POPULAR = "popularity"
ALS_REGULARIZATIONS = (1.0, 10.0)


@dataclass(frozen=True)
class Comparison:
    """The lists as they were judged, one entry a cut, and what they were judged on."""

    lists: Mapping[str, list[Judged]]
    half_life_hours: float  # of popularity, at the last cut
    actions: int
    users_scored: int
    notes: list[str]


def compare(log: Log, settings: Settings) -> Comparison:
    """UnusableDataError where there is nobody to score at any cut."""
    lists: dict[str, list[Judged]] = {}
    notes = []
    users_scored, half_life_hours = 0, math.inf
    for cut, truth in cut_log(log):
        notes.append(_note(cut, truth))
        print(f"cut {cut.name}: {len(cut.times):,} actions, {len(truth.read):,} users", file=sys.stderr, flush=True)
        users_scored += len(truth.read)
        half_life_hours = half_life_at(position_at_cut(cut, settings))
        for name, rank in _methods(log, settings).items():
            lists.setdefault(name, []).append(_judge(name, rank, cut, truth))
    if not lists:
        raise UnusableDataError(
            "Too little data to tell: after no cut did anybody like something known for the first time."
        )
    if len(log.times) == settings.model_max_actions:
        notes.append(f"Only the latest {len(log.times):,} actions count (MODEL_MAX_ACTIONS).")
    return Comparison(lists, half_life_hours, len(log.times), users_scored, notes)


def _methods(log: Log, settings: Settings) -> dict[str, Callable[[Cut], Iterable[Ranking]]]:
    return {
        OURS: lambda cut: rank_cut(cut, log.content, alone=False, settings=settings),
        POPULAR: lambda cut: rank_popular(cut, settings),
        "item-kNN": rank_item_knn,
        **{f"ALS, λ = {strength:g}": partial(rank_als, regularization=strength) for strength in ALS_REGULARIZATIONS},
    }


def _judge(name: str, rank: Callable[[Cut], Iterable[Ranking]], cut: Cut, truth: Truth) -> Judged:
    started = time.monotonic()
    # One user at a time is too little work for threads of BLAS: with two of them it takes up to four times as long.
    with threadpool_limits(limits=1, user_api="blas"):
        judged = judge(truth, rank(cut))
    print(f"  {name}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    return judged


def _note(cut: Cut, truth: Truth) -> str:
    scored = f"{'a sample of ' if len(truth.read) == MAX_USERS else ''}{len(truth.read):,} users"
    return (
        f"Cut {cut.name}: {len(cut.times):,} actions before {_day(cut.now)}, {len(cut.candidates):,} candidates; "
        f"{scored} scored on what they liked until {_day(cut.end)}."
    )


def _day(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"
