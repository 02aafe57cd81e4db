from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.ranker.log import first_reads, group_by, ranges
from tests.core.ranker.logs import NOW, Action, assert_same, log_of

N_USERS, N_ITEMS = 4, 5
actions = st.lists(
    st.tuples(
        st.integers(0, N_USERS - 1),
        st.integers(0, N_ITEMS - 1),
        st.integers(0, 6).map(lambda hours: NOW + 3600.0 * hours),  # so few that many are at the same time
        st.sampled_from([-1.0, 0.0, 1.0, 2.0]),
    ),
    max_size=40,
)


@given(actions, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_the_actions_does_not_matter_to_the_last_bit(rows: list[Action], random: Random) -> None:
    shuffled = random.sample(rows, len(rows))
    one, other = (log_of(some, n_users=N_USERS, n_items=N_ITEMS) for some in (rows, shuffled))
    assert_same(one, other)


@given(actions)
@settings(deadline=None)
def test_first_reads_are_each_users_earliest_positive_action_on_each_item(rows: list[Action]) -> None:
    expected: dict[tuple[int, int], float] = {}
    for user, item, time, weight in rows:
        if weight > 0:
            expected[user, item] = min(time, expected.get((user, item), np.inf))
    reads = first_reads(log_of(rows, n_users=N_USERS, n_items=N_ITEMS))
    found = dict(zip(zip(reads.users.tolist(), reads.items.tolist(), strict=True), reads.times.tolist(), strict=True))
    assert found == expected
    assert (np.diff(reads.times) >= 0).all()


@given(actions, st.integers(-1, 8))
@settings(deadline=None)
def test_the_first_reads_of_the_past_are_the_past_of_the_first_reads(rows: list[Action], hour: int) -> None:
    log = log_of(rows, n_users=N_USERS, n_items=N_ITEMS)
    time = NOW + 3600.0 * hour
    assert_same(first_reads(log.before(time)), first_reads(log).before(time))


@given(st.lists(st.integers(0, 5), max_size=20))
def test_groups_hold_each_keys_rows_in_their_order(keys: list[int]) -> None:
    groups = group_by(np.array(keys, np.intp), 6)
    for key in range(6):
        rows = groups.rows[groups.starts[key] : groups.starts[key + 1]]
        assert rows.tolist() == [row for row, value in enumerate(keys) if value == key]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=10))
def test_ranges_follow_one_another(pieces: list[tuple[int, int]]) -> None:
    starts, lengths = (np.array([piece[k] for piece in pieces], np.intp) for k in range(2))
    assert ranges(starts, lengths).tolist() == [start + k for start, length in pieces for k in range(length)]
