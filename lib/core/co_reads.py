"""Item vectors learned from co-reads alone, so that an app without any embedding model works from its first day.

Positive pointwise mutual information of reading two items, then a truncated eigendecomposition. Sources: Levy,
Goldberg and Dagan, TACL 2015 (smoothing, square root of the spectrum); Pantel and Lin, KDD 2002 (discounting rare
pairs); Halko, Martinsson and Tropp, SIAM Review 2011 (randomised range finder).
"""

import numpy as np

from lib.core.defaults import HISTORY_LENGTH
from lib.core.embeddings import Floats, Indices, Vectors, latest_per_user, weighted_row_sums

_MAX_PAIRS = 3_000_000  # co-reads that are counted, which bounds time and memory
_SMOOTHING = 0.75  # power of the item frequencies; below 1, pairs of rare items lose their unearned lead
_DISCOUNT = 20.0  # co-reads at which a pair counts for half of what its frequency says
_POWER_ITERATIONS = 2  # more of them separate directions that are too alike to matter
_OVERSAMPLING = 10  # directions beyond the wanted ones, which make those accurate
_ROWS_AT_ONCE = 16_384  # of a factorisation: some 20 MB in double precision
_CAPTURED = 0.02  # of the usual length; below, an item's direction is left over from the random start


def learn_item_vectors(
    user_index: Indices,
    item_index: Indices,
    times: Floats,
    *,
    n_items: int,
    size: int,
    seed: int = 0,
    max_items_per_user: int = HISTORY_LENGTH,
) -> Vectors:
    """Vectors (n_items, size) whose dot products follow how often the same users like two items.

    The first three arrays are (m,), one entry a positive action, in any order; repeats don't count. Of a user the
    `max_items_per_user` latest items are taken. An item that nobody read with another gets zeros, and so does one
    of which `size` dimensions capture nothing. Lengths are not normalised.
    """
    users, items = _latest_distinct_reads(user_index, item_index, times, limit=max_items_per_user)
    first, second, counts = _count_co_reads(users, items, n_items)
    vectors = np.zeros((n_items, size), np.float32)
    if len(counts):
        co_read, rows = np.unique(first, return_inverse=True)
        columns = np.searchsorted(co_read, second)
        learned = _leading_factors(rows, columns, _association(rows, columns, counts), size, seed)
        vectors[co_read, : learned.shape[1]] = learned
    return vectors


def _latest_distinct_reads(
    user_index: Indices, item_index: Indices, times: Floats, *, limit: int
) -> tuple[Indices, Indices]:
    """Each user's distinct items, by user and latest first, as (users, items)."""
    latest_first = latest_per_user(user_index, item_index, times, limit=len(times))
    users, items = user_index[latest_first], item_index[latest_first]
    by_pair = np.lexsort((items, users))  # stable, so the latest of a pair comes first
    repeats = (np.diff(users[by_pair], prepend=-1) == 0) & (np.diff(items[by_pair], prepend=-1) == 0)
    distinct = np.sort(by_pair[~repeats])
    users, items = users[distinct], items[distinct]
    kept = np.arange(len(users)) - np.searchsorted(users, users) < limit
    return users[kept], items[kept]


def _count_co_reads(users: Indices, items: Indices, n_items: int) -> tuple[Indices, Indices, Indices]:
    """How many users read both of two items, each pair both ways round, as (first, second, counts) in order.

    Pairs are gathered by their distance in a user's list until the budget is spent: on a large log those that were
    read close together stay.
    """
    keys = [np.empty(0, np.int64)]
    budget = _MAX_PAIRS
    for distance in range(1, len(users)):
        same_user = np.flatnonzero(users[distance:] == users[:-distance])
        budget -= len(same_user)
        if len(same_user) == 0 or budget < 0:
            break
        one, other = items[same_user], items[same_user + distance]
        keys += [one * n_items + other, other * n_items + one]
    pairs, counts = np.unique(np.concatenate(keys), return_counts=True)
    return pairs // n_items, pairs % n_items, counts


def _association(rows: Indices, columns: Indices, counts: Indices) -> Vectors:
    """Smoothed and discounted positive pointwise mutual information of each pair."""
    smoothed = np.bincount(rows, counts) ** _SMOOTHING
    probabilities = smoothed / smoothed.sum()
    information = np.log(counts / counts.sum() / (probabilities[rows] * probabilities[columns]))
    associated: Floats = np.maximum(information, 0.0) * (counts / (counts + _DISCOUNT))
    return associated.astype(np.float32)


def _leading_factors(rows: Indices, columns: Indices, values: Vectors, size: int, seed: int) -> Vectors:
    """Factors F (n, at most size) for which F @ F.T comes close to the symmetric sparse matrix.

    Only positive eigenvalues can be factored so. The negative ones say that two items are read by the same users
    but with different others, which a singular value decomposition would take for a difference between the two.
    """
    n = int(rows[-1]) + 1
    basis = np.random.default_rng(seed).standard_normal((n, min(n, size + _OVERSAMPLING)), dtype=np.float32)
    for _ in range(_POWER_ITERATIONS):
        basis = _orthonormal(weighted_row_sums(rows, columns, values, basis, n_rows=n))
    projected = basis.T @ weighted_row_sums(rows, columns, values, basis, n_rows=n)
    eigenvalues, eigenvectors = np.linalg.eigh(projected)
    largest = np.argsort(-eigenvalues)[:size]
    factors: Vectors = (basis @ eigenvectors[:, largest]) * np.sqrt(np.maximum(eigenvalues[largest], 0.0))
    lengths = np.linalg.norm(factors, axis=1)
    factors[lengths < _CAPTURED * np.sqrt(np.mean(lengths**2))] = 0.0
    return factors


def _orthonormal(matrix: Vectors) -> Vectors:
    """An orthonormal basis (n, k) of the columns, in place.

    Of many rows by blocks, whose triangles are factored once more: LAPACK works on several copies in double precision.
    Source: Demmel, Grigori, Hoemmen and Langou, SIAM J. Sci. Comput. 2012 ("TSQR").
    """
    blocks = np.array_split(matrix, -(-len(matrix) // _ROWS_AT_ONCE))
    if len(blocks) == 1:
        return np.linalg.qr(matrix)[0]
    triangles = []
    for block in blocks:
        block[:], triangle = np.linalg.qr(block)
        triangles.append(triangle)
    turns = np.split(np.linalg.qr(np.concatenate(triangles))[0], len(blocks))
    for block, turn in zip(blocks, turns, strict=True):
        block[:] = block @ turn
    return matrix
