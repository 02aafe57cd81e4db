"""Trains a site's ranker on its own log, and checks it on what it has not seen: served only where it is better."""

from collections.abc import Callable, Sequence

import numpy as np

from lib.core.half_lives import DEFAULT_POSITION
from lib.core.ranker.features import feature_names
from lib.core.ranker.half_life import choose_position, popular_scores
from lib.core.ranker.log import Log
from lib.core.ranker.metrics import ndcg
from lib.core.ranker.replay import Slice, slices
from lib.core.ranker.site import MakeVectors
from lib.core.ranker.softmax_ranker import Model, fit, scores
from lib.core.ranker.stored import trained_as_json, trained_from_json
from lib.core.ranker.trained import INTERACTING, Trained

__all__ = ["Trained", "fitted", "train", "trained_as_json", "trained_from_json", "validated_gain"]

_L2 = 3e-3
_MIN_USERS = 100  # with a hit among their candidates; below, 52 weights are noise


def train(
    log: Log,
    now: float,
    window_seconds: float,
    vectors: Sequence[MakeVectors],
    *,
    position: float | None = None,
    may_continue: Callable[[], bool] = lambda: True,
) -> Trained:
    """One bounded run over the log before `now`; lists are to serve for `window_seconds`.

    1. Choose by replay how fast popularity decays, unless `position` says it.
    2. Replay slices of the log, as many as `may_continue` allows; it is asked before each.
    3. Fit a ranker to the older ones. Unless popularity beats it on the latest by more than one standard error, fit the
       one to serve to all of them.
    """
    log = log.before(now)
    if position is None:
        position = choose_position(log, now, window_seconds, default=DEFAULT_POSITION, may_continue=may_continue)
    parts = slices(log, now, window_seconds, vectors, may_continue=may_continue)
    gain, error = validated_gain(parts, window_seconds, position, len(vectors))
    # Of a few hundred users a ranker that is as good as popularity is often a little behind.
    model = fitted(parts, len(vectors)) if gain > -error else None
    return Trained(position, model, gain, len(parts), sum(part.n_sampled for part in parts), window_seconds)


def validated_gain(
    parts: Sequence[Slice], window_seconds: float, position: float, n_vectors: int
) -> tuple[float, float]:
    """By how much a ranker fitted to older slices beats popularity on the latest, and the standard error of that.

    Their windows don't overlap. NaN where there is too little to fit.
    """
    older = [part for part in parts[1:] if part.time + window_seconds <= parts[0].time]
    model = fitted(older, n_vectors)
    if model is None:
        return float("nan"), 0.0
    latest = parts[0].examples
    ranked = scores(model, latest.features, latest.attributes, latest.starts)
    results = [
        ndcg(latest.gains > 0, values, latest.starts, parts[0].counts)
        for values in (ranked, popular_scores(latest.features, position))
    ]
    lead = np.zeros(parts[0].n_sampled)  # nothing to win or lose for those who read none of their candidates
    lead[: len(results[0])] = results[0] - results[1]
    return float(lead.mean()), float(lead.std() / np.sqrt(len(lead)))


def fitted(parts: Sequence[Slice], n_vectors: int) -> Model | None:
    """The ranker of these slices, None where there are too few users to learn from."""
    if sum(len(part.examples) for part in parts) < _MIN_USERS:
        return None
    names = feature_names(n_vectors)
    interacting = np.array([names.index(name) for name in INTERACTING])
    return fit([part.examples for part in parts], interacting, l2=_L2)
