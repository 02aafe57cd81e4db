"""Places for what would hardly ever be shown otherwise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.defaults import MOST_NEW_PER_PAGE, PAGE
from lib.core.exploration import (
    FEWEST_NEW,
    MOST_NEW,
    new_candidates,
    with_discovery,
    with_exploration,
    with_new_ones,
)


@pytest.mark.parametrize(
    ("recent", "n"),
    [
        pytest.param(0, FEWEST_NEW, id="old ones in any case"),
        pytest.param(FEWEST_NEW - 1, FEWEST_NEW, id="an old one beside the recent"),
        pytest.param(FEWEST_NEW + 1, FEWEST_NEW + 1, id="all that is recent"),
        pytest.param(MOST_NEW + 1, MOST_NEW, id="no more than a read can rank"),
    ],
)
def test_candidates_are_what_was_published_lately_the_newest_first(recent: int, n: int) -> None:
    ages = np.random.default_rng(1).permutation(np.append(np.linspace(0, 10, recent), np.linspace(11, 99, 300)))
    found = new_candidates(-ages, since=-10.0)
    assert ages[found].tolist() == np.sort(ages)[:n].tolist()


def test_what_has_no_date_comes_last_and_the_lower_index_first_among_equals() -> None:
    assert new_candidates(np.array([-np.inf, 1.0, 2.0, -np.inf, 2.0]), since=2.0).tolist() == [2, 4, 1, 0, 3]
    assert new_candidates(np.zeros(0), since=0.0).tolist() == []


def test_what_his_like_read_most_beyond_the_first_page_gets_its_last_place() -> None:
    lift = np.full(60, -np.inf)
    lift[[3, 41, 50]] = 9.0, -0.5, -1.0
    order = with_discovery(np.arange(60), lift)
    assert order[PAGE - 1] == 41
    assert np.delete(order, PAGE - 1).tolist() == [place for place in range(60) if place != 41]


def test_what_stands_far_down_is_no_discovery() -> None:
    lift = np.full(300, -np.inf)
    lift[[129, 130]] = 1.0, 2.0
    assert with_discovery(np.arange(300), lift)[PAGE - 1] == 129


def test_a_list_of_one_page_or_whose_items_his_like_do_not_know_stays_as_it_is() -> None:
    assert with_discovery(np.arange(PAGE), np.ones(PAGE)).tolist() == list(range(PAGE))
    assert with_discovery(np.arange(60), np.full(60, -np.inf)).tolist() == list(range(60))
    assert with_discovery(np.arange(0), np.zeros(0)).tolist() == []


@pytest.mark.parametrize(
    ("per_page", "places"),
    [(0, [96, 97, 98, 99]), (1, [9, 29, 49, 69]), (2, [4, 14, 24, 34]), (10, [0, 2, 4, 6])],
)
def test_new_items_from_the_end_get_their_places_on_each_page(per_page: int, places: list[int]) -> None:
    order = with_new_ones(np.arange(100) >= 96, per_page=per_page).tolist()
    assert [place for place, item in enumerate(order) if item >= 96] == places
    assert [item for item in order if item < 96] == list(range(96))
    assert [item for item in order if item >= 96] == [96, 97, 98, 99]


@pytest.mark.parametrize("per_page", range(MOST_NEW_PER_PAGE + 1))
@pytest.mark.parametrize("n_new", [0, 1, 3, 40])
def test_the_first_page_ends_with_a_discovery_whatever_is_new(per_page: int, n_new: int) -> None:
    n = 100 + n_new
    lift = np.full(n, -np.inf)
    lift[70] = 1.0
    is_new = np.arange(n) >= 100
    order = with_exploration(np.arange(n), lift, is_new, per_page)
    assert order[PAGE - 1] == 70
    assert is_new[order[:PAGE]].sum() == min(per_page, n_new)
    assert sorted(order.tolist()) == list(range(n))


@given(st.integers(0, 90), st.integers(0, 90), st.integers(0, MOST_NEW_PER_PAGE))
def test_nothing_is_lost_and_no_place_comes_before_it_is_due(usual: int, new: int, per_page: int) -> None:
    is_new = np.arange(usual + new) >= usual
    order = with_new_ones(is_new, per_page=per_page)
    assert sorted(order) == list(range(usual + new))
    assert all((np.diff(order[is_new[order] == kind]) > 0).all() for kind in (True, False))
    for n in range(1, usual + new + 1):
        if not is_new[order[n - 1 :]].all():
            assert is_new[order[:n]].sum() == min(new, (n * per_page + PAGE // 2) // PAGE)
