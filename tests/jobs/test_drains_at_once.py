"""Drains that write at the same time: each event once, popularity as the log says, and nobody waits in a circle."""

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from lib.adapters.action_log import insert_actions
from lib.adapters.popularity_store import write_popularity
from lib.adapters.services import Services
from lib.core.defaults import HALF_LIVES_HOURS
from lib.jobs import apply_batch as apply_module
from lib.jobs import change_popularity as popularity_module
from lib.jobs.apply_batch import apply_batch
from lib.jobs.change_popularity import add_popularity
from lib.settings import Settings
from tests.jobs.site import Site, action, assert_popularity_follows_from_the_log

DRAINS = 3
KNOWN = 1_000  # contents: so many that locking them takes a while
USERS, CONTENTS = ["ann", "bob"], ["a", "b", "c", "d"]
Batch = list[str]

elements = st.builds(
    action,
    st.sampled_from(USERS),
    st.sampled_from(CONTENTS),
    st.sampled_from(["view", "like", "hide"]),
    days_ago=st.sampled_from([0.01, 0.5, 3.0, 90.0]),
    id=st.integers(0, 30),  # few: the same one comes in several batches, of other users and contents too
)
batches = st.lists(st.lists(elements, min_size=1, max_size=12), min_size=DRAINS, max_size=DRAINS)


@pytest.fixture
def drains(site: Site, settings: Settings) -> Iterator[list[Site]]:
    """Several processes' worth of services of one site."""
    sites = [dataclasses.replace(site, services=Services(settings)) for _ in range(DRAINS)]
    yield sites
    for one in sites:
        one.services.close()


def apply_at_once(drains: Sequence[Site], batches: Sequence[Batch], now: datetime) -> list[dict[str, int]]:
    """What each drain counted. All begin in the same moment."""
    begin = Barrier(len(batches))

    def apply(drain: Site, number: int, batch: Batch) -> dict[str, int]:
        begin.wait(30)
        counts, letters = apply_batch(drain.services, f"batch {number}", batch, now=now)
        assert not letters
        return counts

    with ThreadPoolExecutor(len(batches)) as threads:
        return list(threads.map(apply, drains, range(len(batches)), batches))


@profile(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=batches)
def test_popularity_equals_a_recompute_whatever_several_drains_write_at_once(
    site: Site, drains: list[Site], batches: list[Batch]
) -> None:
    site.query("TRUNCATE user_actions, recs_popularity")
    counts = apply_at_once(drains, batches, datetime.now(UTC))
    ids = {one.split('"id": ')[1].split(",")[0] for batch in batches for one in batch}
    assert sum(count["applied"] for count in counts) == site.count_events() == len(ids)
    assert sum(count["duplicates"] for count in counts) == sum(map(len, batches)) - len(ids)
    assert_popularity_follows_from_the_log(site)


def meeting_at(function: Any, barrier: Barrier) -> Any:
    """`function`, which is begun when as many callers have come to it as the barrier waits for."""

    def call(*arguments: Any, **named: Any) -> Any:
        barrier.wait(30)
        return function(*arguments, **named)

    return call


def test_of_a_users_actions_that_are_written_at_once_the_earliest_alone_counts(
    site: Site, drains: list[Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are in the log, and nobody's is committed, when it is decided which was the first."""
    monkeypatch.setattr(apply_module, "add_popularity", meeting_at(add_popularity, Barrier(DRAINS)))
    batches = [[action("ann", "a", days_ago=days), action("ann", "b", days_ago=4 - days)] for days in (2, 1, 3)]
    apply_at_once(drains, batches, datetime.now(UTC))
    assert_popularity_follows_from_the_log(site)
    assert [sums[-1] for (sums,) in site.query("SELECT sums FROM recs_popularity")] == [1, 1]


@pytest.mark.parametrize("new", [0, KNOWN])
def test_drains_that_need_each_others_contents_wait_in_no_circle(
    site: Site, drains: list[Site], monkeypatch: pytest.MonkeyPatch, new: int
) -> None:
    """Each drain names them in another order."""
    site.act(*[action("cleo", f"item {number}") for number in range(KNOWN)])
    monkeypatch.setattr(apply_module, "add_popularity", meeting_at(add_popularity, Barrier(DRAINS)))
    names = [f"item {number}" for number in range(KNOWN + new)]
    orders = [names, names[::-1], names[KNOWN // 2 :] + names[: KNOWN // 2]]
    batches = [[action(f"user {n}", name) for name in order] for n, order in enumerate(orders)]
    apply_at_once(drains, batches, datetime.now(UTC))
    assert {sums[-1] for (sums,) in site.query("SELECT sums FROM recs_popularity")} == ({3, 4} if new else {4})
    assert_popularity_follows_from_the_log(site)


def test_drains_that_bring_the_same_events_wait_in_no_circle(
    site: Site, drains: list[Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply_module, "insert_actions", meeting_at(insert_actions, Barrier(DRAINS)))
    events = [action(f"user {number % 7}", f"item {number % 11}") for number in range(300)]
    counts = apply_at_once(drains, [events, events[::-1], events[150:] + events[:150]], datetime.now(UTC))
    assert sum(count["applied"] for count in counts) == site.count_events() == 300
    assert_popularity_follows_from_the_log(site)


def test_a_drain_waits_for_one_that_changes_the_same_content_and_for_no_other(
    site: Site, drains: list[Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has locked its contents and goes on only when another, of other contents, is done."""
    others: list[Any] = []

    def write(*arguments: Any) -> None:
        monkeypatch.setattr(popularity_module, "write_popularity", write_popularity)
        others.append(apply_batch(drains[1].services, "another", [action("bob", "b")], now=datetime.now(UTC)))
        write_popularity(*arguments)

    monkeypatch.setattr(popularity_module, "write_popularity", write)
    drains[0].act(action("ann", "a"))
    assert others == [({"claimed": 1, "applied": 1, "duplicates": 0, "rejected": 0}, [])]
    assert_popularity_follows_from_the_log(site)


def test_content_whose_actions_count_no_more_than_before_gets_no_popularity(site: Site, settings: Settings) -> None:
    """Hiding counts from now on; what ann does later than her first hiding changes nothing."""
    site.act(action("ann", "a", "hide", days_ago=2))
    weights = {**settings.action_weights, "hide": 1.0}
    services = Services(dataclasses.replace(settings, action_weights=weights))
    dataclasses.replace(site, services=services).act(action("ann", "a", days_ago=1), action("bob", "b"))
    services.close()
    assert [sums for (sums,) in site.query("SELECT sums FROM recs_popularity WHERE content_id = 'a'")] == []
    [(sums,)] = site.query("SELECT sums FROM recs_popularity WHERE content_id = 'b'")
    assert sums == [1.0] * len(HALF_LIVES_HOURS)
