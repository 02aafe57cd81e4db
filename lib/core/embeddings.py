"""Item vectors joined from what is learned and what is written, and users' vectors as decayed sums of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

_AXES_FROM_ROWS = 20_000  # the principal axes settle long before that many rows
_NOISE = 1e-6  # a sum of unit vectors that cancels out to less than this is rounding, no direction
_SHORTEST = 1e-30  # the inverse of a length below overflows float32
_AS_MUCH = 0.03  # of the spread of content
_ROWS_AT_ONCE = 16_384  # of what is joined or projected: some copies of them, in double precision, are 100 MB


@dataclass(frozen=True)
class TextProjection:
    """What brings the app's content vectors to a size of ours: `centre` (M,) goes off, `axes` (M, size) stay.

    Where M is smaller than the size, columns of zeros fill it up.
    """

    centre: Vectors
    axes: Vectors

    def of(self, vectors: NDArray[np.floating]) -> Vectors:
        """Content vectors (n, M) as unit vectors (n, size). One that is all zero or not finite comes back as zeros."""
        present = _present_rows(vectors)
        projected = np.zeros((len(vectors), self.axes.shape[1]), np.float32)
        projected[present] = unit_rows((unit_rows(vectors[present]) - self.centre) @ self.axes, noise=_NOISE)
        return projected


def learn_text_projection(vectors: NDArray[np.floating], *, size: int) -> TextProjection:
    """Onto the principal axes of content vectors (n, M) at unit length. Rows as above have no part in it."""
    rows = unit_rows(vectors[_present_rows(vectors)])
    total: Floats = rows.sum(axis=0, dtype=np.float64)
    centre = (total / max(len(rows), 1)).astype(np.float32)
    return TextProjection(centre, _principal_axes(rows - centre, size))


def says_as_much(before: TextProjection, now: TextProjection, vectors: NDArray[np.floating]) -> bool:
    """Whether an earlier projection is as good for content vectors (n, M) as one that was learned from them: it centres
    them as well, and leaves hardly more of them out. It doesn't where the app has taken another model of its own."""
    if before.axes.shape != now.axes.shape:
        return False
    rows = unit_rows(vectors[_present_rows(vectors)][:_AXES_FROM_ROWS])
    spread, left_out = _left_out(now, rows)
    centred = float(np.sum((before.centre - now.centre) ** 2)) <= _AS_MUCH * spread
    return centred and _left_out(before, rows)[1] <= left_out + _AS_MUCH * spread


def _left_out(projection: TextProjection, rows: Vectors) -> tuple[float, float]:
    """The mean squared distance of rows from the centre, and what of it the axes leave out."""
    away = rows - projection.centre
    spread = float(np.mean(np.sum(away**2, axis=1)))
    return spread, spread - float(np.mean(np.sum((away @ projection.axes) ** 2, axis=1)))


def project_text_vectors(vectors: NDArray[np.floating], *, size: int) -> Vectors:
    """Content vectors (n, M) as unit vectors (n, size), on principal axes of their own."""
    return learn_text_projection(vectors, size=size).of(vectors)


def join_vectors(learned: Vectors, text: Vectors, *, text_share: float) -> Vectors:
    """Both blocks of each item side by side: (n, a) and (n, b) to (n, a + b), unit length or all zero.

    With the blocks weighted by the square roots of their shares, the dot product of two items is the weighted mean
    of their two cosines. An item with one block only keeps that one at full length.
    """
    joined = np.empty((len(learned), learned.shape[1] + text.shape[1]), np.float32)
    for start in range(0, len(learned), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        learned_block = unit_rows(learned[part]) * np.float32(np.sqrt(1.0 - text_share))
        text_block = unit_rows(text[part]) * np.float32(np.sqrt(text_share))
        joined[part] = unit_rows(np.concatenate([learned_block, text_block], axis=1))
    return joined


def user_embeddings(
    user_index: Indices,
    item_index: Indices,
    weights: Floats,
    ages_seconds: Floats,
    item_vectors: Vectors,
    *,
    n_users: int,
    half_life_seconds: float,
) -> Vectors:
    """Each user's interests: the sum of weight * 2^(-age/half-life) * item vector, at unit length (n_users, d).

    The first four arrays are (m,), one entry an action; a negative weight pushes away. Item vectors (n, d) have unit
    length or are zero. A user of whom nothing is known, or whose actions cancel out, gets zeros. Ages count from each
    user's youngest action that says anything, so the direction depends neither on now nor on a long absence.
    """
    useful = np.flatnonzero((weights != 0) & _has_direction(item_vectors, item_index))
    rows = useful[np.argsort(user_index[useful], kind="stable")]  # which takes no time where they come user by user
    users, ages = user_index[rows], ages_seconds[rows]
    heads = np.flatnonzero(np.diff(users, prepend=-1))
    youngest = np.repeat(np.minimum.reduceat(ages, heads), np.diff(heads, append=len(rows)))
    decayed = weights[rows] * np.exp2((youngest - ages) / half_life_seconds)
    sums = weighted_row_sums(users, item_index[rows], decayed.astype(np.float32), item_vectors, n_rows=n_users)
    return unit_rows(sums, noise=_NOISE * np.bincount(users, np.abs(decayed), n_users))


def latest_per_user(user_index: Indices, item_index: Indices, times: Floats, *, limit: int) -> Indices:
    """The rows (k,) that are among their user's `limit` latest, user by user and the latest first."""
    order = np.lexsort((item_index, -times, user_index))
    users = user_index[order]
    rank = np.arange(len(users)) - np.searchsorted(users, users)
    return order[rank < limit]


def weighted_row_sums(
    rows: Indices, columns: Indices, values: NDArray[np.floating], dense: NDArray[np.floating], *, n_rows: int
) -> NDArray[np.floating]:
    """A sparse matrix times a dense one (n_rows, d): values[k] * dense[columns[k]] added to row rows[k], ascending.

    Row by row: what one needs stays in the processor's cache, and the product is a library's.
    """
    result = np.zeros((n_rows, dense.shape[1]), np.result_type(values, dense))
    heads = np.flatnonzero(np.diff(rows, prepend=-1))
    bounds = np.append(heads, len(rows)).tolist()
    for row, head, end in zip(rows[heads].tolist(), bounds[:-1], bounds[1:], strict=True):
        np.dot(values[head:end], dense.take(columns[head:end], axis=0), out=result[row])
    return result


def unit_rows(vectors: NDArray[np.floating], *, noise: NDArray[np.floating] | float = 0.0) -> Vectors:
    """Each row at length 1. One that is no longer than `noise` (of all rows, or one each) becomes zeros."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    known = lengths > np.maximum(noise, _SHORTEST)
    scale = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=known)
    units: Vectors = np.empty(vectors.shape, np.float32)
    np.multiply(vectors, scale[:, None], out=units, casting="same_kind")  # a copy in double precision is large
    return units


def _has_direction(vectors: Vectors, rows: Indices) -> NDArray[np.bool_]:
    """Of each of these rows (m,) whether it is anything but zeros. The others are not looked at, however many."""
    named = np.flatnonzero(np.bincount(rows, minlength=len(vectors)))
    has_direction = np.zeros(len(vectors), bool)
    has_direction[named] = vectors[named].any(axis=1)
    directions: NDArray[np.bool_] = has_direction[rows]
    return directions


def _present_rows(vectors: NDArray[np.floating]) -> Indices:
    return np.flatnonzero(np.isfinite(vectors).all(axis=1) & vectors.any(axis=1))


def _principal_axes(centred: Vectors, size: int) -> Vectors:
    width = centred.shape[1]
    if width <= size:
        return np.eye(width, size, dtype=np.float32)
    sample = centred[:: 1 + len(centred) // _AXES_FROM_ROWS]
    _, axes = np.linalg.eigh(sample.T @ sample)  # ascending, so the widest axes are the last
    widest: Vectors = axes[:, -size:]
    return widest
