import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.popularity import carry, decayed_sums, first_action_changes, merge

HOUR = 3600.0
NOW = 1_700_000_000.0
N_CONTENTS = 3
State = tuple[NDArray[np.float64], NDArray[np.float64]]

moments = st.integers(0, 60 * 24 * 3600).map(lambda seconds: NOW - seconds)
contributions = st.tuples(moments, st.sampled_from([1.0, -1.0]), st.integers(0, N_CONTENTS - 1))
actions = st.tuples(st.integers(0, 3), st.integers(0, N_CONTENTS - 1), moments)  # user, content, time


def state_of(rows: list[tuple[float, float, int]]) -> State:
    times, signs, contents = (np.array([row[column] for row in rows]) for column in range(3))
    return decayed_sums(times.astype(float), signs.astype(float), contents.astype(np.intp), N_CONTENTS)


def at_now(state: State) -> NDArray[np.float64]:
    return carry(state[1], state[0], NOW)


def test_a_contribution_one_half_life_old_counts_for_half() -> None:
    times = np.array([NOW - 36 * HOUR, NOW])
    as_of, sums = decayed_sums(times, np.ones(2), np.zeros(2, np.intp), 1)
    assert as_of[0] == NOW
    assert sums[0, HALF_LIVES_HOURS.index(36.0)] == pytest.approx(1.5)
    assert sums[0, HALF_LIVES_HOURS.index(12.0)] == pytest.approx(1.125)
    assert sums[0, HALF_LIVES_HOURS.index(math.inf)] == 2.0


def test_carrying_halves_once_per_half_life_and_leaves_popularity_of_all_time() -> None:
    carried = carry(np.ones((2, len(HALF_LIVES_HOURS))), np.array([NOW, NOW - 12 * HOUR]), NOW + 12 * HOUR)
    assert carried[:, HALF_LIVES_HOURS.index(12.0)] == pytest.approx([0.5, 0.25])
    assert carried[:, HALF_LIVES_HOURS.index(math.inf)] == pytest.approx([1.0, 1.0])


@given(st.lists(contributions, max_size=20), st.lists(contributions, max_size=20), st.lists(contributions, max_size=20))
@settings(deadline=None)
def test_states_of_any_chunks_merge_in_any_order_into_the_state_of_the_whole(
    one: list[tuple[float, float, int]], two: list[tuple[float, float, int]], three: list[tuple[float, float, int]]
) -> None:
    whole = state_of(one + two + three)
    merged = merge(*merge(*state_of(one), *state_of(two)), *state_of(three))
    other_way = merge(*state_of(three), *merge(*state_of(two), *state_of(one)))
    for as_of, sums in (merged, other_way):
        np.testing.assert_array_equal(as_of, whole[0])
        np.testing.assert_allclose(sums, whole[1], rtol=1e-9, atol=1e-9)


def test_a_content_without_contributions_is_the_identity_of_merging() -> None:
    nothing = state_of([])
    something = state_of([(NOW - 5.0, 1.0, content) for content in range(N_CONTENTS)])
    for as_of, sums in (merge(*nothing, *something), merge(*something, *nothing)):
        np.testing.assert_array_equal(as_of, something[0])
        np.testing.assert_array_equal(sums, something[1])
    assert merge(*nothing, *nothing)[1].tolist() == nothing[1].tolist()
    assert not at_now(nothing).any()


@given(st.lists(contributions, min_size=1, max_size=20), moments)
@settings(deadline=None)
def test_what_is_taken_back_leaves_what_was_there_before(
    rows: list[tuple[float, float, int]], taken_back_at: float
) -> None:
    before = at_now(state_of(rows))
    after = at_now(state_of([*rows, (taken_back_at, 1.0, 0), (taken_back_at, -1.0, 0)]))
    np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("previous", "new_times", "changes"),
    [
        pytest.param(math.nan, [50.0], [(50.0, 1.0)], id="the first action"),
        pytest.param(math.nan, [60.0, 50.0], [(50.0, 1.0)], id="two at once: the earlier"),
        pytest.param(40.0, [50.0], [], id="a later one"),
        pytest.param(40.0, [40.0], [], id="the same again"),
        pytest.param(40.0, [30.0, 50.0], [(30.0, 1.0), (40.0, -1.0)], id="an earlier one that arrives late"),
        pytest.param(40.0, [], [], id="no new action"),
        pytest.param(math.nan, [], [], id="none at all"),
    ],
)
def test_only_a_users_first_action_on_a_content_counts(
    previous: float, new_times: list[float], changes: list[tuple[float, float]]
) -> None:
    pairs, times, signs = first_action_changes(
        np.zeros(len(new_times), np.intp), np.array(new_times), np.array([previous])
    )
    assert list(zip(times, signs, strict=True)) == changes
    assert not pairs.any()


@given(st.lists(actions, min_size=1, max_size=30), st.randoms(use_true_random=False), st.integers(1, 8))
@settings(deadline=None)
def test_stored_sums_equal_a_recompute_whatever_the_order_chunks_and_duplicates(
    log: list[tuple[int, int, float]], random: Random, chunk: int
) -> None:
    arrivals = log + random.sample(log, len(log) // 2)
    random.shuffle(arrivals)
    stored = state_of([])
    first: dict[tuple[int, int], float] = {}
    for start in range(0, len(arrivals), chunk):
        stored = merge(*stored, *drained(arrivals[start : start + chunk], first))
    earliest = {(user, content): math.inf for user, content, _ in log}
    for user, content, at in log:
        earliest[user, content] = min(at, earliest[user, content])
    recomputed = state_of([(at, 1.0, content) for (_, content), at in earliest.items()])
    np.testing.assert_allclose(at_now(stored), at_now(recomputed), atol=1e-6)


def drained(batch: list[tuple[int, int, float]], first: dict[tuple[int, int], float]) -> State:
    """What one batch adds, as the drain works it out from the first actions of its pairs; keeps those up to date."""
    keys = sorted({(user, content) for user, content, _ in batch})
    pairs, times, signs = first_action_changes(
        np.array([keys.index((user, content)) for user, content, _ in batch]),
        np.array([at for _, _, at in batch]),
        np.array([first.get(key, math.nan) for key in keys]),
    )
    for user, content, at in batch:
        first[user, content] = min(at, first.get((user, content), math.inf))
    contents = np.array([content for _, content in keys])
    return decayed_sums(times, signs, contents[pairs], N_CONTENTS)
