"""One matrix, solved for from the log, that turns what a user read into what he goes on to read.

A user's vector z is a decayed sum of item vectors. How well z.e fits an item e is a matter of which directions of
reading lead to which, and the log knows: M minimises the squared error of z.M.e over (vector before an action, item),
where the item of the action should score 1 and all others 0. With ridges on both sides that is one solve in closed
form,
    M = (Z'Z + a I)^-1 Z'Y (E'WE + b I)^-1,
Z (k, d) the users' vectors, Y (k, d) those of the items that were read then, E (n, d) those of all items, W the square
roots of the items' readers. (Ridge regression with weighted negatives, as in Hu, Koren and Volinsky, ICDM 2008, in
the space of the item vectors.) M is brought to the scale of the identity, and a share of the identity is added: what is
like what was read stays in the lists.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lib.core.embeddings import Floats, Vectors, unit_rows
from lib.core.ranker.log import DAY, Log, decay, first_reads
from lib.core.taste.log_parts import is_first_read
from lib.core.taste.states import states_before_actions

_SMALLEST = 1e-12  # a trace below is no evidence at all


@dataclass(frozen=True)
class MapSettings:
    """What the solve can be tuned by. Ridges are multiples of the mean eigenvalue, so the log's size has no part."""

    evidence_half_life_days: float = 4.0  # of what the log says about reading, not of a user's interests
    state_ridge: float = 3.0
    item_ridge: float = 4.0
    identity_share: float = 0.3  # relative to the learned map's mean length over all reads


@dataclass(frozen=True)
class Evidence:
    """The sums that the solve needs, for one half-life of evidence each (h,)."""

    states: Floats  # (h, d, d) Z'Z
    reads: Floats  # (h, d, d) Z'Y
    items: Floats  # (d, d) E'WE
    shown: Floats  # (d, d) the mean of e e' over all reads


def learn_map(
    log: Log, now: float, item_vectors: Vectors, settings: MapSettings, *, half_life_seconds: float
) -> Floats:
    """M (d, d) by the log before `now`; the identity where that shows nothing. `half_life_seconds` is of interests."""
    evidence = gather_evidence(
        log.before(now),
        item_vectors,
        half_life_seconds=half_life_seconds,
        evidence_half_lives_days=[settings.evidence_half_life_days],
    )
    return solve_map(evidence, 0, settings)


def map_users(user_vectors: Vectors, learned_map: Floats) -> Vectors:
    """What item vectors are multiplied with (u, d): z.M at unit length, or zero.

    The length would be the same for all items, so one user's order of items is that of z.M.e.
    """
    return unit_rows(user_vectors @ learned_map.astype(np.float32))


def gather_evidence(
    log: Log, item_vectors: Vectors, *, half_life_seconds: float, evidence_half_lives_days: Sequence[float]
) -> Evidence:
    """One walk through the log (m actions): 4 m d^2 floating-point operations for each half-life of evidence."""
    d = item_vectors.shape[1]
    states, reads = np.zeros((2, len(evidence_half_lives_days), d, d))
    is_target = is_first_read(log)
    for rows, before in states_before_actions(log, item_vectors, half_life_seconds=half_life_seconds):
        wanted = is_target[rows] & before.any(axis=1)
        rows, before = rows[wanted], before[wanted]
        # Ages count from the last action: the sums' common scale has no part, but must not vanish while nobody acts.
        ages_days = (log.times[-1] - log.times[rows]) / DAY
        for index, half_life in enumerate(evidence_half_lives_days):
            weighted = before * decay(ages_days, half_life)[:, None].astype(np.float32)
            states[index] += weighted.T @ before
            reads[index] += weighted.T @ item_vectors[log.items[rows]]
    readers = np.bincount(first_reads(log).items, minlength=log.n_items).astype(np.float64)
    return Evidence(
        states=states,
        reads=reads,
        items=_gram(item_vectors, np.sqrt(readers + 1.0)),
        shown=_gram(item_vectors, readers / max(readers.sum(), 1.0)),
    )


def solve_map(evidence: Evidence, index: int, settings: MapSettings) -> Floats:
    """M (d, d) for one of the gathered half-lives; the identity where there is no evidence."""
    identity = np.eye(len(evidence.items))
    states, items = evidence.states[index], evidence.items
    if np.trace(states) < _SMALLEST or np.trace(items) < _SMALLEST:
        return identity
    by_state = np.linalg.solve(_with_ridge(states, settings.state_ridge), evidence.reads[index])
    learned = np.linalg.solve(_with_ridge(items, settings.item_ridge), by_state.T).T
    mean_square = np.einsum("ij,jk,ik->", learned, evidence.shown, learned, optimize=True)
    if mean_square < _SMALLEST**2:
        return identity
    learned_map: Floats = learned / np.sqrt(mean_square) + settings.identity_share * identity
    return learned_map


def _with_ridge(gram: Floats, multiple: float) -> Floats:
    ridged: Floats = gram + multiple * float(np.trace(gram)) / len(gram) * np.eye(len(gram))
    return ridged


def _gram(vectors: Vectors, weights: Floats) -> Floats:
    """The sum of weight * e e' over rows (n, d)."""
    weighted = vectors * weights[:, None].astype(np.float32)
    return (weighted.T @ vectors).astype(np.float64)
