from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.embeddings import unit_rows
from lib.core.ranker.log import DAY, Floats, Log, Vectors
from lib.core.taste.learned_map import MapSettings, learn_map, map_users
from lib.core.taste.states import embed_log
from tests.core.ranker.logs import NOW, Action, assert_same, log_of, random_log
from tests.core.taste.sites import HALF_LIFE, pairs_log, random_vectors, scaled

SETTINGS = MapSettings()
N_ITEMS = 30
VECTORS = random_vectors(N_ITEMS, 6)


def learned(log: Log, vectors: Vectors = VECTORS, *, now: float = NOW, chosen: MapSettings = SETTINGS) -> Floats:
    return learn_map(log, now, vectors, chosen, half_life_seconds=HALF_LIFE)


def test_what_leads_to_what_is_ranked_first_though_it_is_not_like_it() -> None:
    log = pairs_log()
    vectors = np.eye(log.n_items, dtype=np.float32)
    states = embed_log(log, NOW, vectors, half_life_seconds=HALF_LIFE)
    mapped = map_users(states, learned(log, vectors))
    for user in range(9, log.n_users, 10):  # who has read the first of a pair alone
        seen = int(log.items[log.users == user][0])
        assert not (states[user] @ np.delete(vectors, seen, axis=0).T).any()
        scores = mapped[user] @ vectors.T
        scores[seen] = -np.inf
        assert scores.argmax() == seen + 1


def test_the_map_is_the_solution_of_the_formula() -> None:
    """Action by action, with the embedding of what came before it."""
    log, vectors = random_log(7, n_users=8, n_actions=120), VECTORS.astype(np.float64)
    states, reads, items, shown = np.zeros((4, 6, 6))
    readers, met = np.zeros(N_ITEMS), set[tuple[int, int]]()
    for row in range(len(log)):
        pair = (int(log.users[row]), int(log.items[row]))
        if log.positive[row] and pair not in met:
            met.add(pair)
            readers[pair[1]] += 1
            before = embed_log(log.take(slice(0, row)), NOW, VECTORS, half_life_seconds=HALF_LIFE)[pair[0]]
            worth = 2 ** (-(NOW - log.times[row]) / DAY / SETTINGS.evidence_half_life_days)
            states += worth * np.outer(before, before)
            reads += worth * np.outer(before, vectors[pair[1]])
    for item, n in enumerate(readers):
        items += np.sqrt(n + 1) * np.outer(vectors[item], vectors[item])
        shown += n / readers.sum() * np.outer(vectors[item], vectors[item])
    left = np.linalg.inv(states + SETTINGS.state_ridge * np.trace(states) / 6 * np.eye(6))
    right = np.linalg.inv(items + SETTINGS.item_ridge * np.trace(items) / 6 * np.eye(6))
    solved = left @ reads @ right
    expected = solved / np.sqrt(np.trace(solved @ shown @ solved.T)) + SETTINGS.identity_share * np.eye(6)
    np.testing.assert_allclose(learned(log), expected, rtol=1e-4, atol=1e-5)


def test_what_was_read_lately_leads_where_reading_changed() -> None:
    """At first 0 leads to 1, in the last days to 2."""
    actions: list[Action] = []
    for user in range(40):
        start = NOW - (30 * DAY if user < 30 else 2 * DAY)
        actions += [(user, 0, start, 1.0), (user, 1 if user < 30 else 2, start + DAY, 1.0)]
    log, vectors = log_of(actions, n_users=40, n_items=3), np.eye(3, dtype=np.float32)
    for days, first in ((1.0, 2), (10_000.0, 1)):
        mapped = map_users(vectors[:1], learned(log, vectors, chosen=MapSettings(evidence_half_life_days=days)))
        assert (mapped @ vectors.T)[0, 1:].argmax() + 1 == first


def test_who_disliked_what_leads_to_an_item_is_pushed_away_from_it() -> None:
    log = pairs_log()
    vectors = np.eye(log.n_items, dtype=np.float32)
    mapped = map_users(-vectors[:1], learned(log, vectors))
    assert (mapped @ vectors.T)[0, 1] < 0


@pytest.mark.parametrize(
    "actions",
    [
        pytest.param([], id="nothing"),
        pytest.param([(0, 0, NOW - DAY, 1.0)], id="one action"),
        pytest.param([(user, user, NOW - DAY, 1.0) for user in range(5)], id="one action a user"),
        pytest.param([(0, item, NOW - DAY, -1.0) for item in range(5)], id="dislikes alone"),
        pytest.param([(0, 1, NOW - DAY + k, 1.0) for k in range(5)], id="the same item again and again"),
        pytest.param([(0, item, NOW + item, 1.0) for item in range(5)], id="all of it after now"),
    ],
)
def test_the_map_is_the_identity_where_the_log_shows_nothing(actions: list[Action]) -> None:
    log = log_of(actions, n_users=5, n_items=N_ITEMS)
    np.testing.assert_array_equal(learned(log), np.eye(6))


def test_it_is_the_identity_where_items_have_no_vectors() -> None:
    np.testing.assert_array_equal(learned(random_log(1), np.zeros((N_ITEMS, 6), np.float32)), np.eye(6))


def test_a_few_actions_give_a_finite_map() -> None:
    assert np.isfinite(learned(random_log(1, n_users=2, n_actions=5))).all()


@given(st.integers(0, 100), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=20)
def test_the_order_of_the_actions_does_not_matter_to_the_last_bit(seed: int, random: Random) -> None:
    log = random_log(seed, n_actions=60)
    rows = list(zip(log.users.tolist(), log.items.tolist(), log.times.tolist(), log.weights.tolist(), strict=True))
    shuffled = log_of(random.sample(rows, len(rows)), n_users=log.n_users, n_items=log.n_items)
    assert_same(learned(shuffled), learned(log))


@pytest.mark.parametrize("days", [0.0, 3.0, 20.0, 100.0])
def test_nothing_from_after_now_counts(days: float) -> None:
    log, now = random_log(4), NOW - days * DAY
    assert_same(learned(log, now=now), learned(log.before(now), now=now))


def test_evidence_does_not_vanish_while_nobody_acts() -> None:
    log = random_log(5)
    assert_same(learned(log, now=NOW + 1e6 * DAY), learned(log, now=NOW + 1.0))


def test_the_map_is_the_same_on_a_clock_that_runs_faster() -> None:
    log = random_log(6)
    faster = MapSettings(evidence_half_life_days=4 * SETTINGS.evidence_half_life_days)
    expected = learned(log, now=NOW)
    found = learn_map(scaled(log, 4.0), 4.0 * NOW, VECTORS, faster, half_life_seconds=4.0 * HALF_LIFE)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@given(st.integers(0, 1_000))
@settings(deadline=None, max_examples=30)
def test_unit_length_leaves_a_users_order_of_items_as_it_is(seed: int) -> None:
    random = np.random.default_rng(seed)
    states, matrix = unit_rows(random.standard_normal((5, 6))), random.standard_normal((6, 6)) * 50
    states[0] = 0.0
    mapped = map_users(states, matrix)
    scores, expected = mapped @ VECTORS.T, states @ matrix @ VECTORS.T
    np.testing.assert_array_equal(np.argsort(-scores[1:]), np.argsort(-expected[1:]))
    np.testing.assert_allclose(np.linalg.norm(mapped, axis=1), [0.0, 1.0, 1.0, 1.0, 1.0], atol=1e-6)
