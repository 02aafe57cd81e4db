"""A linear ranker: listwise softmax over each user's candidates, fitted by Newton's method.

Inputs are ragged: candidates (N,) of all users one after the other, `starts` (n_users,) where each user's begin.
Base features (N, F) and attributes of users (n_users, A); interactions are products of both, made in chunks.
Source of the loss: Cao et al., ICML 2007 (ListNet), with what each read is worth as its probability.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lib.core.ranker.log import Floats, Indices, Vectors

_CHUNK_USERS = 128  # some 20 MB; smaller products wait for one another's threads where the processor is busy
_ITERATIONS = 12
_CONVERGED = 1e-5  # change of the loss, relative
_NO_SPREAD = 1e-6  # a column that varies less is left out

Derivatives = tuple[float, Floats, Floats]  # loss, gradient (W,), Hessian (W, W)


@dataclass(frozen=True)
class Examples:
    """What a ranker is fitted to. `gains` (N,) are what each candidate's being read is worth, 0 where it wasn't.

    Of the candidates that weren't read a uniform sample will do, without any correction (McFadden, Modelling the Choice
    of Residential Location, 1978).
    """

    features: Vectors
    attributes: Vectors
    starts: Indices
    gains: Vectors

    def __len__(self) -> int:
        return len(self.starts)


def joined(parts: Sequence[Examples]) -> Examples:
    """One after the other."""
    firsts = np.cumsum([0, *(len(part.gains) for part in parts)])
    return Examples(
        features=np.concatenate([part.features for part in parts]),
        attributes=np.concatenate([part.attributes for part in parts]),
        starts=np.concatenate([part.starts + first for part, first in zip(parts, firsts, strict=False)]),
        gains=np.concatenate([part.gains for part in parts]),
    )


@dataclass(frozen=True)
class Model:
    """Weights (W,) of the standardised columns: base features, then attribute × interacting feature.

    A column is standardised as (value - mean) * scale.
    """

    mean: Vectors
    scale: Vectors
    attribute_mean: Vectors
    attribute_scale: Vectors
    interacting: Indices
    weights: Floats


def fit(parts: Sequence[Examples], interacting: Indices, *, l2: float) -> Model:
    """The weights with the least mean loss + l2/2 |w|², deterministic. `parts` hold a user at least."""
    model = _standardise(parts, interacting)
    loss, gradient, hessian = _derivatives(model, parts, l2)
    step = 1.0
    for _ in range(_ITERATIONS):
        trial = replace(model, weights=model.weights - step * np.linalg.solve(hessian, gradient))
        found = _derivatives(trial, parts, l2)
        if found[0] > loss:
            step /= 2
            continue
        converged = loss - found[0] < _CONVERGED * loss
        model, step, (loss, gradient, hessian) = trial, 1.0, found
        if converged:
            break
    return model


def scores(model: Model, features: Vectors, attributes: Vectors, starts: Indices) -> Vectors:
    """Scores (N,) of candidates; higher is better, comparable within one user."""
    weights = model.weights.astype(np.float32)
    parts = [
        columns_of(model, features[a:b], attributes[u:v], starts[u:v] - a) @ weights
        for u, v, a, b in _chunks(starts, len(features))
    ]
    return np.concatenate([np.empty(0, np.float32), *parts])


def columns_of(model: Model, features: Vectors, attributes: Vectors, starts: Indices) -> Vectors:
    """Standardised base features and interactions (n, W) of a few users."""
    n_base, n_crossed = features.shape[1], len(model.interacting)
    columns = np.empty((len(features), len(model.weights)), np.float32)
    base = columns[:, :n_base]
    base[:] = standardised(model, features)
    about = (attributes - model.attribute_mean) * model.attribute_scale
    about = np.repeat(about, np.diff(starts, append=len(features)), axis=0)
    interacting = base[:, model.interacting]
    for number, column in enumerate(about.T):
        begin = n_base + number * n_crossed
        np.multiply(interacting, column[:, None], out=columns[:, begin : begin + n_crossed])
    return columns


def standardised(model: Model, features: Vectors) -> Vectors:
    """Base features (n, F) as the weights want them."""
    base: Vectors = features - model.mean
    base *= model.scale
    return base


def weights_of(model: Model, attributes: Vectors) -> tuple[Floats, Floats]:
    """What each standardised base feature weighs (F,): in itself, and by its interactions for a user of these
    attributes (A,)."""
    own, interactions = np.split(model.weights, [len(model.mean)])
    crossed = np.zeros(len(own))
    about = (attributes - model.attribute_mean) * model.attribute_scale
    crossed[model.interacting] = about @ interactions.reshape(len(about), len(model.interacting))
    return own, crossed


def _standardise(parts: Sequence[Examples], interacting: Indices) -> Model:
    mean, scale = _mean_and_scale([part.features for part in parts])
    attribute_mean, attribute_scale = _mean_and_scale([part.attributes for part in parts])
    n_weights = len(mean) + len(interacting) * len(attribute_mean)
    return Model(mean, scale, attribute_mean, attribute_scale, interacting, np.zeros(n_weights))


def _mean_and_scale(parts: Sequence[Vectors]) -> tuple[Vectors, Vectors]:
    """The mean of each column and the inverse of its standard deviation, 0 where there is none."""
    moments = []
    for k in range(parts[0].shape[1]):  # one by one, because all of them in float64 would be large
        column = np.concatenate([part[:, k] for part in parts])
        moments.append((column.mean(dtype=np.float64), column.std(dtype=np.float64)))
    mean, spread = np.array(moments).T
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > _NO_SPREAD)
    return mean.astype(np.float32), scale.astype(np.float32)


def _derivatives(model: Model, parts: Sequence[Examples], l2: float) -> Derivatives:
    n, weights, total = len(model.weights), model.weights, sum(float(part.gains.sum()) for part in parts)
    loss, gradient, hessian = l2 / 2 * float(weights @ weights), l2 * weights, l2 * np.eye(n)
    for part in parts:
        for u, v, a, b in _chunks(part.starts, len(part.features)):
            starts = part.starts[u:v] - a
            columns = columns_of(model, part.features[a:b], part.attributes[u:v], starts)
            found = _softmax_part(columns, columns @ weights.astype(np.float32), part.gains[a:b], starts)
            loss, gradient, hessian = (
                loss + found[0] / total,
                gradient + found[1] / total,
                hessian + found[2] / total,
            )
    return loss, gradient, hessian


def _softmax_part(columns: Vectors, logits: Vectors, gains: Vectors, starts: Indices) -> Derivatives:
    """Loss, gradient and Hessian of a few users."""
    lengths = np.diff(starts, append=len(logits))
    logits = logits - np.repeat(np.maximum.reduceat(logits, starts), lengths)
    exponents = np.exp(logits)
    sums = np.add.reduceat(exponents, starts)
    chances = exponents / np.repeat(sums, lengths)
    loss = float((gains * (np.repeat(np.log(sums), lengths) - logits)).sum())
    expected = np.add.reduceat(chances[:, None] * columns, starts, axis=0)
    total = np.add.reduceat(gains, starts)
    weighted = columns * np.sqrt(chances * np.repeat(total, lengths))[:, None]
    hessian = weighted.T @ weighted - (expected * total[:, None]).T @ expected
    gradient = total @ expected - gains @ columns
    return loss, gradient.astype(np.float64), hessian.astype(np.float64)


def _chunks(starts: Indices, n: int) -> Iterator[tuple[int, int, int, int]]:
    """(first user, one past the last, first row, one past the last) of each chunk."""
    for u in range(0, len(starts), _CHUNK_USERS):
        v = min(u + _CHUNK_USERS, len(starts))
        yield u, v, int(starts[u]), int(starts[v]) if v < len(starts) else n
