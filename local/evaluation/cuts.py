"""Splits a log at a moment: what was known before it, and what users read after it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from local.evaluation.data import Cut, Indices
from local.evaluation.from_database import Log
from local.evaluation.metrics import Truth

PERCENTS = (80, 90)  # of the events lie before a cut; each ends where the next begins
MAX_USERS = 4_000  # scored at a cut: more of them would hardly narrow the error, and take minutes
HEAD = 50  # items most read lately: what everybody sees anyway
HEAD_HALF_LIFE_SECONDS = 7 * 86_400.0
SEED = 0


def cut_log(log: Log) -> Iterator[tuple[Cut, Truth]]:
    """Each cut at which there is somebody to score. The definitions are those of the prepared data sets."""
    n = len(log.times)
    moments = [log.times[n * percent // 100] for percent in PERCENTS]
    ends = [*moments[1:], log.times[-1] + 1.0]
    for percent, now, end in zip(PERCENTS, moments, ends, strict=True):
        known = int(np.searchsorted(log.times, now))
        read, new = _first_reads(log, known, int(np.searchsorted(log.times, end)))
        if len(read):
            users = _sample(np.unique(read[:, 0]))
            cut = _cut(log, known, users, np.unique(new[:, 1]), name=str(percent), now=now, end=end)
            yield cut, _truth(log, cut, known, users, read)


def _first_reads(log: Log, known: int, end: int) -> tuple[Indices, Indices]:
    """(user, item) rows of what was liked in the window and never acted on before it: of known items, of new ones."""
    n_items = len(log.item_ids)
    keys = log.users[:end] * n_items + log.items[:end]
    liked = keys[known:][log.weights[known:end] > 0]
    pairs = np.stack(np.divmod(np.setdiff1d(liked, keys[:known]), n_items), axis=1)
    pairs = pairs[log.may_be_shown[pairs[:, 1]]]
    is_known = np.isin(pairs[:, 1], log.items[:known])
    return pairs[is_known], pairs[~is_known]


def _sample(users: Indices) -> Indices:
    if len(users) <= MAX_USERS:
        return users
    return np.sort(np.random.default_rng(SEED).choice(users, MAX_USERS, replace=False))


def _cut(log: Log, known: int, ranked: Indices, new: Indices, *, name: str, now: float, end: float) -> Cut:
    """The log before the cut, its users and items numbered anew."""
    users, items = log.users[:known], log.items[:known]
    users_of_cut = np.concatenate([ranked, np.setdiff1d(users, ranked)])
    items_of_cut = np.union1d(items, new)
    position_of_user = np.empty(len(log.user_ids), np.intp)
    position_of_user[users_of_cut] = np.arange(len(users_of_cut))
    candidates = np.unique(items[log.may_be_shown[items]])
    return Cut(
        dataset="log",
        name=name,
        now=now,
        end=end,
        user_ids=[log.user_ids[user] for user in users_of_cut],
        n_ranked_users=len(ranked),
        item_ids=[log.item_ids[item] for item in items_of_cut],
        topics=[log.topics[item] for item in items_of_cut],
        candidates=np.searchsorted(items_of_cut, candidates),
        new_candidates=np.searchsorted(items_of_cut, new),
        users=position_of_user[users],
        items=np.searchsorted(items_of_cut, items),
        times=log.times[:known],
        weights=log.weights[:known],
        positive=log.weights[:known] > 0,
    )


def _truth(log: Log, cut: Cut, known: int, users: Indices, read: Indices) -> Truth:
    read = read[np.isin(read[:, 0], users)]
    acted = np.isin(log.users[:known], users)
    seen = np.stack([log.users[:known][acted], log.items[:known][acted]], axis=1)
    liked = np.unique(seen[log.weights[:known][acted] > 0], axis=0)
    n_liked = np.bincount(liked[:, 0], minlength=len(log.user_ids))
    return Truth(
        read=_sets(log, read),
        history={log.user_ids[user]: int(n_liked[user]) for user in users},
        seen=_sets(log, seen),
        candidates={cut.item_ids[item] for item in cut.candidates},
        head={cut.item_ids[item] for item in _most_read_lately(cut)},
    )


def _sets(log: Log, pairs: NDArray[np.intp]) -> dict[str, set[str]]:
    sets: dict[str, set[str]] = {}
    for user, item in pairs.tolist():
        sets.setdefault(log.user_ids[user], set()).add(log.item_ids[item])
    return sets


def _most_read_lately(cut: Cut) -> Indices:
    decayed = np.exp2((cut.times[cut.positive] - cut.now) / HEAD_HALF_LIFE_SECONDS)
    reads = np.bincount(cut.items[cut.positive], decayed, len(cut.item_ids))[cut.candidates]
    most_first = np.argsort(-reads, kind="stable")[:HEAD]
    head: Indices = cut.candidates[most_first[reads[most_first] > 0]]
    return head
