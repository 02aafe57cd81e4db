"""How many helpers a backlog is worth, and by which ids they are asked for once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.helpers import flow_key, helper_ids, helpers_wanted

APP_URL = "https://shop.example.com:8443"
NOW = 1_767_225_600.0


@pytest.mark.parametrize(
    ("pending", "wanted"),
    [(0, 0), (20_000, 0), (20_001, 1), (40_000, 1), (40_001, 2), (59_000, 2), (10**9, 4)],
)
def test_as_many_are_asked_for_as_have_time_for_what_is_left_over(pending: int, wanted: int) -> None:
    numbers = {"rate": 1_000.0, "seconds_left": 20.0, "seconds_a_call": 20.0}
    assert helpers_wanted(pending=pending, at_most=4, **numbers) == wanted


@given(
    pending=st.integers(0, 10**12),
    rate=st.floats(0, 1e9),
    seconds_left=st.floats(-10, 800),
    seconds_a_call=st.floats(-10, 800),
    at_most=st.integers(1, 1_000),
)
def test_there_are_none_for_who_keeps_up_and_never_too_many(
    pending: int, rate: float, seconds_left: float, seconds_a_call: float, at_most: int
) -> None:
    wanted = helpers_wanted(
        pending=pending, rate=rate, seconds_left=seconds_left, seconds_a_call=seconds_a_call, at_most=at_most
    )
    assert 0 <= wanted <= at_most
    assert (wanted == 0) == (pending <= rate * max(seconds_left, 0))


def test_ticks_that_overlap_ask_for_the_same_helpers_and_later_ones_for_others() -> None:
    first, again, later = (helper_ids(APP_URL, 3, now=NOW + s, seconds_a_call=25) for s in (0, 24.9, 25))
    assert first == again
    assert len({*first, *later}) == 6
    assert helper_ids(APP_URL, 2, now=NOW, seconds_a_call=25) == first[:2]


def test_ids_carry_the_host_and_no_colon() -> None:
    [one] = helper_ids(APP_URL, 1, now=NOW, seconds_a_call=25)
    for text in (one, flow_key(APP_URL)):
        assert text.startswith("recs.shop.example.com-8443.process_user_actions.helper")
        assert ":" not in text
