"""Places for what would hardly ever be shown otherwise."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lib.core.exploration import PAGE, with_discovery, with_new_ones


def test_what_neighbours_say_most_for_beyond_the_first_page_gets_its_last_place() -> None:
    signal = np.zeros(60)
    signal[[3, 41, 50]] = 9.0, 2.0, 1.0
    order = with_discovery(np.arange(60), signal)
    assert order[PAGE - 1] == 41
    assert np.delete(order, PAGE - 1).tolist() == [place for place in range(60) if place != 41]


def test_a_list_of_one_page_or_without_a_signal_stays_as_it_is() -> None:
    assert with_discovery(np.arange(PAGE), np.ones(PAGE)).tolist() == list(range(PAGE))
    assert with_discovery(np.arange(60), np.zeros(60)).tolist() == list(range(60))
    assert with_discovery(np.arange(0), np.zeros(0)).tolist() == []


def test_new_items_from_the_end_get_one_place_a_page() -> None:
    is_new = np.arange(100) >= 96
    order = with_new_ones(is_new).tolist()
    assert [place for place, item in enumerate(order) if item >= 96] == [9, 29, 49, 69]
    assert [item for item in order if item < 96] == list(range(96))


def test_a_new_item_that_stands_high_by_itself_stays_and_counts() -> None:
    is_new = np.zeros(60, bool)
    is_new[[2, 58, 59]] = True
    order = with_new_ones(is_new).tolist()
    assert [place for place, item in enumerate(order) if is_new[item]] == [2, 29, 49]


@given(st.lists(st.booleans(), max_size=90))
def test_nothing_is_lost_and_no_page_has_more_new_items_than_its_share_by_this(is_new: list[bool]) -> None:
    mask = np.array(is_new, dtype=bool)
    order = with_new_ones(mask)
    assert sorted(order) == list(range(len(is_new)))
    assert all(np.diff(order[~mask[order]]) > 0)
    for place in range(len(order)):
        before, without = mask[order[: place + 1]].sum(), mask[: place + 1].sum()
        if (~mask[order[place + 1 :]]).any():
            assert before <= max(without, (place + 1 + PAGE // 2) // PAGE)
