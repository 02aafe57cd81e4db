"""The best of many scores."""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]


def top_n(scores: Scores, n: int, *, excluded: Mask | None = None) -> Indices:
    """Indices of the best n, best first, the lower index first among equals; fewer where fewer are available.

    Neither an excluded one nor one whose score is NaN is available.
    """
    available = ~np.isnan(scores) if excluded is None else ~(np.isnan(scores) | excluded)
    indices = np.flatnonzero(available)
    if 0 < n < len(indices):
        nth_best = np.partition(scores[indices], -n)[-n]
        indices = indices[scores[indices] >= nth_best]
    return indices[np.argsort(-scores[indices], kind="stable")[:n]]


def largest(values: Scores, n: int) -> Mask:
    """Which of some values (k,), none of them NaN, are the `n` largest, the first among equals."""
    if n >= len(values):
        return np.ones(len(values), bool)
    least = np.partition(values, len(values) - n)[len(values) - n]
    chosen: Mask = values > least
    chosen[np.flatnonzero(values == least)[: n - np.count_nonzero(chosen)]] = True
    return chosen
