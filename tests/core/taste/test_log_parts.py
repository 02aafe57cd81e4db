import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.ranker.log import first_reads
from lib.core.taste import log_parts
from lib.core.taste.log_parts import is_first_read, latest_rows, of_users, sample_users, time_of_share
from tests.core.ranker.logs import NOW, assert_same, log_of, random_log


@given(st.integers(0, 1_000), st.integers(0, 80))
@settings(deadline=None, max_examples=50)
def test_first_reads_are_those_of_the_ranker(seed: int, n_actions: int) -> None:
    log = random_log(seed, n_users=4, n_items=5, n_actions=n_actions)
    assert_same(log.take(is_first_read(log)), first_reads(log))


def test_the_latest_actions_of_each_user_are_kept_in_order_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_parts, "HISTORY_LENGTH", 2)
    log = log_of([(user, 0, NOW + k, 1.0) for k, user in enumerate([1, 0, 1, 1, 0])], n_users=2, n_items=1)
    assert latest_rows(log).tolist() == [1, 2, 3, 4]


def test_users_that_are_picked_keep_all_they_did_under_their_new_numbers() -> None:
    log = random_log(1, n_users=5)
    part = of_users(log, np.array([3, 1]))
    for number, user in enumerate([3, 1]):
        np.testing.assert_array_equal(part.items[part.users == number], log.items[log.users == user])
    assert part.n_users == 2
    assert len(part) == np.count_nonzero((log.users == 3) | (log.users == 1))


def test_a_sample_of_users_has_about_as_many_actions_as_asked() -> None:
    log = random_log(1, n_users=100, n_actions=2_000)
    part = sample_users(log, max_actions=700)
    assert 500 < len(part) < 900
    for user in np.unique(part.users):
        assert np.count_nonzero(part.users == user) == np.count_nonzero(log.users == user)
    assert sample_users(log, max_actions=2_000) is log


def test_a_share_of_the_positive_actions_is_done_before_its_time() -> None:
    log = random_log(1, n_actions=1_000)
    before = log.before(time_of_share(log, 0.9))
    assert np.count_nonzero(before.positive) == pytest.approx(0.9 * np.count_nonzero(log.positive), abs=1)
