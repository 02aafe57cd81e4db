import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.embeddings import Vectors, user_embeddings
from lib.core.ranker.log import DAY, HOUR, Indices, Log
from lib.core.taste import log_parts, states
from lib.core.taste.states import embed_log, states_before_actions
from tests.core.ranker.logs import NOW, Action, log_of, random_log
from tests.core.taste.sites import HALF_LIFE, random_vectors

N_USERS, N_ITEMS = 3, 5
VECTORS = random_vectors(N_ITEMS, 4)
VECTORS[4] = 0.0  # an item of which nothing is known

actions = st.lists(
    st.tuples(
        st.integers(0, N_USERS - 1),
        st.integers(0, N_ITEMS - 1),
        st.sampled_from([0.0, 1.0, 2.0, 24.0, 720.0, 7e6]).map(lambda hours: NOW - hours * HOUR),
        st.sampled_from([-1.0, 0.0, 1.0, 2.0, 0.3]),
    ),
    max_size=30,
)


def embed_rows(log: Log, rows: Indices) -> Vectors:
    part = log.take(rows)
    return user_embeddings(
        part.users,
        part.items,
        part.weights,
        NOW + 1 - part.times,
        VECTORS,
        n_users=log.n_users,
        half_life_seconds=HALF_LIFE,
    )


def assert_states_are_of_the_prefixes(log: Log) -> None:
    """Each action that says anything, but each user's first, has the state that his actions before it give."""
    useful = np.flatnonzero((log.weights != 0) & np.asarray(VECTORS.any(axis=1))[log.items])
    found = []
    for rows, vectors in states_before_actions(log, VECTORS, half_life_seconds=HALF_LIFE):
        assert len(rows) == len(vectors)
        found += rows.tolist()
        for row, vector in zip(rows, vectors, strict=True):
            before = useful[(log.users[useful] == log.users[row]) & (useful < row)]
            np.testing.assert_allclose(vector, embed_rows(log, before)[log.users[row]], atol=1e-5)
    expected = [row for row in useful if (log.users[useful[useful < row]] == log.users[row]).any()]
    assert sorted(found) == expected


@given(actions)
@settings(deadline=None, max_examples=60)
def test_states_are_the_embeddings_of_what_came_before(rows: list[Action]) -> None:
    assert_states_are_of_the_prefixes(log_of(rows, n_users=N_USERS, n_items=N_ITEMS))


@pytest.mark.parametrize("users_at_once", [1, 3, 100])
def test_states_are_the_same_however_many_users_are_walked_with(
    users_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "_USERS_AT_ONCE", users_at_once)
    assert_states_are_of_the_prefixes(random_log(2, n_users=12, n_items=N_ITEMS, n_actions=120))


def test_what_lies_beyond_a_users_latest_actions_has_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_parts, "HISTORY_LENGTH", 3)
    log = random_log(3, n_users=4, n_items=N_ITEMS - 1, n_actions=60)
    latest = np.concatenate([np.flatnonzero(log.users == user)[-3:] for user in range(4)])
    np.testing.assert_allclose(
        embed_log(log, NOW + 1, VECTORS, half_life_seconds=HALF_LIFE), embed_rows(log, latest), atol=1e-6
    )
    rows = [row for rows, _ in states_before_actions(log, VECTORS, half_life_seconds=HALF_LIFE) for row in rows]
    assert sorted(rows) == sorted(row for user in range(4) for row in np.flatnonzero(log.users == user)[-2:])


@given(actions, st.sampled_from([0.0, 1.0, 24.0, 1e4]))
@settings(deadline=None, max_examples=60)
def test_a_log_is_embedded_as_users_are_by_their_rows_before_now(rows: list[Action], hours: float) -> None:
    log, now = log_of(rows, n_users=N_USERS, n_items=N_ITEMS), NOW - hours * HOUR
    np.testing.assert_allclose(
        embed_log(log, now, VECTORS, half_life_seconds=HALF_LIFE),
        embed_rows(log, np.flatnonzero(log.times < now)),
        atol=1e-6,
    )


def test_actions_that_cancel_out_give_no_state() -> None:
    weights = [0.1, 0.2, -0.3, 1.0]
    log = log_of([(0, 0, NOW + k, weight) for k, weight in enumerate(weights)], n_users=1, n_items=N_ITEMS)
    steps = [vectors for _, vectors in states_before_actions(log, VECTORS, half_life_seconds=1e12)]
    assert [bool(vectors.any()) for vectors in steps] == [True, True, False]


def test_a_user_is_known_before_he_comes_back_after_centuries() -> None:
    log = log_of([(0, 0, NOW - 1e6 * DAY, 1.0), (0, 1, NOW, 1.0)], n_users=1, n_items=N_ITEMS)
    [(rows, vectors)] = states_before_actions(log, VECTORS, half_life_seconds=HALF_LIFE)
    assert rows.tolist() == [1]
    np.testing.assert_allclose(vectors[0], VECTORS[0], atol=1e-6)
