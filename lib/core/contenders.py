"""Which contents can be candidates for everybody, so that a read need not look at all of them.

Decay is uniform: what nobody acts on keeps its place among the others that nobody acts on, however much time passes. So
some more than are needed are chosen now and then out of everything (contenders), with the last place of each ranking as
its bound. What gains and reaches a bound is added when it gains, and what is met for the first time. While enough of
the contenders stand at or above a bound, nothing else can be among the best of that ranking. A pool is what a read may
ask for (pools.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.pools import ALL, UNKNOWN, pool_of

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]
Place = tuple[float, str]  # a standing, and the content's id: among equals the lower one comes first
Bounds = Sequence[Place] | None  # of each ranking: of each half-life, and newness; None: all are contenders

_RESERVE = 2  # times as many as are needed are chosen: some go, and some are forgotten
_HALF_LIVES_SECONDS = np.array(HALF_LIVES_HOURS) * 3600.0
_DECAYS = np.isfinite(_HALF_LIVES_SECONDS)


@dataclass(frozen=True)
class Met:
    """Contents that somebody has met, in the order of their ids (n,). Times in unix seconds."""

    content_ids: list[str]
    languages: list[str | None]
    is_noted: Mask  # whether the language is noted beside the popularity, for drains
    as_of: Floats  # -inf where no action counts
    sums: Floats  # (n, half-lives)
    first_seen: Floats  # by the model; what that doesn't know: when a drain met it; -inf where neither says

    def __len__(self) -> int:
        return len(self.content_ids)

    def take(self, rows: Indices) -> "Met":
        return Met(
            [self.content_ids[row] for row in rows.tolist()],
            [self.languages[row] for row in rows.tolist()],
            self.is_noted[rows],
            self.as_of[rows],
            self.sums[rows],
            self.first_seen[rows],
        )


NOTHING_MET = Met([], [], np.empty(0, bool), np.empty(0), np.empty((0, len(HALF_LIVES_HOURS))), np.empty(0))


@dataclass(frozen=True)
class Choice:
    """The contenders (pool, content_id), the bounds of each pool, and what has to be noted (content_id, language)."""

    contenders: list[tuple[str, str]]
    bounds: dict[str, Bounds]
    languages: list[tuple[str, str | None]]


def standings(sums: Floats, as_of: Floats) -> Floats:
    """What orders contents by popularity at each half-life (n, half-lives) at any time: the time at which the sum has
    decayed to one. A sum that never decays stands for itself; -inf where there is none."""
    logs = np.full(sums.shape, -np.inf)
    np.log2(sums, out=logs, where=sums > 0)
    result = sums.copy()
    result[:, _DECAYS] = as_of[:, None] + _HALF_LIVES_SECONDS[_DECAYS] * logs[:, _DECAYS]
    return result


def choose(parts: Iterable[Met], sizes: Sequence[int]) -> Choice:
    """The contenders among everything that was met, which comes in parts of any order: no more than the contenders of
    what has come is held at a time. `sizes` is how many are needed of each ranking."""
    languages: list[tuple[str, str | None]] = []
    kept, cut = leaders(_noting(parts, languages), sizes)
    rankings = _rankings(kept)
    contenders: list[tuple[str, str]] = []
    bounds: dict[str, Bounds] = {}
    for pool, rows in _pools(kept).items():
        chosen, bounds[pool] = _choose(kept, rankings, rows, sizes) if pool in cut else (rows, None)
        contenders += [(pool, kept.content_ids[row]) for row in chosen.tolist()]
    return Choice(contenders, bounds, languages)


def leaders(parts: Iterable[Met], sizes: Sequence[int]) -> tuple[Met, set[str]]:
    """Everything that is a contender of some pool, in the order of ids, and the pools that leave something out."""
    kept, cut = NOTHING_MET, set[str]()
    for part in parts:
        kept = _joined(kept, part)
        rankings, is_kept = _rankings(kept), np.zeros(len(kept), bool)
        for pool, rows in _pools(kept).items():
            if len(rows) > _RESERVE * max(sizes):
                rows, _ = _choose(kept, rankings, rows, sizes)
                cut.add(pool)
            is_kept[rows] = True
        kept = kept.take(np.flatnonzero(is_kept))
    return kept, cut


def suffice(contenders: Met, bounds: Bounds, sizes: Sequence[int]) -> bool:
    """Whether the best of a pool are among these contenders, in every ranking."""
    return bounds is None or all(
        _count_from(bound, column, contenders.content_ids) >= size
        for bound, column, size in zip(bounds, _rankings(contenders).T, sizes, strict=True)
    )


def touched(
    sums: Floats, as_of: Floats, languages: Sequence[str | None], is_new: Mask, bounds: Mapping[str, Bounds] | None
) -> list[tuple[str, int]]:
    """The contenders (pool, row) among contents whose sums (n, half-lives) have changed. What is new (met for the first
    time) is one; all are, while a choice is on its way and its bounds aren't known."""
    places, is_sure, bounds = standings(sums, as_of), is_new | (bounds is None), bounds or {}
    found = [(ALL, row) for row in np.flatnonzero(is_sure | _reach(places, bounds.get(ALL))).tolist()]
    for language in {*languages}:
        rows = np.array([row for row, other in enumerate(languages) if other == language])
        if language is None:
            found += [(UNKNOWN, row) for row in rows[is_sure[rows]].tolist()]
        else:
            pool = pool_of(language)
            found += [(pool, row) for row in rows[_reach(places[rows], bounds.get(pool))].tolist()]
    return found


def _noting(parts: Iterable[Met], languages: list[tuple[str, str | None]]) -> Iterable[Met]:
    """The parts as they are; what has to be noted of them is added to `languages`."""
    for part in parts:
        languages += [(part.content_ids[row], part.languages[row]) for row in np.flatnonzero(~part.is_noted).tolist()]
        yield part


def _joined(one: Met, other: Met) -> Met:
    """Both, in the order of ids."""
    joined = Met(
        one.content_ids + other.content_ids,
        one.languages + other.languages,
        np.concatenate([one.is_noted, other.is_noted]),
        np.concatenate([one.as_of, other.as_of]),
        np.concatenate([one.sums, other.sums]),
        np.concatenate([one.first_seen, other.first_seen]),
    )
    return joined.take(np.array(sorted(range(len(joined)), key=joined.content_ids.__getitem__), dtype=np.intp))


def _pools(met: Met) -> dict[str, Indices]:
    """The rows of each pool, ascending."""
    rows_of: dict[str, list[int]] = {}
    for row, language in enumerate(met.languages):
        if language is not None:
            rows_of.setdefault(pool_of(language), []).append(row)
    return {ALL: np.arange(len(met))} | {pool: np.array(rows) for pool, rows in rows_of.items()}


def _choose(met: Met, rankings: Floats, rows: Indices, sizes: Sequence[int]) -> tuple[Indices, Bounds]:
    """The contenders among more rows (ascending) than all of which could be some, and their bounds."""
    best = [
        rows[np.argsort(-column, kind="stable")[: _RESERVE * size]]
        for column, size in zip(rankings[rows].T, sizes, strict=True)
    ]
    lasts = [int(indices[-1]) for indices in best]
    bounds = [(float(rankings[last, column]), met.content_ids[last]) for column, last in enumerate(lasts)]
    is_chosen = np.zeros(len(met), bool)
    is_chosen[np.concatenate(best)] = True
    return np.flatnonzero(is_chosen), bounds


def _rankings(met: Met) -> Floats:
    """(n, half-lives + 1)"""
    return np.column_stack([standings(met.sums, met.as_of), met.first_seen])


def _reach(places: Floats, bounds: Bounds) -> Mask:
    """Which contents (n,) of these standings are at or above a bound at any half-life."""
    if bounds is None:
        return np.ones(len(places), bool)
    reached: Mask = np.any(places >= np.array([standing for standing, _ in bounds[:-1]]), axis=1)
    return reached


def _count_from(bound: Place, column: Floats, content_ids: Sequence[str]) -> int:
    """How many stand at or above the bound."""
    standing, content_id = bound
    equal = np.flatnonzero(column == standing).tolist()
    return int(np.count_nonzero(column > standing)) + sum(content_ids[row] <= content_id for row in equal)
