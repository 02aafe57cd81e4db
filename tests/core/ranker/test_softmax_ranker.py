from dataclasses import replace

import numpy as np
import pytest

from lib.core.ranker import softmax_ranker
from lib.core.ranker.log import Floats
from lib.core.ranker.softmax_ranker import Examples, Model, fit, joined, scores

WEIGHTS = np.array([1.5, -0.8, 0.0])


def drawn(seed: int, n_users: int, *, interaction: float = 0.0, n_features: int = 3) -> Examples:
    """Users who each read one of their candidates, drawn by the softmax of known weights."""
    random = np.random.default_rng(seed)
    sizes = random.integers(5, 30, n_users)
    starts = np.cumsum(sizes) - sizes
    features = random.standard_normal((sizes.sum(), n_features)).astype(np.float32)
    attributes = random.standard_normal((n_users, 2)).astype(np.float32)
    owner = np.repeat(np.arange(n_users), sizes)
    logits = features[:, :3] @ WEIGHTS + interaction * attributes[owner, 1] * features[:, 0]
    noisy = logits + random.gumbel(size=len(logits))
    gains = (noisy == np.maximum.reduceat(noisy, starts)[owner]).astype(np.float32)
    return Examples(features, attributes, starts, gains)


def by_unit(model: Model) -> Floats:
    """The weights of the base features as they are, not standardised."""
    weights: Floats = model.weights[: len(model.scale)] * model.scale
    return weights


def test_the_weights_that_made_the_choices_are_found() -> None:
    model = fit([drawn(1, 3_000)], np.array([0]), l2=1e-5)
    np.testing.assert_allclose(by_unit(model), WEIGHTS, atol=0.1)
    np.testing.assert_allclose(model.weights[3:], 0.0, atol=0.1)


def test_an_interaction_with_what_the_user_is_like_is_found() -> None:
    model = fit([drawn(2, 3_000, interaction=0.7)], np.array([0]), l2=1e-5)
    np.testing.assert_allclose(model.weights[3:], [0.0, 0.7], atol=0.1)


def test_the_gradient_of_the_loss_is_zero_at_the_fitted_weights() -> None:
    data = drawn(3, 200)
    model = fit([data], np.array([0, 2]), l2=0.01)
    loss, gradient, _ = softmax_ranker._derivatives(model, [data], 0.01)
    assert np.abs(gradient).max() < 1e-3
    for k in range(len(model.weights)):
        for step in (-0.1, 0.1):
            shifted = model.weights.copy()
            shifted[k] += step
            moved = replace(model, weights=shifted)
            assert softmax_ranker._derivatives(moved, [data], 0.01)[0] > loss


def test_parts_are_as_good_as_one() -> None:
    one, other = drawn(4, 90), drawn(5, 70)
    both = joined([one, other])
    interacting = np.array([1])
    apart, together = fit([one, other], interacting, l2=0.01), fit([both], interacting, l2=0.01)
    np.testing.assert_allclose(apart.weights, together.weights, atol=1e-4)


def test_a_sample_of_what_was_not_read_is_enough() -> None:
    data = drawn(7, 6_000)
    kept = (data.gains > 0) | (np.random.default_rng(7).random(len(data.gains)) < 0.5)
    owner = np.repeat(np.arange(len(data)), np.diff(data.starts, append=len(kept)))
    sizes = np.bincount(owner[kept], minlength=len(data))
    sampled = Examples(data.features[kept], data.attributes, np.cumsum(sizes) - sizes, data.gains[kept])
    whole, of_sample = (by_unit(fit([part], np.array([0]), l2=1e-5)) for part in (data, sampled))
    np.testing.assert_allclose(of_sample, whole, atol=0.06)


def test_scores_follow_the_weights_and_do_not_depend_on_who_else_is_ranked() -> None:
    data = drawn(6, 40)
    model = fit([data], np.array([0]), l2=0.01)
    together = scores(model, data.features, data.attributes, data.starts)
    ends = np.append(data.starts[1:], len(data.features))
    for user, (start, end) in enumerate(zip(data.starts, ends, strict=True)):
        alone = scores(model, data.features[start:end], data.attributes[user : user + 1], np.zeros(1, np.intp))
        np.testing.assert_allclose(alone, together[start:end], atol=1e-5)


def test_a_column_that_is_always_the_same_says_nothing() -> None:
    data = drawn(7, 100)
    data.features[:, 2] = 4.0
    model = fit([data], np.array([2]), l2=0.01)
    assert model.weights[2] == 0.0
    assert not model.weights[3:].any()


def test_two_columns_that_are_the_same_share_the_weight() -> None:
    data = drawn(8, 400)
    data.features[:, 2] = data.features[:, 0]
    model = fit([data], np.array([0]), l2=0.01)
    assert model.weights[0] == pytest.approx(model.weights[2], rel=0.01)


def test_nobody_has_no_scores() -> None:
    model = fit([drawn(9, 50)], np.array([0]), l2=0.01)
    empty = np.empty((0, 3), np.float32)
    assert scores(model, empty, np.empty((0, 2), np.float32), np.empty(0, np.intp)).shape == (0,)
