import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.ranker import truth as truth_module
from lib.core.ranker.log import DAY, first_reads
from lib.core.ranker.metrics import ndcg
from lib.core.ranker.truth import sample, slice_times, truth_at, with_history
from tests.core.ranker.logs import NOW, log_of, random_log


@given(st.integers(0, 10_000), st.floats(0.5, 10.0))
@settings(deadline=None, max_examples=20)
def test_the_truth_is_what_users_read_that_was_there_and_that_they_had_not_acted_on(seed: int, days: float) -> None:
    log = random_log(seed, n_items=80, n_actions=200)  # of which some come new in the window
    time = NOW - 15 * DAY
    past = log.before(time)
    acted = set(zip(past.users.tolist(), past.items.tolist(), strict=True))
    window = first_reads(log).between(time, time + days * DAY)
    expected = {
        (user, item)
        for user, item in zip(window.users.tolist(), window.items.tolist(), strict=True)
        if (user, item) not in acted and item in past.items
    }
    truth = truth_at(log, first_reads(log), time, days * DAY)
    assert set(zip(truth.users[truth.owner].tolist(), truth.items.tolist(), strict=True)) == expected
    assert truth.counts.tolist() == [sum(user == one for user, _ in expected) for one in truth.users.tolist()]


def test_a_sample_keeps_what_its_users_read() -> None:
    log = random_log(1)
    whole = truth_at(log, first_reads(log), NOW - 15 * DAY, 10 * DAY)
    some = sample(whole, 5, seed=1)
    assert len(some.users) == 5
    for number, user in enumerate(some.users):
        theirs = whole.items[whole.owner == np.flatnonzero(whole.users == user)[0]]
        assert some.items[some.owner == number].tolist() == theirs.tolist()
        assert some.counts[number] == len(theirs)


def test_a_history_is_a_read_before() -> None:
    log = log_of(
        [(0, 0, NOW - 9, 1.0), (1, 0, NOW - 9, -1.0), (0, 1, NOW - 8, 1.0), *((u, 0, NOW - 1, 1.0) for u in (1, 2))],
        n_users=3,
        n_items=2,
    )
    reads = first_reads(log)
    truth = truth_at(log, reads, NOW - 5, 5.0)
    assert truth.users.tolist() == [2]  # user 1 had acted on it, though he hadn't read it
    assert with_history(truth, reads, NOW - 5).tolist() == [False]


@given(st.floats(0.01, 300.0), st.floats(0.05, 60.0))
def test_replayed_windows_lie_between_the_warm_up_and_now(log_days: float, window_days: float) -> None:
    log = log_of([(0, 0, NOW - log_days * DAY, 1.0), (0, 1, NOW - 1, 1.0)], n_users=1, n_items=2)
    times = slice_times(log, NOW, window_days * DAY)
    assert len(times) <= 40
    assert (times + window_days * DAY <= NOW + 1e-3).all()
    assert (times >= NOW - (log_days - min(20.0, log_days / 4)) * DAY - 1e-3).all()
    assert (np.diff(times) < 0).all()


def test_a_long_log_is_replayed_at_fewer_times(monkeypatch: pytest.MonkeyPatch) -> None:
    log = random_log(1, n_actions=1_000, days=400.0)
    found = []
    for events in (1_000_000, 10_000, 1):
        monkeypatch.setattr(truth_module, "_EVENTS", events)
        found.append(len(slice_times(log, NOW, DAY)))
    assert found == [40, 10, 4]


def test_a_perfect_list_scores_one_and_a_missed_item_costs_its_share() -> None:
    hits = np.array([1, 1, 0, 1, 0, 0], np.float32)
    scores = np.array([3, 2, 1, 1, 2, 3], np.float32)
    starts = np.array([0, 3])
    found = ndcg(hits, scores, starts, np.array([2, 1]))
    assert found == pytest.approx([1.0, 1 / np.log2(4)])
    assert ndcg(hits, scores, starts, np.array([3, 1]))[0] == pytest.approx(
        (1 + 1 / np.log2(3)) / (1 + 1 / np.log2(3) + 0.5)
    )


def test_what_comes_after_the_twentieth_place_counts_for_nothing() -> None:
    hits = np.zeros(30, np.float32)
    hits[[19, 20]] = 1
    found = ndcg(hits, -np.arange(30, dtype=np.float32), np.zeros(1, np.intp), np.array([2]))
    assert found == pytest.approx([(1 / np.log2(21)) / (1 + 1 / np.log2(3))])
