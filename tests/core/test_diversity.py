"""Pages that no topic, no author and no copies fill."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lib.core.defaults import PAGE
from lib.core.diversity import Topics, Variety, places_of_topics, varied

SOME_TOPICS = st.frozensets(st.sampled_from(["a", "b", "author:c", "d"]))


def order_of(topics: list[Topics], *, share: float = 0.6, author_share: float = 0.2, n: int = 100) -> list[int]:
    variety = Variety(topics, np.zeros((len(topics), 3), np.float32), share, author_share)
    return varied(range(len(topics)), variety, n=n)


def of(*topics: str) -> Topics:
    return frozenset(topics)


def test_a_topic_gets_its_share_of_a_page_and_the_rest_of_it_waits_for_the_next() -> None:
    order = order_of([of("cats")] * 20 + [of(f"topic {number}") for number in range(80)], share=0.25)
    assert order[:PAGE] == [*range(5), *range(20, 35)]
    assert order[PAGE : PAGE + 5] == [5, 6, 7, 8, 9]


def test_a_topic_that_most_candidates_have_is_not_held_back() -> None:
    assert order_of([of("film")] * 75 + [of("series")] * 25, share=0.25)[:15] == list(range(15))


def test_an_author_gets_less_than_a_topic() -> None:
    places = places_of_topics([*[of("author:ann", "cats")] * 13, *[of()] * 87], topic_share=0.6, author_share=0.2)
    assert places == {"author:ann": 4, "cats": 12}


def test_a_topic_whose_candidates_all_find_a_place_is_not_limited() -> None:
    topics = [*[of("author:ann", "cats")] * 4, *[of("cats")] * 8, *[of()] * 88]
    assert places_of_topics(topics, topic_share=0.6, author_share=0.2) == {}


def test_what_waited_fills_a_page_that_nothing_else_can_fill() -> None:
    order = order_of([of("a", "author:ann")] * 6 + [of("b")] * 2, share=0.1, author_share=0.1)
    assert sorted(order) == list(range(8))


def test_a_copy_of_what_is_on_the_page_waits() -> None:
    text = np.eye(40, dtype=np.float32)
    text[3] = text[1]
    order = varied(range(40), Variety([of()] * 40, text), n=40)
    assert order[:PAGE] == [0, 1, 2, *range(4, 21)]
    assert order[PAGE] == 3


def test_content_without_text_is_no_copy() -> None:
    assert order_of([of()] * 30) == list(range(30))


@given(st.lists(SOME_TOPICS, max_size=250), st.floats(0.01, 1.0), st.integers(1, 100))
def test_nothing_is_lost_or_doubled_and_the_first_stays_first(topics: list[Topics], share: float, n: int) -> None:
    order = order_of(topics, share=share, author_share=share, n=n)
    assert sorted(order) == list(range(len(topics)))
    assert order[:1] == [0][: len(topics)]


@given(st.lists(SOME_TOPICS, min_size=60, max_size=90))
def test_a_page_that_can_be_varied_is(topics: list[Topics]) -> None:
    topics = [*topics, *(of(f"own {number}") for number in range(PAGE))]
    first = order_of(topics)[:PAGE]
    for topic, places in places_of_topics(topics, topic_share=0.6, author_share=0.2).items():
        assert sum(topic in topics[number] for number in first) <= places
