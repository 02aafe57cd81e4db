"""How good ranked lists are: NDCG of the first twenty (Järvelin and Kekäläinen, TOIS 2002), read or not read."""

import numpy as np

from lib.core.ranker.log import Floats, Indices, Mask, Vectors

K = 20
DISCOUNTS = 1.0 / np.log2(np.arange(2, K + 2))


def ideal_gains(counts: Indices) -> Floats:
    """The gain of a perfect list of each user, who reads `counts` (n,) items, at least one."""
    gains: Floats = np.cumsum(DISCOUNTS)[np.minimum(counts, K) - 1]
    return gains


def ndcg(hits: Vectors | Mask, scores: Vectors, starts: Indices, counts: Indices) -> Floats:
    """NDCG@20 of each user (n,) whose candidates (N,) begin at `starts`; they will read `counts` items in all."""
    sizes = np.diff(starts, append=len(scores))
    owner = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((-scores, owner))
    ranks = np.arange(len(order)) - starts[owner[order]]
    is_top = ranks < K
    gains = hits[order][is_top] * DISCOUNTS[ranks[is_top]]
    result: Floats = np.bincount(owner[order][is_top], gains, len(sizes)) / ideal_gains(counts)
    return result
