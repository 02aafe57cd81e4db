"""The last word on a list: spread, and a place for what is new."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.diversity import SCREEN, explore, spread
from lib.core.embeddings import unit_rows

lists = st.lists(st.sampled_from(["films", "music", "sport", ""]), max_size=70)


def vectors_of(n: int, seed: int = 0) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).normal(size=(n, 16)))


def tags(names: list[str]) -> list[list[str]]:
    return [[name] if name else [] for name in names]


@given(lists)
def test_spreading_loses_and_repeats_nothing(names: list[str]) -> None:
    order = spread(vectors_of(len(names)), tags(names), topic_share=0.4)
    assert sorted(order) == list(range(len(names)))


@given(lists)
def test_a_screen_holds_no_more_of_a_topic_than_its_share_while_there_is_something_else(names: list[str]) -> None:
    order = spread(vectors_of(len(names)), tags(names), topic_share=0.4)
    shown = [names[item] for item in order]
    for topic in ("films", "music", "sport"):
        if shown[:SCREEN].count(topic) > 8:  # then nothing else was left
            assert set(shown[SCREEN:]) <= {name for name in ("films", "music", "sport") if shown.count(name) > 8}


def test_a_list_without_topics_and_duplicates_stays_as_it_is() -> None:
    assert spread(vectors_of(50), [[]] * 50, topic_share=0.4).tolist() == list(range(50))


def test_a_copy_waits_for_the_next_screen() -> None:
    vectors = vectors_of(30)
    vectors[1] = vectors[0]
    order = spread(vectors, [[]] * 30, topic_share=0.4).tolist()
    assert order.index(1) == SCREEN
    assert [item for item in order if item != 1] == [item for item in range(30) if item != 1]


def test_content_without_a_vector_is_nobodys_copy() -> None:
    assert spread(np.zeros((5, 4), np.float32), [[]] * 5, topic_share=0.4).tolist() == [0, 1, 2, 3, 4]


def test_one_topic_alone_fills_the_list() -> None:
    assert spread(vectors_of(30), [["films"]] * 30, topic_share=0.4).tolist() == list(range(30))


def test_a_new_item_from_the_end_gets_the_twentieth_place() -> None:
    is_new = np.arange(100) >= 95
    order = explore(is_new, share=0.05).tolist()
    assert [place for place, item in enumerate(order) if item >= 95] == [19, 39, 59, 79, 99]
    assert [item for item in order if item < 95] == list(range(95))


def test_a_new_item_that_stands_high_by_itself_stays_and_counts() -> None:
    is_new = np.zeros(60, bool)
    is_new[[2, 58, 59]] = True
    order = explore(is_new, share=0.05).tolist()
    assert [place for place, item in enumerate(order) if is_new[item]] == [2, 39, 59]


@given(st.lists(st.booleans(), max_size=80), st.sampled_from([0.0, 0.05, 0.1, 0.5]))
def test_exploring_loses_nothing_and_takes_no_more_than_its_share(is_new: list[bool], share: float) -> None:
    mask = np.array(is_new, dtype=bool)
    order = explore(mask, share=share)
    assert sorted(order) == list(range(len(is_new)))
    assert all(np.diff(order[~mask[order]]) > 0)
    for place in range(len(order)):
        before, without = mask[order[: place + 1]].sum(), mask[: place + 1].sum()
        if (~mask[order[place + 1 :]]).any():
            assert before <= max(without, (place + 1) * share)


@pytest.mark.parametrize("share", [0.0])
def test_without_a_share_nothing_is_moved(share: float) -> None:
    assert explore(np.array([False, True, False]), share=share).tolist() == [0, 1, 2]
