import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lib.core.ranker import neighbours, reads
from lib.core.ranker.log import DAY, Log, first_reads
from lib.core.ranker.neighbours import CHANNELS, Rows, carry_cohort_popularity, carry_rows, neighbour_rows
from lib.core.ranker.reads import prepare
from lib.core.ranker.site import site_at
from tests.core.ranker.logs import NOW, assert_same, random_log

Values = dict[tuple[int, int], list[float]]
seeds = st.integers(0, 10_000)


def rows_of(log: Log, now: float = NOW, *, size: int = 1_000) -> Rows:
    prepared = prepare(first_reads(log), now)
    return neighbour_rows(prepared, np.unique(prepared.by_user.items), size=size)


def as_dict(rows: Rows) -> dict[tuple[int, int], NDArray[np.float32]]:
    owner = np.repeat(np.arange(len(rows.starts) - 1), np.diff(rows.starts))
    return dict(zip(zip(owner.tolist(), rows.items.tolist(), strict=True), rows.values, strict=True))


def by_definition(log: Log, now: float) -> Values:
    """The sums of the module's docstring, user by user and pair by pair."""
    histories: dict[int, list[tuple[int, float]]] = defaultdict(list)
    read = first_reads(log)
    for user, item, time in zip(read.users.tolist(), read.items.tolist(), read.times.tolist(), strict=True):
        histories[user].append((item, (now - time) / DAY))
    readers = np.bincount(read.items, minlength=log.n_items)
    idf = np.log1p(len(histories) / (readers + 1))
    values: Values = defaultdict(lambda: [0.0] * 5)
    for history in histories.values():
        norm = math.sqrt(sum(idf[item] ** 2 for item, _ in history))
        for place, (j, _) in enumerate(history):
            for other, (i, age) in enumerate(history):
                if i != j:
                    follows = 2 ** (-age / 7) / (other - place) if 1 <= other - place <= 5 else 0.0
                    shared = 1 / (math.sqrt(readers[i] * readers[j]) + 10)
                    added = [*(2 ** (-age / h) / norm for h in (0.5, 3.0, 30.0)), shared, follows]
                    values[j, i] = [old + new for old, new in zip(values[j, i], added, strict=True)]
    return values


@given(seeds)
@settings(deadline=None, max_examples=10)
def test_rows_hold_the_sums_over_the_users_who_read_both(seed: int) -> None:
    log = random_log(seed, n_actions=120)
    found, expected = as_dict(rows_of(log)), by_definition(log, NOW)
    assert found.keys() == expected.keys()
    for pair, values in expected.items():
        np.testing.assert_allclose(found[pair], values, rtol=1e-5)


@given(seeds, st.integers(1, 12), st.floats(0.0, 3.0))
@settings(deadline=None, max_examples=20)
def test_rows_that_are_carried_equal_a_rebuild_at_the_later_time(seed: int, size: int, days: float) -> None:
    log = random_log(seed, days=10.0)
    built, rebuilt = rows_of(log, size=size), rows_of(log, NOW + days * DAY, size=size)
    assert_same(built.starts, rebuilt.starts)
    assert_same(built.items, rebuilt.items)
    np.testing.assert_allclose(carry_rows(built.values, days * DAY), rebuilt.values, rtol=1e-5)


@given(seeds, st.floats(0.0, 50.0))
@settings(deadline=None, max_examples=10)
def test_cohort_popularity_that_is_carried_equals_a_rebuild(seed: int, days: float) -> None:
    log = random_log(seed)
    built, rebuilt = (site_at(log, now, []).items.cohort_popularity for now in (NOW, NOW + days * DAY))
    np.testing.assert_allclose(carry_cohort_popularity(built, days * DAY), rebuilt, rtol=1e-5)


def test_a_row_keeps_the_neighbours_with_the_largest_shares() -> None:
    log = random_log(3)
    everything, few = as_dict(rows_of(log)), as_dict(rows_of(log, size=4))
    for j in range(log.n_items):
        own = {i: values for (source, i), values in everything.items() if source == j}
        if not own:
            continue
        shares = np.stack(list(own.values())) / np.max(np.stack(list(own.values())), axis=0).clip(1e-30)
        best = sorted(own, key=lambda i, own=own, shares=shares: -shares[list(own).index(i)].sum())[:4]  # type: ignore[misc]
        assert {i for source, i in few if source == j} == set(best)


def test_rows_do_not_depend_on_how_the_work_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    log = random_log(5)
    whole = rows_of(log, size=6)
    monkeypatch.setattr(neighbours, "_PAIRS_PER_SHARD", 50)
    assert_same(rows_of(log, size=6), whole)


def test_of_a_heavy_reader_and_of_a_much_read_item_the_latest_count(monkeypatch: pytest.MonkeyPatch) -> None:
    log = random_log(6)
    monkeypatch.setattr(reads, "_READS_PER_USER", 2)
    monkeypatch.setattr(neighbours, "_READERS_PER_ITEM", 1)
    latest = {user: first_reads(log).items[first_reads(log).users == user][-2:].tolist() for user in range(20)}
    for source, item in as_dict(rows_of(log)):
        readers = first_reads(log).users[first_reads(log).items == source]
        assert item in latest[int(readers[-1])]


def test_a_log_without_co_reads_has_empty_rows() -> None:
    rows = rows_of(random_log(1, n_users=1, n_items=1))
    assert len(rows.items) == 0
    assert rows.values.shape == (0, len(CHANNELS))
    assert rows.starts.tolist() == [0, 0]
