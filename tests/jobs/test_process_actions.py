import dataclasses
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lib.adapters.services import Services
from lib.errors import PostgresUnavailable, RedisUnavailable
from lib.jobs import apply_batch as apply_module
from lib.settings import Settings
from tests.jobs.site import Crash, Site, action, assert_popularity_follows_from_the_log

UNREADABLE = [
    "",
    "not json",
    "[1]",
    action("ann", "a", "stare"),
    action("", "a"),
    action("ann", "a", timestamp="yesterday"),
    action("ann", "a", days_ago=-1),
]
LIST = {"items": [{"content_id": "old", "score": 1.0, "source": "personal"}]}


@pytest.fixture
def site_without_leases(site: Site, settings: Settings) -> Iterator[Site]:
    """A site whose leases end at once: what a drain leaves behind is claimable."""
    services = Services(dataclasses.replace(settings, claim_lease_seconds=0))
    yield dataclasses.replace(site, services=services)
    services.close()


def totals(summary: dict[str, Any]) -> tuple[int, ...]:
    return tuple(summary[name] for name in ("claimed", "applied", "duplicates", "rejected", "pending"))


def cache_lists(site: Site, *user_ids: str) -> None:
    generations = dict(zip(user_ids, site.services.cache.generations(user_ids), strict=True))
    site.services.cache.store_user_lists(dict.fromkeys(user_ids, LIST), generations)


def test_an_action_is_in_the_log_as_it_was_pushed(site: Site) -> None:
    site.act(action("ann", "a", "dwell", id="x", value=2.5, timestamp="2024-05-06T07:08:09.5+02:00"))
    [row] = site.query(
        "SELECT event_id, user_id, content_id, action, value, occurred_at = '2024-05-06T05:08:09.5Z',"
        " now() - received_at < interval '1 minute' FROM user_actions"
    )
    assert row == ("x", "ann", "a", "dwell", 2.5, True, True)


def test_an_empty_list_is_no_work(site: Site) -> None:
    assert totals(site.drain()) == (0, 0, 0, 0, 0)


def test_a_thousand_good_actions_and_seven_bad_ones_apply_a_thousand(site: Site) -> None:
    elements = [action(f"user {number % 40}", f"item {number % 90}") for number in range(1000)]
    for number, unreadable in enumerate(UNREADABLE):
        elements.insert(number * 150, unreadable)
    assert totals(site.act(*elements)) == (1007, 1000, 0, 7, 0)
    assert site.count_events() == 1000
    reasons = {letter["raw"]: letter["reason"] for letter in site.dead_letters()}
    assert reasons.keys() == set(UNREADABLE)
    assert all(reasons.values())
    assert_popularity_follows_from_the_log(site)


def test_the_counts_add_up_whatever_an_element_holds(site: Site) -> None:
    site.act(action("ann", "a", id="known"))
    several = [json.loads(action("ann", content_id)) for content_id in "bc"]
    summary = site.act(json.dumps([*several, {}]), json.dumps(action("ann", "d")), action("ann", "a", id="known"))
    assert totals(summary) == (5, 3, 1, 1, 0)
    assert site.count_events() == 4


def test_an_action_pushed_twice_counts_once_within_a_batch_and_later(site: Site) -> None:
    twice = action("ann", "a", id="twice")
    assert totals(site.act(twice, twice)) == (2, 1, 1, 0, 0)
    assert totals(site.act(twice)) == (1, 0, 1, 0, 0)
    assert_popularity_follows_from_the_log(site)


def test_actions_without_an_id_count_each(site: Site) -> None:
    assert totals(site.act(*[action("ann", "a", id=None)] * 3)) == (3, 3, 0, 0, 0)


def test_the_lists_of_users_who_acted_go_and_those_of_others_stay(site: Site) -> None:
    cache_lists(site, "ann", "bob", "cleo")
    site.act(action("ann", "a"), action("bob", "a", "hide"))
    assert site.cached(["ann", "bob", "cleo"]) == {"cleo"}


def test_lists_go_after_the_commit_so_that_none_is_made_of_the_log_before(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed: list[int] = []
    monkeypatch.setattr(site.services.cache, "invalidate", lambda _: committed.append(site.count_events()))
    site.act(action("ann", "a"))
    assert committed == [1]


def fail_at(step: str, error: BaseException, site: Site, patch: pytest.MonkeyPatch) -> None:
    """Makes the drain end in `error` when it comes to that step."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    owners = {"invalidate": site.services.cache, "acknowledge": site.services.queue}
    patch.setattr(owners.get(step, apply_module), step, fail)


STEPS = ["insert_actions", "add_popularity", "invalidate", "acknowledge"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", [RedisUnavailable(), Crash()], ids=["an error", "the end of the process"])
def test_a_drain_that_ends_at_any_step_is_made_up_for_by_the_next(
    site_without_leases: Site, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    site = site_without_leases
    users = [f"user {number}" for number in range(5)]
    cache_lists(site, *users)
    site.push(*[action(user, f"item {number}", id=None) for number, user in enumerate(users * 4)], "unreadable")
    with monkeypatch.context() as patch:
        fail_at(step, error, site, patch)
        with pytest.raises(type(error)):
            site.drain()
    assert site.count_waiting() == (0, 21)
    summary = site.drain()
    assert (summary["claimed"], summary["rejected"]) == (21, 1)
    assert site.count_events() == 20
    assert site.count_waiting() == (0, 0)
    assert len(site.dead_letters()) == 1
    assert site.cached(users) == set()
    assert_popularity_follows_from_the_log(site)


def test_an_error_gives_the_batch_back_at_once_and_the_end_of_the_process_leaves_it_to_its_lease(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.push(action("ann", "a"))
    for error, claimed_again in ((RedisUnavailable(), 1), (Crash(), 0)):
        with monkeypatch.context() as patch:
            fail_at("insert_actions", error, site, patch)
            with pytest.raises(type(error)):
                site.drain()
        claim = site.services.queue.claim()
        assert len(claim.elements) == claimed_again
        if claim.batch_id:
            site.services.queue.release(claim.batch_id)
    assert site.count_waiting() == (0, 1)


def test_drains_at_once_apply_each_action_once(site: Site, settings: Settings) -> None:
    elements = [action(f"user {number % 7}", f"item {number % 11}") for number in range(600)]
    site.push(*elements, *elements[:100])
    drains = [dataclasses.replace(site, services=Services(_small_claims(settings))) for _ in range(3)]
    with ThreadPoolExecutor() as threads:
        summaries = list(threads.map(Site.drain, drains))
    for drain in drains:
        drain.services.close()
    assert sum(summary["applied"] for summary in summaries) == site.count_events() == 600
    assert sum(summary["duplicates"] for summary in summaries) == 100
    assert site.count_waiting() == (0, 0)
    assert_popularity_follows_from_the_log(site)


def _small_claims(settings: Settings) -> Settings:
    return dataclasses.replace(settings, claim_max_elements=50)


def test_a_drain_whose_time_is_spent_leaves_the_rest_pending(site: Site, settings: Settings) -> None:
    services = Services(_small_claims(settings))
    site = dataclasses.replace(site, services=services)
    site.push(*[action("ann", "a") for _ in range(120)])
    assert totals(site.drain(seconds=0)) == (50, 50, 0, 0, 70)
    assert site.count_waiting() == (70, 0)
    assert totals(site.drain()) == (70, 70, 0, 0, 0)
    services.close()


def test_what_comes_while_the_last_batch_is_written_waits_for_the_next_tick(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a tick of a site where users act all the time would claim a few actions at a time for as long as it may."""
    apply_batch = apply_module.apply_batch

    def apply_while_users_act(*arguments: Any, **options: Any) -> Any:
        site.push(action("ann", "a"))
        return apply_batch(*arguments, **options)

    monkeypatch.setattr(apply_module, "apply_batch", apply_while_users_act)
    site.push(action("ann", "b"))
    assert totals(site.drain())[:2] == (1, 1)
    assert site.count_waiting() == (1, 0)


def test_a_tick_takes_up_every_batch_that_was_left_behind(site: Site, settings: Settings) -> None:
    """With nothing pending, which says nothing of batches whose lease has ended."""
    dead = Services(dataclasses.replace(settings, claim_max_elements=1))
    site.push(*[action("ann", content_id) for content_id in "abc"])
    for batch_id in [dead.queue.claim().batch_id for _ in range(3)]:
        site.redis.execute("ZADD", "recs:leases", 0, batch_id)
    dead.close()
    assert totals(site.drain()) == (3, 3, 0, 0, 0)
    assert site.count_waiting() == (0, 0)


def test_without_postgres_nothing_is_lost_and_the_batch_is_given_back_at_once(site: Site, settings: Settings) -> None:
    site.push(action("ann", "a"), action("ann", "b"))
    away = Services(dataclasses.replace(settings, database_url="postgresql://ann:secret@127.0.0.1:9/site"))
    with pytest.raises(PostgresUnavailable):
        dataclasses.replace(site, services=away).drain()
    away.close()
    [run] = site.services.reports.runs("process_user_actions")
    assert run["outcome"].startswith("failed: Postgres doesn't answer")
    assert site.count_waiting() == (0, 2)
    assert totals(site.drain()) == (2, 2, 0, 0, 0)


def test_the_last_run_is_reported_with_what_it_did(site: Site) -> None:
    site.act(action("ann", "a"), "unreadable")
    [run] = site.services.reports.runs("process_user_actions")
    assert run["outcome"] == "ok"
    assert (run["summary"]["applied"], run["summary"]["rejected"]) == (1, 1)
    assert 0 < site.redis.execute("TTL", "recs:job:process_user_actions") <= 30 * 86_400
