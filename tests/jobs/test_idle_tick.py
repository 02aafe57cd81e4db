import dataclasses
from collections.abc import Iterator

import pytest

from lib.adapters import cache
from lib.adapters.services import Services
from lib.settings import Settings
from tests.jobs.conftest import CountCommands
from tests.jobs.site import Site, action


@pytest.fixture
def site_without_postgres(site: Site, settings: Settings) -> Iterator[Site]:
    services = Services(dataclasses.replace(settings, database_url="postgresql://ann:secret@127.0.0.1:9/site"))
    yield dataclasses.replace(site, services=services)
    services.close()


def test_a_tick_on_an_empty_list_needs_no_postgres(site_without_postgres: Site) -> None:
    summary = site_without_postgres.drain()
    assert summary == {"claimed": 0, "applied": 0, "duplicates": 0, "rejected": 0, "pending": 0}


def test_a_batch_without_one_readable_action_needs_no_postgres(site_without_postgres: Site) -> None:
    summary = site_without_postgres.act("unreadable", "[]")
    assert (summary["claimed"], summary["rejected"]) == (1, 1)
    assert site_without_postgres.count_waiting() == (0, 0)
    assert len(site_without_postgres.dead_letters()) == 1


def test_a_tick_on_an_empty_list_makes_no_connection(site: Site) -> None:
    clients = "datname = current_database() AND backend_type = 'client backend'"
    sessions = f"SELECT count(*) FROM pg_stat_activity WHERE {clients}"
    fresh = Services(site.services.settings)
    dataclasses.replace(site, services=fresh).drain()
    assert site.query(sessions) == [(1,)]
    dataclasses.replace(site, services=fresh).act(action("ann", "a"))
    assert site.query(sessions) == [(2,)]
    fresh.close()


def test_a_tick_on_an_empty_list_is_one_command_and_counts_nothing(site: Site, count_commands: CountCommands) -> None:
    site.drain()
    assert count_commands() == 1
    assert site.redis.execute("KEYS", "recs:*") == ["recs:job:process_user_actions"]


def test_a_tick_with_actions_is_four_commands_its_report_and_counts_included(
    site: Site, count_commands: CountCommands
) -> None:
    site.push(action("ann", "a"))
    count_commands()
    site.drain()
    assert count_commands() == 4  # claim, invalidate, acknowledge, report
    assert site.redis.execute("HGET", "recs:totals", "applied") == "1"


def test_a_cached_list_is_one_command_its_count_included(
    site: Site, count_commands: CountCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.act(action("ann", "a"), action("bob", "a"), action("bob", "b"))
    assert site.recommend("ann")["source"] == "computed"
    count_commands()
    assert site.recommend("ann")["source"] == "cache"
    assert site.recommend("ann")["source"] == "cache"
    assert count_commands() == 2
    monkeypatch.setattr(cache, "COUNT_EVERY_SECONDS", 0)
    assert site.recommend("ann")["source"] == "cache"
    assert count_commands() == 1
    assert site.redis.execute("HMGET", "recs:totals", "cache_hits", "cache_misses") == ["3", "1"]


def test_a_list_in_one_language_asks_the_cache_nothing(site: Site, count_commands: CountCommands) -> None:
    site.act(action("ann", "a"), action("bob", "a"), action("bob", "b"))
    count_commands()
    site.recommend("ann", language="en")
    site.recommend("a stranger", language="en")
    assert count_commands() == 0
