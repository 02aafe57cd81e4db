from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lib.core.embeddings import (
    join_vectors,
    latest_per_user,
    learn_text_projection,
    project_text_vectors,
    unit_rows,
    user_embeddings,
)

DAY = 86_400.0
N_USERS = 3
N_ITEMS = 5
Vectors = NDArray[np.float32]
Action = tuple[int, int, float, float]  # user, item, weight, age in seconds

actions = st.lists(
    st.tuples(
        st.integers(0, N_USERS - 1),
        st.integers(0, N_ITEMS - 1),
        st.sampled_from([1.0, 3.0, 0.5, -0.5, -2.0, 0.0]),
        st.integers(0, 400 * 86_400).map(float),
    ),
    max_size=30,
)


def random_vectors(n: int, size: int, seed: int = 1) -> Vectors:
    return np.random.default_rng(seed).standard_normal((n, size), dtype=np.float32)


ITEM_VECTORS = unit_rows(random_vectors(N_ITEMS, 4))


def embed(rows: list[Action], vectors: Vectors = ITEM_VECTORS, *, n_users: int = N_USERS) -> Vectors:
    users, items = (np.array([row[column] for row in rows], np.intp) for column in (0, 1))
    weights, ages = (np.array([row[column] for row in rows], np.float64) for column in (2, 3))
    return user_embeddings(users, items, weights, ages, vectors, n_users=n_users, half_life_seconds=30 * DAY)


def lengths(vectors: Vectors) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = (vectors.astype(float) ** 2).sum(axis=1)
    return np.sqrt(squares)


# Text vectors


def test_projected_text_vectors_have_unit_length_and_the_asked_size() -> None:
    projected = project_text_vectors(random_vectors(50, 20), size=8)
    assert projected.shape == (50, 8)
    assert projected.dtype == np.float32
    np.testing.assert_allclose(lengths(projected), 1.0, atol=1e-6)


def test_what_lies_in_few_dimensions_keeps_its_centred_cosines_when_projected() -> None:
    vectors = unit_rows(random_vectors(40, 3) @ random_vectors(3, 30, seed=2) + 5.0)
    centred = unit_rows(vectors - vectors.mean(axis=0))
    projected = project_text_vectors(vectors, size=4)
    np.testing.assert_allclose(projected @ projected.T, centred @ centred.T, atol=1e-4)


def test_text_vectors_smaller_than_the_size_are_filled_up_with_zeros() -> None:
    projected = project_text_vectors(random_vectors(10, 3), size=5)
    assert projected.shape == (10, 5)
    assert not projected[:, 3:].any()


@pytest.mark.parametrize("width", [3, 4, 20])
def test_content_that_comes_later_gets_the_place_that_it_would_have_had(width: int) -> None:
    vectors = random_vectors(50, width)
    projection = learn_text_projection(vectors, size=4)
    for rows in ([7], [49, 0, 3]):
        np.testing.assert_allclose(projection.of(vectors[rows]), project_text_vectors(vectors, size=4)[rows], atol=1e-6)
    later = random_vectors(5, width, seed=2)
    np.testing.assert_allclose(lengths(projection.of(later)), 1.0, atol=1e-6)
    between = projection.of(unit_rows(later + vectors[:5]))
    assert ((between * projection.of(vectors[:5])).sum(axis=1) > 0).all()


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_an_absent_text_vector_gives_zeros_and_leaves_the_others_alone(bad: float) -> None:
    vectors = random_vectors(10, 6)
    with_absent = np.insert(vectors, 4, np.float32(bad), axis=0)
    projected = project_text_vectors(with_absent, size=4)
    assert not projected[4].any()
    np.testing.assert_array_equal(np.delete(projected, 4, axis=0), project_text_vectors(vectors, size=4))


@pytest.mark.parametrize(
    "vectors",
    [
        pytest.param(np.zeros((0, 6)), id="none"),
        pytest.param(np.zeros((3, 6)), id="all absent"),
        pytest.param(np.full((1, 6), 2.0), id="a single one"),
        pytest.param(
            np.outer(np.arange(1.0, 30.0), [0.1, 0.7, 0.3, 0.9]).astype(np.float32), id="all of one direction"
        ),
    ],
)
def test_text_vectors_that_tell_nothing_apart_give_zeros(vectors: NDArray[np.floating]) -> None:
    projected = project_text_vectors(vectors, size=4)
    assert projected.shape == (len(vectors), 4)
    assert not projected.any()


def test_text_vectors_of_extreme_length_are_read_by_their_direction() -> None:
    vectors = random_vectors(10, 6)
    scales = np.array([1e-20, 1e20] * 5)[:, None]
    scaled = project_text_vectors(vectors * scales, size=4)
    np.testing.assert_allclose(scaled, project_text_vectors(vectors, size=4), atol=1e-5)


# Joined vectors


@given(st.floats(0.0, 1.0))
@settings(deadline=None)
def test_the_dot_product_of_joined_vectors_is_the_weighted_mean_of_the_cosines(text_share: float) -> None:
    learned, text = random_vectors(6, 3) * np.float32(7), random_vectors(6, 4, seed=2) * np.float32(0.1)
    joined = join_vectors(learned, text, text_share=text_share)
    learned, text = unit_rows(learned), unit_rows(text)
    expected = (1 - text_share) * learned @ learned.T + text_share * text @ text.T
    np.testing.assert_allclose(joined @ joined.T, expected, atol=1e-5)
    np.testing.assert_allclose(lengths(joined), 1.0, atol=1e-6)


def test_an_item_with_one_block_keeps_that_block_and_one_with_none_is_zero() -> None:
    learned = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]], np.float32)
    text = np.array([[0.0], [2.0], [0.0]], np.float32)
    joined = join_vectors(learned, text, text_share=0.3)
    np.testing.assert_allclose(joined, [[0.6, 0.8, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]], atol=1e-6)


# User embeddings


def test_a_half_life_halves_the_weight_of_an_action() -> None:
    [embedding] = embed([(0, 0, 1.0, 0.0), (0, 1, 1.0, 30 * DAY)], np.eye(2, dtype=np.float32), n_users=1)
    np.testing.assert_allclose(embedding, np.array([1.0, 0.5]) / np.sqrt(1.25), atol=1e-6)


def test_a_negative_action_pushes_away() -> None:
    [embedding] = embed([(0, 0, 1.0, 0.0), (0, 1, -1.0, 0.0)], np.eye(2, dtype=np.float32), n_users=1)
    np.testing.assert_allclose(embedding, np.array([1.0, -1.0]) / np.sqrt(2), atol=1e-6)


@given(actions)
@settings(deadline=None)
def test_embeddings_have_unit_length_or_are_zero(rows: list[Action]) -> None:
    embeddings = embed(rows)
    assert embeddings.shape == (N_USERS, 4)
    for length in lengths(embeddings):
        assert length == 0.0 or length == pytest.approx(1.0, abs=1e-6)


@given(actions, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_the_actions_does_not_matter(rows: list[Action], random: Random) -> None:
    np.testing.assert_allclose(embed(random.sample(rows, len(rows))), embed(rows), atol=1e-6)


@given(actions, st.integers(0, 10_000 * 86_400))
@settings(deadline=None)
def test_the_direction_does_not_depend_on_now(rows: list[Action], later: int) -> None:
    aged = [(user, item, weight, age + later) for user, item, weight, age in rows]
    np.testing.assert_allclose(embed(aged), embed(rows), atol=1e-6)


@given(actions)
@settings(deadline=None)
def test_users_embedded_one_by_one_are_as_in_one_go(rows: list[Action]) -> None:
    together = embed(rows)
    for user in range(N_USERS):
        own = [(0, *row[1:]) for row in rows if row[0] == user]
        np.testing.assert_allclose(embed(own, n_users=1)[0], together[user], atol=1e-6)


def test_a_long_log_gives_the_sums_of_a_plain_loop() -> None:
    random = np.random.default_rng(5)
    rows = [
        (int(user), int(item), float(weight), float(age))
        for user, item, weight, age in zip(
            random.integers(0, N_USERS, 10_000),
            random.integers(0, N_ITEMS, 10_000),
            random.uniform(-1, 3, 10_000),
            random.uniform(0, 90 * DAY, 10_000),
            strict=True,
        )
    ]
    sums = np.zeros((N_USERS, 4))
    for user, item, weight, age in rows:
        sums[user] += weight * 2 ** (-age / (30 * DAY)) * ITEM_VECTORS[item]
    np.testing.assert_allclose(embed(rows), unit_rows(sums), atol=1e-6)


def test_a_user_who_was_away_for_centuries_keeps_his_interests() -> None:
    rows = [(0, 0, 1.0, 0.0), (0, 1, 2.0, 10 * DAY)]
    long_ago = [(user, item, weight, age + 1e6 * DAY) for user, item, weight, age in rows]
    np.testing.assert_allclose(embed(long_ago, n_users=1), embed(rows, n_users=1), atol=1e-6)


def test_a_user_who_comes_back_after_centuries_is_known_by_what_he_did_since() -> None:
    embedding = embed([(0, 0, 1.0, 1e6 * DAY), (0, 1, 1.0, 0.0)], n_users=1)
    np.testing.assert_allclose(embedding[0], ITEM_VECTORS[1], atol=1e-6)


def test_an_action_on_an_unknown_item_does_not_drown_much_older_ones() -> None:
    vectors = np.array([[0.0, 0.0], [0.6, 0.8]], np.float32)
    [embedding] = embed([(0, 0, 1.0, 0.0), (0, 1, 1.0, 1e6 * DAY)], vectors, n_users=1)
    np.testing.assert_allclose(embedding, vectors[1], atol=1e-6)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([], id="no action"),
        pytest.param([(0, 0, 0.0, 5.0)], id="an action without weight"),
        pytest.param([(0, 0, 0.1, 5.0), (0, 0, 0.2, 5.0), (0, 0, -0.3, 5.0)], id="actions that cancel out"),
    ],
)
def test_a_user_of_whom_nothing_is_known_has_a_zero_embedding(rows: list[Action]) -> None:
    assert embed(rows, n_users=1).tolist() == [[0.0] * 4]


def test_the_latest_rows_of_each_user_are_taken_latest_first() -> None:
    users = np.array([1, 0, 1, 1, 0])
    times = np.array([10.0, 50.0, 30.0, 20.0, 40.0])
    assert latest_per_user(users, np.zeros(5, np.intp), times, limit=2).tolist() == [1, 4, 2, 3]
