"""The split in time and the metrics once more, in plain Python: what the product's must equal."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Act(NamedTuple):
    """One action of a log; a positive weight says that the user liked the item."""

    user: str
    item: str
    at: float
    weight: float


@dataclass
class PlainCut:
    """What is known at a cut, and what is read after it."""

    now: float
    end: float
    train: list[Act]
    candidates: list[str]
    read: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    read_new: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    history: dict[str, int] = field(default_factory=dict)
    seen: dict[str, set[str]] = field(default_factory=dict)
    head: set[str] = field(default_factory=set)


def split(log: Sequence[Act], percents: Sequence[int] = (80, 90)) -> list[PlainCut]:
    log = sorted(log, key=lambda act: act.at)
    starts = [log[len(log) * percent // 100].at for percent in percents]
    return [_cut(log, now, end) for now, end in zip(starts, [*starts[1:], log[-1].at + 1], strict=True)]


def _cut(log: Sequence[Act], now: float, end: float) -> PlainCut:
    train = [act for act in log if act.at < now]
    cut = PlainCut(now, end, train, sorted({act.item for act in train}))
    acted = {(act.user, act.item) for act in train}
    for act in log:
        if now <= act.at < end and act.weight > 0 and (act.user, act.item) not in acted:
            (cut.read if act.item in set(cut.candidates) else cut.read_new)[act.user].add(act.item)
    reads: dict[str, float] = defaultdict(float)
    for act in train:
        if act.weight > 0:
            reads[act.item] += 2.0 ** (-(now - act.at) / (7 * 86_400))
    cut.head = set(sorted(sorted(reads), key=lambda item: -reads[item])[:50])
    for user in cut.read:
        cut.history[user] = len({act.item for act in train if act.user == user and act.weight > 0})
        cut.seen[user] = {act.item for act in train if act.user == user}
    return cut


def score(ranked: Sequence[str], read: set[str]) -> tuple[float, float]:
    """Recall@20 and NDCG@20 of one list."""
    hits = [place for place, item in enumerate(ranked[:20]) if item in read]
    ideal = sum(1 / math.log2(place + 2) for place in range(min(len(read), 20)))
    return len(hits) / len(read), sum(1 / math.log2(place + 2) for place in hits) / ideal


def slices(cut: PlainCut, lists: Mapping[str, Sequence[str]]) -> dict[str, list[tuple[float, float]]]:
    of_all = {user: score(lists.get(user, []), read) for user, read in cut.read.items()}
    tail = {
        user: score([item for item in lists.get(user, []) if item not in cut.head], read - cut.head)
        for user, read in cut.read.items()
        if read - cut.head and cut.history[user]
    }
    return {
        "warm": [of_all[user] for user in cut.read if cut.history[user] >= 1],
        "tail": list(tail.values()),
        "few": [of_all[user] for user in cut.read if 1 <= cut.history[user] <= 4],
        "cold": [of_all[user] for user in cut.read if cut.history[user] == 0],
    }


def shares(cut: PlainCut, lists: Mapping[str, Sequence[str]]) -> tuple[float, float]:
    """Coverage, and the share of the slots with what the user had acted on."""
    shown = [(user, item) for user in cut.read if cut.history[user] for item in lists.get(user, [])[:20]]
    coverage = len({item for _, item in shown} & set(cut.candidates)) / len(cut.candidates)
    return coverage, sum(item in cut.seen[user] for user, item in shown) / len(shown)


def mean_and_error(cuts: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Over several cuts: means weighted by users, errors added as variances are."""
    n = sum(len(values) for values in cuts)
    means = [sum(values) / len(values) for values in cuts]
    errors = [
        math.sqrt(sum((value - mean) ** 2 for value in values) / len(values) / len(values))
        for mean, values in zip(means, cuts, strict=True)
    ]
    mean = sum(mean * len(values) for mean, values in zip(means, cuts, strict=True)) / n
    return mean, math.sqrt(sum((error * len(values)) ** 2 for error, values in zip(errors, cuts, strict=True))) / n
