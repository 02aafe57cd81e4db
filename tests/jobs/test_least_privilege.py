import dataclasses
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lib.adapters.database import Database
from lib.adapters.redis_client import RedisClient
from lib.adapters.schema import grants, missing_rights
from lib.adapters.services import Services
from lib.errors import DatabaseForbids, RedisUnavailable
from lib.jobs.forget_user import forget_user
from lib.jobs.initialize import initialize
from lib.jobs.refresh_cold_start import refresh_cold_start
from lib.jobs.report_status import report_status
from lib.jobs.run import Deadline, run_and_report
from lib.jobs.warm_cache import warm_cache
from lib.settings import Settings
from local.redis_rest import RedisRest
from local.resp import Connection
from tests.adapters.roles import administer, limited_role
from tests.conftest import MakeDatabase, Servers
from tests.jobs.site import Site, action

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


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


def test_the_rights_that_are_missing_are_those_that_the_shown_sql_grants(settings: Settings) -> None:
    with (
        limited_role(settings.database_url) as url,
        closing(Database(url, max_connections=1)) as database,
        database.transaction() as connection,
    ):
        missing, granted = missing_rights(connection), grants(connection)
    tables = r"\b(?:content|(?:user|recs)_\w+)"
    assert sorted(re.findall(tables, "; ".join(missing))) == sorted(re.findall(tables, granted))


def run_every_job(site: Site) -> None:
    now, deadline, services = datetime.now(UTC), Deadline.after(60), site.services
    assert site.act(action("ann", "a"), action("bob", "b"), "unreadable")["applied"] == 2
    assert site.embed()["users_updated"] == 2
    assert run_and_report("warm_cache", warm_cache, services, deadline)["users_warmed"] == 2
    assert run_and_report("refresh_cold_start", refresh_cold_start, services, deadline)["contents"] == 2
    assert site.ids("ann") == ["b"]
    assert site.ids("stranger")
    services.cache.check_writable()
    assert services.pings.begin("a-nonce")
    services.pings.note_message("a-nonce", "msg_1")
    services.pings.note_arrival("a-nonce")
    ping = services.pings.latest()
    assert ping is not None
    assert (ping.message_id, ping.round_trip_ms is None) == ("msg_1", False)
    services.pings.forget()
    assert report_status(services, now)["errors"] == []
    [letter] = services.dead_letters.all()
    assert services.dead_letters.put_back([letter]) == 1
    fail_until_set_aside(services)
    [batch] = services.dead_letters.set_aside()
    assert services.dead_letters.put_back_batch(batch.batch_id)
    assert site.drain()["rejected"] == 1
    assert forget_user(services, "ann", deadline).is_complete


def fail_until_set_aside(services: Services) -> None:
    while batch_id := services.queue.claim().batch_id:
        services.queue.release(batch_id, error="of this test's making")


def test_with_the_sql_that_init_shows_a_role_without_ddl_runs_every_job(limited_site: Site) -> None:
    run_every_job(limited_site)
    services, now = limited_site.services, datetime.now(UTC)
    assert not [check for check in initialize(services, now).checks if check.name == "schema" and check.status != "ok"]


def blocks_of_the_operations_page(language: str) -> list[str]:
    """What stands in its fences of that language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", OPERATIONS.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def site_of_the_role(site: Site, settings: Settings) -> Iterator[Site]:
    """A site on a closed database, whose role got the SQL of the operations page and nothing else."""
    name = urlsplit(settings.database_url).path.removeprefix("/")
    [sql] = blocks_of_the_operations_page("sql")
    with limited_role(settings.database_url) as url:
        role = urlsplit(url).username
        assert role is not None
        create, grants = sql.split("\n", 1)
        assert create.startswith("CREATE ROLE recommendations LOGIN PASSWORD")
        grants = grants.replace("recommendations", role).replace("DATABASE app", f"DATABASE {name}")
        closed = f"REVOKE ALL ON DATABASE {name} FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC;"
        administer(settings.database_url, closed + grants)
        services = Services(dataclasses.replace(settings, database_url=url))
        yield dataclasses.replace(site, services=services)
        services.close()


def test_the_role_of_the_operations_page_runs_every_job_and_can_t_change_the_schema(site_of_the_role: Site) -> None:
    run_every_job(site_of_the_role)
    with pytest.raises(DatabaseForbids):
        site_of_the_role.query("CREATE TABLE another (id text)")
    with pytest.raises(DatabaseForbids):
        site_of_the_role.query("INSERT INTO content (content_id) VALUES ('a')")


@pytest.fixture
def rest_as(servers: Servers, redis_credentials: tuple[str, str]) -> Iterator[Callable[[str], tuple[str, str]]]:
    """`rest_as(user)`: URL and token of a user who may do what the operations page says, in this test's database."""
    rules_of = {line.split()[2]: line.split()[3:] for line in blocks_of_the_operations_page("text")}
    database, stack = int(redis_credentials[1].rpartition("-")[2]), ExitStack()

    def make(user: str) -> tuple[str, str]:
        # The front chooses the database for whoever connects; Upstash has one only.
        rules = [">a-password" if rule == ">TOKEN" else rule for rule in rules_of[user]] + ["+select"]
        with Connection(servers.valkey.address) as connection:
            connection.call(b"ACL", b"SETUSER", user.encode(), *[rule.encode() for rule in rules])
            stack.callback(delete, user)
        address = servers.valkey.address._replace(user=user, password="a-password")
        return stack.enter_context(RedisRest(address, {"token": database})).url, "token"

    def delete(user: str) -> None:
        with Connection(servers.valkey.address) as connection:
            connection.call(b"ACL", b"DELUSER", user.encode())

    with stack:
        yield make


def test_the_functions_token_of_the_operations_page_runs_every_job_and_reads_nothing_else(
    site: Site, settings: Settings, rest_as: Callable[[str], tuple[str, str]]
) -> None:
    url, token = rest_as("functions")
    services = Services(dataclasses.replace(settings, redis_url=url, redis_token=token))
    run_every_job(dataclasses.replace(site, services=services))
    services.close()
    refused = RedisClient(url, token)
    for command in (("GET", "session:1"), ("DEL", "session:1"), ("KEYS", "*"), ("SCAN", 0)):
        with pytest.raises(RedisUnavailable, match="NOPERM"):
            refused.execute(*command)
    refused.close()


def test_the_apps_token_of_the_operations_page_pushes_and_reads_lists_and_nothing_else(
    site: Site, rest_as: Callable[[str], tuple[str, str]]
) -> None:
    app = RedisClient(*rest_as("app"))
    app.execute("LPUSH", "pending_user_actions", action("ann", "a"))
    assert site.drain()["applied"] == 1
    site.recommend("ann")
    assert app.execute("GET", "recommend:user:ann")
    for command in (("LRANGE", "pending_user_actions", 0, -1), ("GET", "recs:check"), ("EVAL", "return 1", 0)):
        with pytest.raises(RedisUnavailable, match="NOPERM"):
            app.execute(*command)
    app.close()
