import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.ranker.log import DAY
from lib.core.ranker.metrics import ndcg
from lib.core.taste import held_back
from lib.core.taste.held_back import Held, better_choice, choose, head_items, hold_back, ndcg_per_user
from tests.core.ranker.logs import NOW, log_of, random_log
from tests.core.taste.sites import random_vectors

START = NOW - 10 * DAY


@given(st.integers(0, 1_000), st.booleans())
@settings(deadline=None, max_examples=40)
def test_what_is_held_back_is_what_users_with_a_past_read_first_later(seed: int, newcomers: bool) -> None:
    log = random_log(seed, n_users=20, n_items=25, n_actions=60)
    held = hold_back(log, START, newcomers=newcomers, max_users=100)
    acted = {(u, i) for u, i, t in zip(log.users, log.items, log.times, strict=True) if t < START}
    later = [row for row in range(len(log)) if log.times[row] >= START]
    old = {item for _, item in acted}
    ranked = {int(log.items[row]) for row in later} - old if newcomers else old
    read = {(int(log.users[row]), int(log.items[row])) for row in later if log.positive[row]}
    read = {(user, item) for user, item in read if item in ranked and (user, item) not in acted}
    read = {(user, item) for user, item in read if user in {known for known, _ in acted}}
    assert {(int(held.users[k]), int(item)) for k, item in np.argwhere(held.read)} == read
    for user, allowed in zip(held.users, held.allowed, strict=True):
        assert set(np.flatnonzero(allowed)) == {item for item in ranked if (user, item) not in acted}


def test_no_more_users_are_held_back_than_asked_nor_than_the_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    log = random_log(1, n_users=50, n_actions=1_500)
    assert 10 < len(hold_back(log, START, newcomers=False, max_users=20).users) <= 20
    monkeypatch.setattr(held_back, "_CELLS", 5 * log.n_items)
    assert len(hold_back(log, START, newcomers=False, max_users=20).users) <= 5


def test_the_head_is_the_few_items_that_most_reads_go_to() -> None:
    reads = [5, 3, 1, 1]  # of items 0 … 3
    actions = [(user, item, NOW, 1.0) for item, n in enumerate(reads) for user in range(n)]
    long_ago = [(user, 3, NOW - DAY, 1.0) for user in range(1, 9)]  # of whom none reads it again
    log = log_of(actions + long_ago, n_users=9, n_items=4)
    assert head_items(log, since=NOW, share=0.8).tolist() == [True, True, False, False]
    assert head_items(log, since=NOW, share=0.4).tolist() == [False] * 4


@pytest.mark.parametrize("users_at_once", [2, 100])
def test_the_ndcg_is_that_of_the_ranker(users_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_back, "_USERS_AT_ONCE", users_at_once)
    random = np.random.default_rng(1)
    allowed = random.random((7, 60)) < 0.7
    read = (random.random((7, 60)) < 0.2) & allowed
    users, items = random_vectors(7, 4), random_vectors(60, 4, seed=2)
    found = ndcg_per_user(Held(np.arange(7), allowed, read), users, items)
    for user in range(7):
        scores = items[allowed[user]] @ users[user]
        expected = ndcg(read[user, allowed[user]], scores, np.zeros(1, np.intp), read[user].sum(keepdims=True))
        assert found[user] == pytest.approx(expected[0])


def test_items_that_are_left_out_are_neither_ranked_nor_looked_for() -> None:
    allowed = np.ones((1, 3), bool)
    held = Held(np.arange(1), allowed, np.array([[True, True, False]]))
    items = np.array([[3.0], [1.0], [2.0]], np.float32)
    user = np.ones((1, 1), np.float32)
    assert ndcg_per_user(held, user, items)[0] == pytest.approx((1 + 1 / 2) / (1 + 1 / np.log2(3)))
    tail = held.without(np.array([True, False, False]))
    assert ndcg_per_user(tail, user, items)[0] == pytest.approx(1 / np.log2(3))
    assert ndcg_per_user(held.without(np.ones(3, bool)), user, items).tolist() == [0.0]


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [
        pytest.param([0.2] * 50, "other", id="clearly better"),
        pytest.param([0.2] * 20, "default", id="too few users"),
        pytest.param([1.0, -0.9] * 25, "default", id="better by chance"),
        pytest.param([-0.2] * 50, "default", id="worse"),
        pytest.param([0.0] * 50, "default", id="the same"),
    ],
)
def test_only_what_is_clearly_better_than_the_default_is_chosen(gains: list[float], chosen: str) -> None:
    default = np.full(len(gains), 0.3)
    assert better_choice("default", {"default": default, "other": default + gains}) == chosen


def test_nothing_is_chosen_that_there_was_no_time_to_try() -> None:
    answers = iter([True, False])
    tried: list[int] = []

    def values_of(choice: int) -> np.typing.NDArray[np.float64]:
        tried.append(choice)
        return np.full(40, float(choice))

    assert choose(2, [1, 2, 3, 4], values_of, may_continue=lambda: next(answers)) == 2
    assert tried == [2, 1]
    assert choose(2, [1, 2, 3, 4], values_of, may_continue=lambda: True) == 4
