import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from lib.adapters.services import Services
from lib.jobs.initialize import initialize
from lib.jobs.refresh_cold_start import refresh_cold_start
from lib.jobs.report_status import report_status
from lib.jobs.run import Deadline
from lib.jobs.warm_cache import warm_cache
from lib.settings import Settings
from tests.adapters.roles import administer, limited_role
from tests.conftest import MakeDatabase
from tests.jobs.site import Site, action


@pytest.fixture
def limited_site(site: Site, settings: Settings, make_database: MakeDatabase) -> Iterator[Site]:
    """A site whose role got, from an owner, exactly the SQL that /api/init shows."""
    owner_url = make_database()
    with limited_role(owner_url) as url:
        services = Services(dataclasses.replace(settings, database_url=url))
        [fix] = [check.fix for check in initialize(services, datetime.now(UTC)).checks if "CREATE TABLE" in check.fix]
        administer(owner_url, fix.partition("\n")[2])
        yield dataclasses.replace(site, services=services)
        services.close()


def test_with_the_sql_that_init_shows_a_role_without_ddl_runs_every_job(limited_site: Site) -> None:
    now, deadline, services = datetime.now(UTC), Deadline.after(60), limited_site.services
    assert limited_site.act(action("ann", "a"), action("bob", "b"), "unreadable")["applied"] == 2
    assert limited_site.embed()["users_updated"] == 2
    assert warm_cache(services, now, deadline)["users_warmed"] == 2
    assert refresh_cold_start(services, now, deadline)["contents"] == 2
    assert limited_site.ids("ann") == ["b"]
    assert limited_site.ids("stranger")
    assert report_status(services, now)["errors"] == []
    assert not [check for check in initialize(services, now).checks if check.name == "schema" and check.status != "ok"]
