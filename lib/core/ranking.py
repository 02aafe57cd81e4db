"""From candidates to a list: what is personal blended with what is popular lately, without what was seen.

Arrays are (n,), one entry a candidate, and indices point into them. `excluded` marks what must not be shown.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]
Source = Literal["personal", "popular"]

_POPULARITY_FLOOR = 0.05  # decayed actions; how far nothing at all lies below a little
_NO_SPREAD = 1e-12  # a signal that varies less says nothing but rounding


def served_scores(personal: Scores, popularity: Scores, *, popularity_weight: float) -> Scores:
    """z(personal) + popularity_weight * z(log popularity) over the candidates of the last axis, never NaN.

    `personal` are dot products of unit vectors, `popularity` decayed sums of one half-life. A signal that is the
    same for every candidate adds nothing.
    """
    from_personal, from_popularity = _contributions(personal, popularity, popularity_weight)
    return from_personal + from_popularity


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


def candidate_pool(personal: Scores, popularity: Scores, *, excluded: Mask | None = None, size: int) -> Indices:
    """The best `size` by each of the two signals, as ascending indices without repeats."""
    return np.union1d(top_n(personal, size, excluded=excluded), top_n(popularity, size, excluded=excluded))


def rank(
    personal: Scores,
    popularity: Scores,
    *,
    excluded: Mask | None = None,
    n: int,
    popularity_weight: float,
    pool_size: int,
) -> tuple[Indices, Scores, list[Source]]:
    """The list of one user: (indices, scores, sources), best first, min(n, available) of each.

    A source is the signal that says more for the item. Where one of the two says nothing, it is the other, and
    "popular" where neither does.
    """
    pool = candidate_pool(personal, popularity, excluded=excluded, size=max(pool_size, n))
    from_personal, from_popularity = _contributions(personal[pool], popularity[pool], popularity_weight)
    scores = from_personal + from_popularity
    best = top_n(scores, n)
    is_personal = from_personal[best] > from_popularity[best]
    if not from_personal.any() or not from_popularity.any():
        is_personal[:] = from_personal.any()
    return pool[best], scores[best], ["personal" if personal_wins else "popular" for personal_wins in is_personal]


def _contributions(personal: Scores, popularity: Scores, popularity_weight: float) -> tuple[Scores, Scores]:
    # Taking contributions back can leave a sum a rounding error below zero.
    log_popularity = np.log(np.maximum(popularity, 0.0) + _POPULARITY_FLOOR)
    return _standard_scores(personal), popularity_weight * _standard_scores(log_popularity)


def _standard_scores(values: Scores) -> Scores:
    if values.size == 0:
        return np.zeros(values.shape)
    centred = values.astype(np.float64) - values.mean(axis=-1, keepdims=True, dtype=np.float64)
    spread = centred.std(axis=-1, keepdims=True)
    scores: Scores = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > _NO_SPREAD)
    return scores
