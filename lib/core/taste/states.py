"""Users' vectors out of a log: as they are at a time, and as they were before each action."""

from collections.abc import Iterator

import numpy as np

from lib.core.embeddings import Floats, Indices, Vectors, unit_rows, user_embeddings
from lib.core.ranker.log import Groups, Log, group_by
from lib.core.taste.log_parts import latest_rows

_USERS_AT_ONCE = 4096  # whose sums are 4 MB at 128 dimensions, and stay in the processor's cache
_NOISE = 1e-6  # as of user_embeddings: what cancels out to less is rounding, no direction


def embed_log(log: Log, now: float, item_vectors: Vectors, *, half_life_seconds: float) -> Vectors:
    """`user_embeddings` (n_users, d) by each user's latest actions before `now`."""
    log = log.before(now)
    latest = log.take(latest_rows(log))
    return user_embeddings(
        latest.users,
        latest.items,
        latest.weights,
        now - latest.times,
        item_vectors,
        n_users=log.n_users,
        half_life_seconds=half_life_seconds,
    )


def states_before_actions(
    log: Log, item_vectors: Vectors, *, half_life_seconds: float
) -> Iterator[tuple[Indices, Vectors]]:
    """Walks many histories at once: yields rows (k,) of the log, one a user, and the users' vectors (k, d) before them.

    A vector is `user_embeddings` of what the user did before that row, out of his latest actions. Only actions that say
    anything are walked through, and of each user the first is left out: nothing was known before it. Actions at the
    same time follow one another as they do in the log. There are about m / 4096 + HISTORY_LENGTH steps.
    """
    histories = _histories(log, item_vectors)
    sizes = histories.sizes()
    longest_first = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes > 1)]
    for start in range(0, len(longest_first), _USERS_AT_ONCE):
        users = longest_first[start : start + _USERS_AT_ONCE]
        walk = _walk(log, histories.rows, histories.starts[users], sizes[users], item_vectors, half_life_seconds)
        yield from walk


def _histories(log: Log, item_vectors: Vectors) -> Groups:
    """Rows of the log, user by user and the oldest first: those latest ones that say anything."""
    kept = latest_rows(log)
    has_vector = np.asarray(item_vectors.any(axis=1))
    useful = kept[(log.weights[kept] != 0) & has_vector[log.items[kept]]]
    groups = group_by(log.users[useful], log.n_users)
    return Groups(useful[groups.rows], groups.starts)


def _walk(
    log: Log, rows: Indices, starts: Indices, sizes: Indices, item_vectors: Vectors, half_life_seconds: float
) -> Iterator[tuple[Indices, Vectors]]:
    """The walk through histories (h,) that begin at `starts` of `rows`, the longest first."""
    sums: Floats = np.zeros((len(starts), item_vectors.shape[1]))
    totals: Floats = np.zeros(len(starts))  # of the weights' absolute values, decayed as the sums are
    times = log.times[rows[starts]]
    for position in range(sizes[0]):
        n = np.searchsorted(-sizes, -position)  # histories that are longer than that
        current = rows[starts[:n] + position]
        if position:
            # Their length would be decayed up to now as well; the direction isn't, however long the user was away.
            yield current, unit_rows(sums[:n], noise=_NOISE * totals[:n])
        decayed = np.exp2((times[:n] - log.times[current]) / half_life_seconds)
        weights = log.weights[current]
        sums[:n] = sums[:n] * decayed[:, None] + weights[:, None] * item_vectors[log.items[current]]
        totals[:n] = totals[:n] * decayed + np.abs(weights)
        times[:n] = log.times[current]
