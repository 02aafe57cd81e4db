import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.ranking import candidate_pool, rank, served_scores, top_n

finite = st.floats(-1e6, 1e6)
any_score = st.one_of(finite, st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf]))
similarity = st.floats(-1.0, 1.0)
decayed_sum = st.one_of(st.just(0.0), st.floats(0.0, 1e5))


def scores_and_excluded() -> st.SearchStrategy[list[tuple[float, bool]]]:
    return st.lists(st.tuples(any_score, st.booleans()), max_size=40)


def ranked(
    personal: list[float], popularity: list[float], *, n: int = 10, weight: float = 2.0, pool_size: int = 50
) -> tuple[list[int], list[float], list[str]]:
    indices, scores, sources = rank(
        np.array(personal), np.array(popularity), n=n, popularity_weight=weight, pool_size=pool_size
    )
    return indices.tolist(), scores.tolist(), list(sources)


@given(scores_and_excluded(), st.integers(0, 50))
@settings(deadline=None)
def test_the_top_n_are_the_best_that_are_available(rows: list[tuple[float, bool]], n: int) -> None:
    scores, excluded = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], bool)
    available = [index for index, (score, out) in enumerate(rows) if not out and not math.isnan(score)]
    expected = sorted(available, key=lambda index: (-rows[index][0], index))[:n]
    assert top_n(scores, n, excluded=excluded).tolist() == expected


@given(st.lists(finite, unique=True, max_size=40), st.integers(0, 50), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_shuffled_candidates_have_the_same_top_n(scores: list[float], n: int, random: Random) -> None:
    shuffled = random.sample(scores, len(scores))
    best, best_of_shuffled = top_n(np.array(scores), n), top_n(np.array(shuffled), n)
    assert [scores[index] for index in best] == [shuffled[index] for index in best_of_shuffled]


@given(st.lists(st.tuples(similarity, decayed_sum), max_size=30), st.floats(0.0, 10.0))
@settings(deadline=None)
def test_served_scores_are_always_finite(rows: list[tuple[float, float]], weight: float) -> None:
    personal, popularity = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    scores = served_scores(personal, popularity, popularity_weight=weight)
    assert scores.shape == personal.shape
    assert np.isfinite(scores).all()


def test_served_scores_add_the_standard_scores_of_both_signals() -> None:
    scores = served_scores(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.0, 3.0]), popularity_weight=0.5)
    assert scores == pytest.approx(
        [-math.sqrt(1.5) - 0.5 / math.sqrt(2), -0.5 / math.sqrt(2), math.sqrt(1.5) + 0.5 * math.sqrt(2)]
    )


def test_a_signal_that_is_the_same_for_all_adds_nothing() -> None:
    same = np.array([0.1 + 0.2, 0.3, 0.3, 0.3, 0.3, 0.3])  # but for rounding
    assert not served_scores(same, same, popularity_weight=2.0).any()
    varied = np.arange(6.0)
    np.testing.assert_array_equal(
        served_scores(varied, same, popularity_weight=2.0), served_scores(varied, 0 * same, popularity_weight=9.0)
    )


def test_a_sum_that_rounding_left_below_zero_counts_as_nothing() -> None:
    personal = np.array([0.1, 0.2, 0.3])
    below, zero = np.array([-1e-9, 0.0, 5.0]), np.array([0.0, 0.0, 5.0])
    np.testing.assert_array_equal(
        served_scores(personal, below, popularity_weight=2.0), served_scores(personal, zero, popularity_weight=2.0)
    )


def test_many_users_are_scored_row_by_row() -> None:
    random = np.random.default_rng(2)
    personal, popularity = random.standard_normal((4, 9)), random.random(9)
    together = served_scores(personal, popularity, popularity_weight=2.0)
    for row, own in zip(together, personal, strict=True):
        np.testing.assert_allclose(row, served_scores(own, popularity, popularity_weight=2.0))


def test_the_pool_joins_the_best_by_each_signal_without_the_excluded() -> None:
    personal, popularity = np.array([9.0, 8.0, 0.0, 7.0, 1.0]), np.array([0.0, 1.0, 9.0, 5.0, 8.0])
    excluded = np.array([True, False, False, False, False])
    assert candidate_pool(personal, popularity, excluded=excluded, size=2).tolist() == [1, 2, 3, 4]
    assert candidate_pool(personal, popularity, size=2).tolist() == [0, 1, 2, 4]


@given(
    st.lists(st.tuples(similarity, decayed_sum, st.booleans()), max_size=30),
    st.integers(0, 40),
    st.integers(1, 40),
)
@settings(deadline=None)
def test_a_list_holds_the_n_best_without_repeats_or_anything_excluded(
    rows: list[tuple[float, float, bool]], n: int, pool_size: int
) -> None:
    excluded = np.array([row[2] for row in rows], bool)
    indices, scores, sources = rank(
        np.array([row[0] for row in rows]),
        np.array([row[1] for row in rows]),
        excluded=excluded,
        n=n,
        popularity_weight=2.0,
        pool_size=pool_size,
    )
    assert len(indices) == len(scores) == len(sources) == min(n, int((~excluded).sum()))
    assert len(set(indices.tolist())) == len(indices)
    assert not excluded[indices].any()
    assert (np.diff(scores) <= 0).all()
    assert set(sources) <= {"personal", "popular"}


def test_the_pool_may_be_gathered_beforehand() -> None:
    random = np.random.default_rng(3)
    personal, popularity = random.standard_normal(60), random.exponential(size=60)
    pool = candidate_pool(personal, popularity, size=15)
    within, scores, _ = ranked(personal[pool].tolist(), popularity[pool].tolist(), pool_size=15)
    whole, scores_of_whole, _ = ranked(personal.tolist(), popularity.tolist(), pool_size=15)
    assert pool[within].tolist() == whole
    assert scores == pytest.approx(scores_of_whole)


def test_a_user_of_whom_nothing_is_known_gets_the_popular() -> None:
    indices, _, sources = ranked([0.0] * 5, [1.0, 5.0, 0.0, 3.0, 9.0], n=4)
    assert indices == [4, 1, 3, 0]
    assert sources == ["popular"] * 4


def test_a_site_without_recent_actions_ranks_by_the_user_alone() -> None:
    indices, _, sources = ranked([0.1, -0.5, 0.9], [0.0, 0.0, 0.0])
    assert indices == [2, 0, 1]
    assert sources == ["personal"] * 3


def test_the_source_is_the_signal_that_says_more() -> None:
    indices, _, sources = ranked([0.9, 0.0, -0.1, 0.1], [0.0, 30.0, 0.2, 0.1], weight=1.0)
    assert dict(zip(indices, sources, strict=True))[0] == "personal"
    assert dict(zip(indices, sources, strict=True))[1] == "popular"


def test_a_heavier_popularity_weight_brings_the_popular_to_the_top() -> None:
    personal, popularity = [0.9, 0.1, 0.0], [0.0, 1.0, 9.0]
    assert ranked(personal, popularity, weight=0.2)[0][0] == 0
    assert ranked(personal, popularity, weight=5.0)[0][0] == 2
