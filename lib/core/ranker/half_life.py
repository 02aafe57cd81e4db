"""Chooses by replay how fast popularity decays on a site.

Popularity is kept at a few half-lives. A position on that axis, 2.5 say, is the mean of the log popularities of the
half-lives around it, so that positions between them cost nothing to store.
"""

from collections.abc import Callable, Sequence

import numpy as np

from lib.core.ranker.items import N_HALF_LIVES, log_popularity, popularity_of
from lib.core.ranker.log import Floats, Indices, Log, Vectors, first_reads, group_by, ranges
from lib.core.ranker.metrics import DISCOUNTS, K, ideal_gains
from lib.core.ranker.truth import Truth, sample, slice_times, truth_at

POSITIONS = np.arange(0, N_HALF_LIVES - 0.75, 0.25)
_USERS_PER_SLICE = 1_000
_MIN_USERS = 30
_MIN_SLICES = 5  # with fewer, users are compared instead
_OVERLAP = 2.0  # windows overlap by half, so slices tell half as much as as many independent ones


def blend_weights(position: float) -> Floats:
    """What each half-life's log popularity weighs at a position (half-lives,)."""
    weights: Floats = np.maximum(0.0, 1.0 - np.abs(np.arange(N_HALF_LIVES) - position))
    return weights


def popular_scores(features: Vectors, position: float) -> Vectors:
    """Scores (N,) by popularity alone, which the first features are."""
    values: Vectors = features[:, :N_HALF_LIVES] @ blend_weights(position).astype(np.float32)
    return values


def choose_position(
    log: Log, now: float, window_seconds: float, *, default: float, may_continue: Callable[[], bool] = lambda: True
) -> float:
    """The slowest decay that is within one standard error of the best one over the replayed slices."""
    reads = first_reads(log)
    results: list[Floats] = []
    for number, time in enumerate(slice_times(log, now, window_seconds)):
        if not may_continue():
            break
        truth = sample(truth_at(log, reads, time, window_seconds), _USERS_PER_SLICE, seed=number)
        if len(truth.users):
            results.append(_slice_results(log, reads, time, truth))
    return default if sum(len(result) for result in results) < _MIN_USERS else _slowest_good(results)


def _slowest_good(results: Sequence[Floats]) -> float:
    """`results` are (users, positions) of each slice; their mean is over slices, so that big ones don't rule."""
    means = np.stack([result.mean(axis=0) for result in results])
    best = int(means.mean(axis=0).argmax())
    lost = means[:, [best]] - means
    if len(results) < _MIN_SLICES:
        lost = np.concatenate([result[:, [best]] - result for result in results])
    error = lost.std(axis=0) * np.sqrt(_OVERLAP / len(lost))
    return float(POSITIONS[np.flatnonzero(lost.mean(axis=0) <= error)[-1]])


def _slice_results(log: Log, reads: Log, time: float, truth: Truth) -> Floats:
    """NDCG@20 of each user at each position (users, positions)."""
    popularity = log_popularity(popularity_of(reads.before(time), time))
    owner, seen = _seen_of(log.before(time), truth.users)
    columns = [_ndcg(popularity @ blend_weights(position), truth, owner, seen) for position in POSITIONS]
    return np.stack(columns, axis=1)


def _seen_of(log: Log, users: Indices) -> tuple[Indices, Indices]:
    """(user's number, item) of the distinct items that `users` have acted on."""
    by_user = group_by(log.users, log.n_users)
    lengths = by_user.sizes()[users]
    items = log.items[by_user.rows[ranges(by_user.starts[:-1][users], lengths)]]
    keys = np.unique(np.repeat(np.arange(len(users)), lengths) * log.n_items + items)
    return keys // log.n_items, keys % log.n_items


def _ndcg(scores: Floats, truth: Truth, seen_owner: Indices, seen: Indices) -> Floats:
    """NDCG@20 of each user when all are offered the same order of items, without what they have seen."""
    place = np.empty(len(scores), np.intp)
    place[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    owner = np.concatenate([seen_owner, truth.owner])
    places = np.concatenate([place[seen], place[truth.items]])
    is_seen = np.arange(len(owner)) < len(seen)
    order = np.lexsort((places, owner))
    seen_before = np.cumsum(is_seen[order])
    first = np.searchsorted(owner[order], owner[order])
    skipped: Indices = seen_before - (seen_before[first] - is_seen[order][first])
    ranks = places[order] - skipped
    hit = ~is_seen[order] & (ranks < K)
    gains = np.bincount(owner[order][hit], DISCOUNTS[ranks[hit]], len(truth.users))
    result: Floats = gains / ideal_gains(truth.counts)
    return result
