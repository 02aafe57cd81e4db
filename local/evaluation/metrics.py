"""How good lists are: what share of what users read next they held, and how far up.

Recall@20 and NDCG@20 with binary gains (Järvelin and Kekäläinen, TOIS 2002), as means over users with their standard
errors; several cuts are pooled, each user weighing the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from local.evaluation.data import Floats, Ranking

K = 20  # of a list are scored
SLICES = ("warm", "tail", "few", "cold")
FEW = 4  # items: a user of whom little is known
_DISCOUNTS = 1 / np.log2(np.arange(2, K + 2))
_IDEAL = np.cumsum(_DISCOUNTS)


@dataclass(frozen=True)
class Truth:
    """What the scored users of a cut read after it, by user id, and what tells easy from hard."""

    read: Mapping[str, set[str]]  # candidates, liked for the first time
    history: Mapping[str, int]  # different items liked before
    seen: Mapping[str, set[str]]  # acted on before, in any way
    candidates: set[str]
    head: set[str]  # the items most read lately


@dataclass(frozen=True)
class Judged:
    """The lists of one cut. `slices`: (n, 2) recall and NDCG of each user, in the same order for all lists."""

    slices: Mapping[str, Floats]
    coverage: float  # of the candidates, shown to anybody with a history
    seen: float  # share of the slots that hold what the user had acted on


@dataclass(frozen=True)
class Figures:
    """Means over the users of a slice, and the standard error of the NDCG."""

    recall: float
    ndcg: float
    error: float
    users: int


def judge(truth: Truth, rankings: Iterable[Ranking]) -> Judged:
    """Slices: users with a history (warm), the same without the head (tail), with few items (few), with none (cold)."""
    lists = {ranking.user_id: ranking.items for ranking in rankings}
    warm = [user for user in truth.read if truth.history[user] > 0]
    tail = [user for user in warm if truth.read[user] - truth.head]
    slices = {
        "warm": [_score(lists.get(user, ()), truth.read[user]) for user in warm],
        "tail": [
            _score([item for item in lists.get(user, ()) if item not in truth.head], truth.read[user] - truth.head)
            for user in tail
        ],
        "few": [_score(lists.get(user, ()), truth.read[user]) for user in warm if truth.history[user] <= FEW],
        "cold": [_score(lists.get(user, ()), truth.read[user]) for user in truth.read if truth.history[user] == 0],
    }
    shown = [(user, item) for user in warm for item in lists.get(user, ())[:K]]
    return Judged(
        slices={name: np.array(scores).reshape(-1, 2) for name, scores in slices.items()},
        coverage=len({item for _, item in shown} & truth.candidates) / len(truth.candidates),
        seen=sum(item in truth.seen.get(user, ()) for user, item in shown) / max(len(shown), 1),
    )


def pool(cuts: Sequence[Judged], name: str) -> Figures | None:
    """A slice over several cuts; None where nobody is in it."""
    slices = [cut.slices[name] for cut in cuts if len(cut.slices[name])]
    if not slices:
        return None
    recall, _ = mean_and_error([scores[:, 0] for scores in slices])
    ndcg, error = mean_and_error([scores[:, 1] for scores in slices])
    return Figures(recall, ndcg, error, sum(map(len, slices)))


def coverage(cuts: Sequence[Judged]) -> float:
    return sum(cut.coverage for cut in cuts) / len(cuts)


def share_seen(cuts: Sequence[Judged]) -> float:
    return sum(cut.seen for cut in cuts) / len(cuts)


def gain(ours: Sequence[Judged], others: Sequence[Judged]) -> tuple[float, float, int]:
    """How much more NDCG ours have, user by user: the mean over users with history, its standard error, how many."""
    differences = [
        our.slices["warm"][:, 1] - other.slices["warm"][:, 1] for our, other in zip(ours, others, strict=True)
    ]
    differences = [difference for difference in differences if len(difference)]
    return *(mean_and_error(differences) if differences else (0.0, 0.0)), sum(map(len, differences))


def mean_and_error(cuts: Sequence[Floats]) -> tuple[float, float]:
    """The mean over all values, and its standard error where each cut has a spread of its own."""
    n = sum(map(len, cuts))
    variance = sum(len(values) * float(values.var()) for values in cuts)
    return sum(float(values.sum()) for values in cuts) / n, variance**0.5 / n


def _score(ranked: Sequence[str], read: set[str]) -> tuple[float, float]:
    hits = np.array([item in read for item in list(dict.fromkeys(ranked))[:K]], dtype=float)
    return hits.sum() / len(read), float(hits @ _DISCOUNTS[: len(hits)]) / float(_IDEAL[min(len(read), K) - 1])
