from datetime import UTC, datetime, timedelta

import pytest

from lib.jobs import prune_actions as prune_module
from lib.jobs.prune_actions import prune_old_actions
from lib.jobs.run import Deadline
from tests.jobs.site import Site, action, assert_popularity_follows_from_the_log

AFTER_THE_RETENTION = timedelta(days=366)


def prune(site: Site, *, later: timedelta, seconds: float = 60.0) -> int:
    return prune_old_actions(site.services, datetime.now(UTC) + later, Deadline.after(seconds))


def test_events_go_after_the_retention_and_not_before(site: Site) -> None:
    site.act(action("ann", "a"), action("ann", "b"))
    assert prune(site, later=timedelta(days=364)) == 0
    assert site.count_events() == 2
    assert prune(site, later=AFTER_THE_RETENTION) == 2
    assert site.count_events() == 0


def test_it_goes_by_when_an_event_was_received_not_by_when_it_occurred(site: Site) -> None:
    site.act(action("ann", "a", days_ago=1000))
    assert prune(site, later=timedelta(0)) == 0


def test_what_went_no_longer_counts_towards_popularity_and_what_stays_does(site: Site) -> None:
    site.act(action("ann", "a", id="first", days_ago=2), action("ann", "a", days_ago=1), action("bob", "a"))
    site.query("UPDATE user_actions SET received_at = now() - interval '1000 days' WHERE event_id = 'first'")
    assert prune(site, later=timedelta(0)) == 1
    assert_popularity_follows_from_the_log(site)


def test_users_of_whom_nothing_is_left_lose_their_embedding(site: Site) -> None:
    site.act(action("ann", "a"), action("bob", "a"))
    site.embed()
    site.query("UPDATE user_actions SET received_at = now() - interval '1000 days' WHERE user_id = 'ann'")
    assert prune(site, later=timedelta(0)) == 1
    assert site.query("SELECT user_id FROM user_embeddings") == [("bob",)]


def test_a_pruned_event_that_comes_again_counts_anew(site: Site) -> None:
    element = action("ann", "a")
    site.act(element)
    prune(site, later=AFTER_THE_RETENTION)
    assert site.act(element)["applied"] == 1
    assert_popularity_follows_from_the_log(site)


def test_it_goes_in_batches_and_ends_when_its_time_is_spent(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune_module, "EVENTS_AT_ONCE", 3)
    site.act(*[action("ann", "a") for _ in range(7)])
    assert prune(site, later=AFTER_THE_RETENTION, seconds=0) == 0
    assert prune(site, later=AFTER_THE_RETENTION) == 7
    assert prune(site, later=AFTER_THE_RETENTION) == 0
