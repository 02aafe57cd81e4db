from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.embeddings import unit_rows
from lib.core.ranker.items import seen_between
from lib.core.ranker.log import DAY, Floats, Log, Vectors, first_reads
from lib.core.ranker.profiles import READS_IN_PROFILE, profiles_of
from lib.core.ranker.reads import user_reads
from lib.core.taste.new_items import NewItemTaste, UserTastes, learn_new_item_taste, user_tastes
from lib.core.taste.states import embed_log
from tests.core.ranker.logs import NOW, Action, assert_same, log_of, random_log
from tests.core.taste.sites import HALF_LIFE, OLD_ITEMS, circles_site, random_vectors

N_USERS, N_ITEMS = 6, 30
CONTENT, VECTORS = random_vectors(N_ITEMS, 5), random_vectors(N_ITEMS, 4, seed=2)
CONTENT[3] = 0.0
EVEN, ODD = OLD_ITEMS + 4, OLD_ITEMS + 5  # new items of what even and odd users of circles_site read

Learned = tuple[NewItemTaste, Vectors]


def learned(
    log: Log, content: Vectors = CONTENT, vectors: Vectors = VECTORS, *, now: float = NOW, circle_reads: float = 8.0
) -> Learned:
    return learn_new_item_taste(log, now, content, vectors, half_life_seconds=HALF_LIFE, circle_reads=circle_reads)


def tastes(log: Log, known: Learned, content: Vectors = CONTENT, *, now: float = NOW) -> UserTastes:
    """Of everybody in the log, by what he did before `now`."""
    log = log.before(now)
    profiles = profiles_of(user_reads(first_reads(log)), np.arange(log.n_users))
    first_seen = seen_between(log)[0]
    return user_tastes(known[0], profiles, first_seen, content, known[1], now, half_life_seconds=HALF_LIFE)


def own_alone(*, begin: float = NOW - 100 * DAY, n: int = N_ITEMS) -> Learned:
    """As if the log, of a hundred days, had said nothing of circles."""
    return NewItemTaste(begin, NOW, np.zeros(n), np.zeros(n), 8.0), np.zeros((n, n), np.float32)


EYE = np.eye(N_ITEMS, dtype=np.float32)  # as content: each item a direction of its own


# A user's own taste


@pytest.mark.parametrize(
    ("first_seen", "read", "worth"),
    [
        pytest.param(50.0, 50.0, 4.0, id="brand-new"),
        pytest.param(50.0, 75.0, 2.5, id="a quarter of the log old"),
        pytest.param(30.0, 80.0, 1.75, id="half of the log old"),
        pytest.param(6.0, 6.0, 4.0, id="come up early"),
        pytest.param(4.0, 4.0, 1.0, id="perhaps there before the log began"),
        pytest.param(110.0, 110.0, 4.0, id="come up after the log was read"),
    ],
)
def test_a_read_counts_up_to_four_times_by_how_new_the_item_was(first_seen: float, read: float, worth: float) -> None:
    """Beside the read of an item from before the log began, at the same time."""
    begin = NOW - 100 * DAY
    at = begin + read * DAY
    others = [(1, 0, begin, 1.0), (1, 1, begin + first_seen * DAY, 1.0)]
    log = log_of([*others, (0, 0, at, 1.0), (0, 1, at, 1.0)], n_users=2, n_items=N_ITEMS)
    vector = tastes(log, own_alone(), EYE, now=NOW + 20 * DAY).users[0]
    assert vector[1] / vector[0] == pytest.approx(worth, rel=1e-5)


def test_a_read_fades() -> None:
    log = log_of([(0, 0, NOW - 90 * DAY - HALF_LIFE, 1.0), (0, 1, NOW - 90 * DAY, 1.0)], n_users=1, n_items=N_ITEMS)
    vector = tastes(log, own_alone(begin=NOW - 1e6 * DAY), EYE).users[0]
    assert vector[1] / vector[0] == pytest.approx(2.0, rel=1e-4)


def test_a_user_is_what_he_has_read_lately_of_whatever_weight_it_was() -> None:
    rows = [(0, item, NOW - DAY, weight) for item, weight in ((0, 1.0), (1, 5.0))]
    log = log_of([*rows, (0, 2, NOW - DAY, -1.0)], n_users=1, n_items=N_ITEMS)
    vector = tastes(log, own_alone(), EYE).users[0]
    np.testing.assert_allclose(vector[:3], [np.sqrt(0.5), np.sqrt(0.5), 0.0], atol=1e-6)
    many = [(0, item, NOW - (1 + item) * DAY, 1.0) for item in range(READS_IN_PROFILE + 9)]
    log = log_of(many, n_users=1, n_items=len(many))
    read = tastes(log, own_alone(n=len(many)), np.eye(len(many), dtype=np.float32)).users[0] > 0
    assert read.tolist() == [True] * READS_IN_PROFILE + [False] * 9


def test_content_counts_by_how_it_differs_from_what_came_up() -> None:
    """All new items are about 0; who has read the one that is about 1 too wants that and not what all are about."""
    content = unit_rows(np.array([[1, 0, 0], [3, 1, 0], [3, 0, 1], [3, 0, 1], [3, 0, 1]], np.float32))
    begin: list[Action] = [(1, 0, NOW - 90 * DAY, 1.0)]
    came_up = [(1, item, NOW - 30 * DAY, -1.0) for item in range(1, 5)]
    log = log_of([*begin, *came_up, (0, 1, NOW - DAY, 1.0)], n_users=2, n_items=5)
    known = learned(log, content, np.zeros((5, 4), np.float32), circle_reads=0.0)
    found = tastes(log, known, content)
    fits = found.of(0, np.arange(5))
    assert fits[1] > 0.2
    assert (fits[2:] < -0.2).all()
    np.testing.assert_allclose(known[0].centre, content[1:].mean(axis=0), atol=1e-6)


# The circle


def prefers_even(log: Log, content: Vectors, vectors: Vectors, circle_reads: float) -> Floats:
    """How much more new items of the even users' kind are wanted by each user (u,)."""
    known = learned(log, content, vectors, circle_reads=circle_reads)
    found = tastes(log, known, content)
    fits = np.array([found.of(user, np.array([EVEN, ODD])) for user in range(log.n_users)])
    wanted: Floats = fits[:, 0] - fits[:, 1]
    return wanted


def test_the_circle_helps_where_the_user_did_little() -> None:
    log, content, vectors = circles_site(1)
    log = log.take((log.users > 1) | (log.items < OLD_ITEMS))  # users 0 and 1 have met nothing new
    alone = prefers_even(log, content, vectors, 0.0)[:2]
    assert np.ptp(alone) == pytest.approx(0.0, abs=0.05)
    even, odd = prefers_even(log, content, vectors, 8.0)[:2]
    assert even > 0.5 > -0.5 > odd


def test_who_has_said_what_he_likes_is_not_ruled_by_his_circle() -> None:
    """An even user who reads what odd users do, thirty times."""
    log, content, vectors = circles_site(1)
    rows = [*zip(log.users.tolist(), log.items.tolist(), log.times.tolist(), log.weights.tolist(), strict=True)]
    rows = [row for row in rows if row[0] != 0 or row[1] < OLD_ITEMS]
    rows += [(0, ODD + 2 * k, NOW - DAY + k, 1.0) for k in range(30)]
    vectors[ODD::2] = 0.0  # so that his state stays that of an even user
    changed = log_of(rows, n_users=log.n_users, n_items=log.n_items)
    assert prefers_even(changed, content, vectors, 8.0)[0] < 0
    assert prefers_even(changed, content, vectors, 1e4)[0] > 0


def test_a_user_of_whom_nothing_is_known_gets_what_everybody_reads() -> None:
    log, content, vectors = circles_site(1)
    known = learned(log, content, vectors)
    newcomer = log_of([(0, 0, NOW - DAY, -1.0)], n_users=1, n_items=log.n_items)
    [taste] = tastes(newcomer, known, content).users
    np.testing.assert_allclose(taste, unit_rows(known[0].everybody[None])[0], atol=1e-6)
    assert taste[3] > 0.9  # what four times as many read
    assert abs(taste[2]) < 0.3


@given(st.integers(0, 1_000))
@settings(deadline=None, max_examples=25)
def test_the_circle_of_a_user_is_that_of_his_vector(seed: int) -> None:
    """A sum of what is kept with the items he read is what his vector says, without his dislikes and weights."""
    log = random_log(seed, n_users=N_USERS, n_items=N_ITEMS, n_actions=80)
    first = first_reads(log)
    likes = log_of(
        [*zip(first.users.tolist(), first.items.tolist(), first.times.tolist(), [1.0] * len(first), strict=True)],
        n_users=N_USERS,
        n_items=N_ITEMS,
    )
    states = embed_log(likes, NOW, VECTORS, half_life_seconds=HALF_LIFE)
    taste, circles = learned(log, circle_reads=1e9)
    by_state = np.linalg.lstsq(VECTORS.astype(float), circles, rcond=None)[0]
    wanted = unit_rows(unit_rows(states @ by_state) + unit_rows(taste.everybody[None]))
    np.testing.assert_allclose(tastes(log, (taste, circles)).users, wanted, atol=1e-4)


def test_what_is_disliked_and_what_is_old_say_nothing_of_the_circle() -> None:
    old = [(user, item, NOW - 40 * DAY, 1.0) for user in range(3) for item in range(3)]
    disliked = [(user, 10 + user, NOW - DAY * (1 + user), -1.0) for user in range(3)]
    taste, circles = learned(log_of(old + disliked, n_users=N_USERS, n_items=N_ITEMS))
    assert not taste.everybody.any()
    assert not circles.any()


def test_that_a_user_comes_back_to_an_item_says_no_more() -> None:
    log = random_log(1, n_users=N_USERS, n_actions=60)
    first = log.items[log.positive & (log.times > NOW - 10 * DAY)][0]
    user = log.users[log.positive & (log.items == first)][-1]
    rows = [*zip(log.users.tolist(), log.items.tolist(), log.times.tolist(), log.weights.tolist(), strict=True)]
    again = log_of([*rows, (int(user), int(first), NOW - 1.0, 1.0)], n_users=N_USERS, n_items=N_ITEMS)
    np.testing.assert_allclose(learned(again)[0].everybody, learned(log)[0].everybody, atol=1e-6)


@pytest.mark.parametrize("readers", [1, N_USERS], ids=["by one", "by one each"])
def test_where_all_that_came_up_was_read_alike_nobody_says_anything(readers: int) -> None:
    """What rounding leaves is no direction: of everybody, of who is like any other, and of who read all of it."""
    vectors = np.repeat(VECTORS[:1], N_ITEMS, axis=0)
    begin: list[Action] = [(user, 0, NOW - 40 * DAY, 1.0) for user in range(N_USERS)]
    came_up = [(item % readers, item, NOW - DAY, 1.0) for item in range(4, 4 + N_USERS)]
    log = log_of(begin + came_up, n_users=N_USERS, n_items=N_ITEMS)
    content = np.where(np.arange(N_ITEMS)[:, None] == 0, np.float32(0.0), CONTENT)
    taste, circles = learned(log, content, vectors)
    assert taste.centre.any()
    assert not taste.everybody.any()
    assert not circles.any()
    assert tastes(log, (taste, circles), content).users.any() == (readers > 1)


def test_items_of_the_same_content_fit_alike_wherever_they_stand() -> None:
    log = random_log(3, n_users=N_USERS, n_items=N_ITEMS)
    content = np.repeat(random_vectors(2, 64), N_ITEMS // 2, axis=0)
    found = tastes(log, learned(log, content), content)
    for user in range(N_USERS):
        for n in range(1, N_ITEMS // 2):
            assert len(set(found.of(user, np.arange(n)))) == 1


def test_an_item_without_content_says_nothing_and_fits_nobody() -> None:
    rows = [(0, 0, NOW - 40 * DAY, 1.0), (0, 1, NOW - 8 * DAY, 1.0), (1, 1, NOW - 7 * DAY, 1.0), (1, 2, NOW - DAY, 1.0)]
    absent = [(user, 3, NOW - 6 * DAY, 1.0) for user in range(3)]
    logs = [log_of(some, n_users=N_USERS, n_items=N_ITEMS) for some in (rows, rows + absent)]
    known = [learned(log, circle_reads=0.0) for log in logs]
    assert known[0][0].everybody.any()
    np.testing.assert_allclose(known[1][0].everybody, known[0][0].everybody, atol=1e-6)
    found = tastes(logs[1], known[1])
    np.testing.assert_allclose(found.users, tastes(logs[0], known[0]).users, atol=1e-6)
    assert found.of(0, np.array([3])).tolist() == [0.0]


# Both


@pytest.mark.parametrize("n_actions", [0, 1, 5])
def test_tiny_logs_work(n_actions: int) -> None:
    log = random_log(1, n_users=N_USERS, n_actions=n_actions)
    vectors = tastes(log, learned(log)).users
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
    assert_same(learned(shuffled)[0], learned(log)[0])
    np.testing.assert_array_equal(learned(shuffled)[1], learned(log)[1])
    assert_same(tastes(shuffled, learned(log)), tastes(log, learned(log)))


@pytest.mark.parametrize("days", [0.0, 3.0, 20.0, 100.0])
def test_nothing_from_after_now_counts(days: float) -> None:
    log, now = random_log(4, n_users=N_USERS), NOW - days * DAY
    assert_same(learned(log, now=now)[0], learned(log.before(now), now=now)[0])
    np.testing.assert_array_equal(learned(log, now=now)[1], learned(log.before(now), now=now)[1])
