import dataclasses
from collections.abc import Iterator

import pytest

from lib.adapters.services import Services
from lib.settings import Settings
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
