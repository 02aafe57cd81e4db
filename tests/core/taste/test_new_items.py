from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.ranker.items import seen_between
from lib.core.ranker.log import DAY, Floats, Log, Vectors
from lib.core.taste.new_items import (
    CircleTaste,
    LogScale,
    learn_circle_taste,
    new_item_vectors,
    own_taste,
    own_tastes_in_log,
    scale_of,
    youth_of_actions,
)
from lib.core.taste.states import embed_log
from tests.core.ranker.logs import NOW, Action, assert_same, log_of, random_log
from tests.core.taste.sites import HALF_LIFE, OLD_ITEMS, circles_site, random_vectors

N_USERS, N_ITEMS = 6, 30
CONTENT, VECTORS = random_vectors(N_ITEMS, 5), random_vectors(N_ITEMS, 4, seed=2)
CONTENT[3] = 0.0
EVEN, ODD = OLD_ITEMS + 4, OLD_ITEMS + 5  # new items of what even and odd users of circles_site read


def circle_of(log: Log, *, now: float = NOW) -> CircleTaste:
    return learn_circle_taste(log, now, CONTENT, VECTORS, half_life_seconds=HALF_LIFE)


def own_of(log: Log, *, now: float = NOW, n_users: int = N_USERS) -> Floats:
    return own_tastes_in_log(log, now, np.arange(n_users), CONTENT, half_life_seconds=HALF_LIFE)


@pytest.mark.parametrize(
    ("first_seen", "after", "youth"),
    [
        pytest.param(50.0, 0.0, 1.0, id="brand-new"),
        pytest.param(50.0, 25.0, 0.5, id="a quarter of the log old"),
        pytest.param(50.0, 50.0, 0.25, id="half of the log old"),
        pytest.param(6.0, 0.0, 1.0, id="come up early"),
        pytest.param(4.0, 0.0, 0.0, id="perhaps there before the log began"),
        pytest.param(110.0, 0.0, 1.0, id="come up after the log was read"),
        pytest.param(np.inf, 0.0, 0.0, id="never seen"),
    ],
)
def test_the_youth_of_an_item(first_seen: float, after: float, youth: float) -> None:
    scale = LogScale(begin=NOW, end=NOW + 100.0, usual_weight=1.0)
    times = np.array([NOW + (first_seen if np.isfinite(first_seen) else 50.0) + after])
    assert youth_of_actions(times, NOW + np.array([first_seen]), scale)[0] == pytest.approx(youth)


def test_the_scale_is_of_what_came_before_now() -> None:
    log = log_of(
        [(0, 0, NOW - 9.0, 3.0), (0, 1, NOW - 5.0, 1.0), (0, 2, NOW - 2.0, -1.0), (0, 3, NOW + 1.0, 50.0)],
        n_users=1,
        n_items=4,
    )
    assert scale_of(log, NOW) == LogScale(begin=NOW - 9.0, end=NOW, usual_weight=2.0)
    assert scale_of(log, NOW - 9.0) == LogScale(begin=NOW - 9.0, end=NOW - 9.0, usual_weight=1.0)


@given(st.integers(0, 1_000), st.sampled_from([0.0, 10.0]))
@settings(deadline=None, max_examples=25)
def test_a_users_own_taste_alone_is_that_computed_with_everybody(seed: int, days: float) -> None:
    """As production has it: his actions, when their items were first seen, and three numbers of the log."""
    log, now = random_log(seed, n_users=N_USERS, n_actions=80), NOW - days * DAY
    scale, first_seen = scale_of(log, now), seen_between(log.before(now))[0]
    together = own_of(log, now=now)
    for user in range(N_USERS):
        mine = log.take((log.users == user) & (log.times < now))
        alone = own_taste(
            np.zeros(len(mine), np.intp),
            np.arange(len(mine)),
            mine.weights,
            now - mine.times,
            youth_of_actions(mine.times, first_seen[mine.items], scale),
            CONTENT[mine.items],
            n_users=1,
            half_life_seconds=HALF_LIFE,
            usual_weight=scale.usual_weight,
        )
        np.testing.assert_allclose(alone[0], together[user], atol=1e-6)


def test_an_action_on_a_new_item_counts_four_times_and_fades() -> None:
    content = np.eye(3, dtype=np.float32)
    rows, weights, ages = np.arange(3), np.array([2.0, 2.0, 2.0]), np.array([0.0, 0.0, HALF_LIFE])
    own = own_taste(
        np.zeros(3, np.intp),
        rows,
        weights,
        ages,
        np.array([0.0, 1.0, 1.0]),
        content,
        n_users=2,
        half_life_seconds=HALF_LIFE,
        usual_weight=2.0,
    )
    np.testing.assert_allclose(own, [[1.0, 4.0, 2.0], [0.0, 0.0, 0.0]])


def test_a_negative_action_pushes_away() -> None:
    log = log_of([(0, 0, NOW - 3 * DAY, 1.0), (0, 1, NOW - DAY, -1.0)], n_users=1, n_items=N_ITEMS)
    content = np.eye(N_ITEMS, dtype=np.float32)
    own = own_tastes_in_log(log, NOW, np.arange(1), content, half_life_seconds=HALF_LIFE)
    circle = learn_circle_taste(log, NOW, content, VECTORS, half_life_seconds=HALF_LIFE)
    vector = new_item_vectors(own, circle.of(np.zeros((1, 4), np.float32)), 8.0)[0]
    assert vector @ content[1] < 0 < vector @ content[0]


# The circle


def ranks_even_first(log: Log, content: Vectors, vectors: Vectors, circle_actions: float) -> Floats:
    """How much more new items of the even users' kind are wanted by each user (u,)."""
    own = own_tastes_in_log(log, NOW, np.arange(log.n_users), content, half_life_seconds=HALF_LIFE)
    states = embed_log(log, NOW, vectors, half_life_seconds=HALF_LIFE)
    circle = learn_circle_taste(log, NOW, content, vectors, half_life_seconds=HALF_LIFE).of(states)
    wanted: Floats = new_item_vectors(own, circle, circle_actions) @ (content[EVEN] - content[ODD])
    return wanted.astype(np.float64)


def test_the_circle_helps_where_the_user_did_little() -> None:
    log, content, vectors = circles_site(1)
    log = log.take((log.users > 1) | (log.items < OLD_ITEMS))  # users 0 and 1 have met nothing new
    np.testing.assert_allclose(ranks_even_first(log, content, vectors, 0.0)[:2], 0.0, atol=1e-6)
    even, odd = ranks_even_first(log, content, vectors, 8.0)[:2]
    assert even > 4 > -4 > odd


def test_who_has_said_what_he_likes_is_not_ruled_by_his_circle() -> None:
    """An even user who reads what odd users do, thirty times."""
    log, content, vectors = circles_site(1)
    rows = [*zip(log.users.tolist(), log.items.tolist(), log.times.tolist(), log.weights.tolist(), strict=True)]
    rows = [row for row in rows if row[0] != 0 or row[1] < OLD_ITEMS]
    rows += [(0, ODD + 2 * k, NOW - DAY + k, 1.0) for k in range(30)]
    vectors[ODD::2] = 0.0  # so that his state stays that of an even user
    changed = log_of(rows, n_users=log.n_users, n_items=log.n_items)
    assert ranks_even_first(changed, content, vectors, 8.0)[0] < 0
    assert ranks_even_first(changed, content, vectors, 1e4)[0] > 0


def test_a_user_of_whom_nothing_is_known_gets_what_everybody_reads() -> None:
    log, content, vectors = circles_site(1)
    circle = learn_circle_taste(log, NOW, content, vectors, half_life_seconds=HALF_LIFE)
    [taste] = circle.of(np.zeros((1, 2), np.float32))
    assert taste[3] > 0.9  # what four times as many read
    assert abs(taste[2]) < 0.3


def test_what_is_disliked_and_what_is_old_say_nothing_of_the_circle() -> None:
    old = [(user, item, NOW - 40 * DAY, 1.0) for user in range(3) for item in range(3)]
    disliked = [(user, 10 + user, NOW - DAY * (1 + user), -1.0) for user in range(3)]
    circle = circle_of(log_of(old + disliked, n_users=N_USERS, n_items=N_ITEMS))
    assert not circle.everybody.any()
    assert not circle.by_state.any()


def test_that_a_user_comes_back_to_an_item_says_no_more() -> None:
    log = random_log(1, n_users=N_USERS, n_actions=60)
    first = log.items[log.positive & (log.times > NOW - 10 * DAY)][0]
    user = log.users[log.positive & (log.items == first)][-1]
    rows = [*zip(log.users.tolist(), log.items.tolist(), log.times.tolist(), log.weights.tolist(), strict=True)]
    again = log_of([*rows, (int(user), int(first), NOW - 1.0, 1.0)], n_users=N_USERS, n_items=N_ITEMS)
    np.testing.assert_allclose(circle_of(again).everybody, circle_of(log).everybody, atol=1e-6)


def test_where_all_that_came_up_was_read_alike_nobody_says_anything() -> None:
    begin: list[Action] = [(0, 0, NOW - 40 * DAY, 1.0)]
    came_up = [(item % N_USERS, item, NOW - item * DAY, 1.0) for item in range(4, N_ITEMS)]
    circle = circle_of(log_of(begin + came_up, n_users=N_USERS, n_items=N_ITEMS))
    np.testing.assert_allclose(circle.everybody, 0.0, atol=1e-5)


def test_an_item_without_content_says_nothing() -> None:
    rows = [(0, 0, NOW - 40 * DAY, 1.0), (0, 1, NOW - 8 * DAY, 1.0), (1, 1, NOW - 7 * DAY, 1.0), (1, 2, NOW - DAY, 1.0)]
    absent = [(user, 3, NOW - 6 * DAY, 1.0) for user in range(3)]
    circles = [circle_of(log_of(some, n_users=N_USERS, n_items=N_ITEMS)) for some in (rows, rows + absent)]
    assert circles[0].everybody.any()
    np.testing.assert_allclose(circles[1].everybody, circles[0].everybody, atol=1e-6)


def test_a_stored_circle_is_the_same_again() -> None:
    circle = circle_of(random_log(1, n_users=N_USERS))
    again = CircleTaste(**circle.as_arrays())
    assert_same(again, circle)
    assert {name: array.shape for name, array in circle.as_arrays().items()} == {"everybody": (5,), "by_state": (4, 5)}


# Both


@pytest.mark.parametrize("n_actions", [0, 1, 5])
def test_tiny_logs_work(n_actions: int) -> None:
    log = random_log(1, n_users=N_USERS, n_actions=n_actions)
    circle = circle_of(log).of(embed_log(log, NOW, VECTORS, half_life_seconds=HALF_LIFE))
    vectors = new_item_vectors(own_of(log), circle, 8.0)
    assert vectors.shape == (N_USERS, 5)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert vectors.any() == (n_actions > 0)


@given(st.integers(0, 100), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=20)
def test_the_order_of_the_actions_does_not_matter_to_the_last_bit(seed: int, random: Random) -> None:
    log = random_log(seed, n_users=N_USERS, n_actions=60)
    rows: list[Action] = [
        *zip(log.users.tolist(), log.items.tolist(), log.times.tolist(), log.weights.tolist(), strict=True)
    ]
    shuffled = log_of(random.sample(rows, len(rows)), n_users=N_USERS, n_items=N_ITEMS)
    assert_same(circle_of(shuffled), circle_of(log))
    assert_same(own_of(shuffled), own_of(log))


@pytest.mark.parametrize("days", [0.0, 3.0, 20.0, 100.0])
def test_nothing_from_after_now_counts(days: float) -> None:
    log, now = random_log(4, n_users=N_USERS), NOW - days * DAY
    assert_same(circle_of(log, now=now), circle_of(log.before(now), now=now))
    assert_same(own_of(log, now=now), own_of(log.before(now), now=now))
