from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lib.core import co_reads
from lib.core.co_reads import learn_item_vectors

Vectors = NDArray[np.float32]


def learn(reads: list[tuple[int, int]], *, n_items: int, size: int, **options: int) -> Vectors:
    """Vectors of (user, item) reads, each later than the one before it."""
    users, items = (np.array([read[column] for read in reads], np.intp) for column in range(2))
    return learn_item_vectors(users, items, np.arange(len(reads), dtype=float), n_items=n_items, size=size, **options)


def cosine(one: Vectors, other: Vectors) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def random_reads(*, n_users: int, n_items: int, n_reads: int) -> list[tuple[int, int]]:
    random = np.random.default_rng(7)
    return list(zip(random.integers(0, n_users, n_reads), random.integers(0, n_items, n_reads), strict=True))


def test_items_with_the_same_readers_are_alike_and_others_are_not() -> None:
    reads = [(user, item) for user in range(10) for item in ((0, 1, 2) if user < 5 else (3, 4, 5))]
    vectors = learn(reads, n_items=6, size=4)
    assert cosine(vectors[0], vectors[2]) > 0.99
    assert cosine(vectors[3], vectors[5]) > 0.99
    assert abs(cosine(vectors[0], vectors[3])) < 0.01


@pytest.mark.parametrize("size", [3, 12])
def test_dot_products_are_the_nearest_to_the_association_that_the_size_allows(size: int) -> None:
    reads = random_reads(n_users=30, n_items=12, n_reads=120)
    read_by = np.zeros((30, 12))
    read_by[tuple(np.array(reads).T)] = 1.0
    counts = read_by.T @ read_by
    np.fill_diagonal(counts, 0.0)
    frequencies = counts.sum(axis=0) ** 0.75
    expected = np.outer(frequencies, frequencies) / frequencies.sum() ** 2
    information = np.log(np.maximum(counts / counts.sum(), 1e-300) / expected)
    eigenvalues, axes = np.linalg.eigh(np.maximum(information, 0.0) * counts / (counts + 20.0))
    positive = np.maximum(eigenvalues[-size:], 0.0)
    nearest = (axes[:, -size:] * positive) @ axes[:, -size:].T
    vectors = learn(reads, n_items=12, size=size)
    np.testing.assert_allclose(vectors @ vectors.T, nearest, atol=1e-5)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8)), max_size=40), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_the_order_of_the_rows_does_not_matter_to_the_last_bit(reads: list[tuple[int, int]], random: Random) -> None:
    rows = [(user, item, float(position // 3)) for position, (user, item) in enumerate(reads)]
    shuffled = random.sample(rows, len(rows))
    one, other = (
        learn_item_vectors(
            np.array([row[0] for row in some], np.intp),
            np.array([row[1] for row in some], np.intp),
            np.array([row[2] for row in some]),
            n_items=9,
            size=4,
            max_items_per_user=3,
        )
        for some in (rows, shuffled)
    )
    np.testing.assert_array_equal(one, other)


def test_an_item_of_which_the_size_captures_nothing_has_no_vector() -> None:
    popular = [(user, item) for user in range(30) for item in ((0, 1, 2) if user % 2 else (3, 4, 5))]
    vectors = learn([*popular, (30, 6), (30, 7)], n_items=8, size=2)
    assert vectors.any(axis=1).tolist() == [True] * 6 + [False] * 2


def test_a_repeated_read_counts_once() -> None:
    reads = random_reads(n_users=8, n_items=10, n_reads=40)
    np.testing.assert_array_equal(learn(reads + reads, n_items=10, size=4), learn(reads, n_items=10, size=4))


def test_an_item_that_nobody_read_with_another_has_no_vector() -> None:
    vectors = learn([(0, 0), (0, 1), (1, 2)], n_items=4, size=8)
    assert vectors.dtype == np.float32
    assert vectors.any(axis=1).tolist() == [True, True, False, False]


@pytest.mark.parametrize("n_items", [0, 1, 2])
def test_few_items_give_vectors_of_the_full_size(n_items: int) -> None:
    reads = [(user, item) for user in range(3) for item in range(n_items)]
    vectors = learn(reads, n_items=n_items, size=5)
    assert vectors.shape == (n_items, 5)
    assert vectors.any() == (n_items == 2)
    assert np.isfinite(vectors).all()


def test_two_items_read_by_the_same_users_point_the_same_way() -> None:
    vectors = learn([(0, 0), (0, 1), (1, 0), (1, 1)], n_items=2, size=5)
    assert cosine(vectors[0], vectors[1]) == pytest.approx(1.0, abs=1e-5)


def test_of_a_heavy_user_only_the_latest_items_count() -> None:
    heavy = [(0, item) for item in range(6)]
    vectors = learn(heavy, n_items=6, size=4, max_items_per_user=2)
    assert vectors.any(axis=1).tolist() == [False, False, False, False, True, True]


def test_an_item_read_again_is_as_late_as_its_last_read() -> None:
    vectors = learn([(0, 0), (0, 1), (0, 2), (0, 0)], n_items=3, size=4, max_items_per_user=2)
    assert vectors.any(axis=1).tolist() == [True, False, True]


def test_a_log_beyond_the_budget_keeps_the_items_that_were_read_next_to_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads = [(user, item) for user in range(20) for item in range(6)]
    monkeypatch.setattr(co_reads, "_MAX_PAIRS", 20 * 5)
    vectors = learn(reads, n_items=6, size=6)
    neighbours, far_apart = vectors[0] @ vectors[1], vectors[0] @ vectors[5]
    assert neighbours > 0.1
    assert abs(far_apart) < 0.3 * neighbours


def test_the_seed_alone_decides_the_random_start() -> None:
    reads = random_reads(n_users=50, n_items=60, n_reads=400)
    np.testing.assert_array_equal(learn(reads, n_items=60, size=8, seed=3), learn(reads, n_items=60, size=8, seed=3))
    assert not np.array_equal(learn(reads, n_items=60, size=8, seed=3), learn(reads, n_items=60, size=8, seed=4))


def test_many_items_are_factored_by_blocks_to_the_same_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = random_reads(n_users=40, n_items=90, n_reads=900)
    whole = learn(reads, n_items=90, size=6)
    monkeypatch.setattr(co_reads, "_ROWS_AT_ONCE", 25)
    by_blocks = learn(reads, n_items=90, size=6)
    np.testing.assert_allclose(by_blocks @ by_blocks.T, whole @ whole.T, atol=1e-4)
