"""What a comparison says: a sentence, a table, JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from local.evaluation.compare import OURS, POPULAR, Comparison
from local.evaluation.metrics import FEW, SLICES, Figures, Judged, coverage, gain, pool, share_seen

MIN_USERS = 100  # with fewer the error itself is guesswork
ERRORS = 2.0  # by which a difference must exceed its error
RESOLUTION = 0.1  # of popularity's NDCG: a gain of this size must have been visible before "it doesn't pay" is said

NONE = "–"  # where nobody is in a slice

Answer = Literal["pays", "does_not_pay", "too_little_data"]

_COLUMNS = ("list", "R@20", "NDCG@20", "tail R", "tail NDCG", "few history", "no history", "coverage", "seen")
_LEGEND = (
    "R@20 and NDCG@20 ± standard error: users with a history. Tail: without the 50 items most read lately. "
    f"Few history: NDCG of users with 1 to {FEW} items; no history: of users with none. "
    "Coverage: share of the candidates that was shown. Seen: share of slots with what the user knew."
)


@dataclass(frozen=True)
class Verdict:
    """Whether personalising pays, by the paired difference in NDCG between ours and popularity."""

    answer: Answer
    gain: float
    error: float
    users: int

    @property
    def sentence(self) -> str:
        figures = f"NDCG {_signed(self.gain)} ± {_plain(self.error)}"
        if self.answer == "pays":
            return f"Personalising pays here: {figures} over the popularity list."
        if self.answer == "does_not_pay":
            return f"Personalising doesn't pay here yet: {figures} against the popularity list."
        return f"Too little data to tell whether personalising pays: {figures} from {self.users:,} users."


def conclude(comparison: Comparison) -> Verdict:
    difference, error, users = gain(comparison.lists[OURS], comparison.lists[POPULAR])
    popular = pool(comparison.lists[POPULAR], "warm")
    answer = _answer(difference, ERRORS * error, users, popular.ndcg if popular else 0.0)
    return Verdict(answer, difference, error, users)


def _answer(difference: float, margin: float, users: int, popular: float) -> Answer:
    if users < MIN_USERS:
        return "too_little_data"
    if difference > margin:
        return "pays"
    return "does_not_pay" if difference < -margin or margin <= RESOLUTION * popular else "too_little_data"


def as_markdown(comparison: Comparison) -> str:
    """The table, what it was made from, and the sentence."""
    rows = [_COLUMNS, ("---", *["---:"] * (len(_COLUMNS) - 1)), *(_row(comparison, name) for name in comparison.lists)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([table, "", _LEGEND, "", *comparison.notes, "", conclude(comparison).sentence])


def as_json(comparison: Comparison) -> dict[str, Any]:
    verdict = conclude(comparison)
    half_life = comparison.half_life_hours
    return {
        "sentence": verdict.sentence,
        "answer": verdict.answer,
        "gain": {"ndcg": verdict.gain, "error": verdict.error, "users": verdict.users},
        "lists": [_entry(name, cuts) for name, cuts in comparison.lists.items()],
        "popularity_half_life_hours": half_life if math.isfinite(half_life) else None,
        "actions": comparison.actions,
        "users_scored": comparison.users_scored,
        "notes": comparison.notes,
    }


def label(comparison: Comparison, name: str) -> str:
    """The popularity list with its half-life."""
    if name != POPULAR:
        return name
    hours = comparison.half_life_hours
    return f"{name}, half-life {hours:g} h" if math.isfinite(hours) else f"{name}, all time"


def _entry(name: str, cuts: Sequence[Judged]) -> dict[str, Any]:
    slices = {part: pool(cuts, part) for part in SLICES}
    figures = {part: vars(means) if means else None for part, means in slices.items()}
    return {"name": name, **figures, "coverage": coverage(cuts), "seen": share_seen(cuts)}


def _row(comparison: Comparison, name: str) -> tuple[str, ...]:
    cuts = comparison.lists[name]
    warm, tail, few, cold = (pool(cuts, part) for part in SLICES)
    return (
        label(comparison, name),
        *(_plain(warm.recall) if warm else NONE, _with_error(warm)),
        *(_plain(tail.recall) if tail else NONE, _with_error(tail)),
        *(_plain(figures.ndcg) if figures else NONE for figures in (few, cold)),
        _plain(coverage(cuts)),
        _plain(share_seen(cuts)),
    )


def _with_error(figures: Figures | None) -> str:
    return f"{_plain(figures.ndcg)} ± {_plain(figures.error)}" if figures else NONE


def _plain(number: float) -> str:
    """Three digits behind the point and no zero before it: .172."""
    return f"{number:.3f}".removeprefix("0")


def _signed(number: float) -> str:
    return ("−" if round(number, 3) < 0 else "+") + _plain(abs(number))
