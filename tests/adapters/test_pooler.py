"""Behind a real PgBouncer in transaction mode, and how many connections there are at most."""

import dataclasses
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from pgvector import Vector

from lib.adapters.database import Connection, Database
from lib.adapters.redis_client import RedisClient
from lib.adapters.schema import column_problems, is_current, migrate
from lib.adapters.services import Services
from lib.errors import PostgresUnavailable
from lib.jobs import apply_batch as apply_module
from lib.jobs.forget_user import forget_user
from lib.jobs.refresh_cold_start import refresh_cold_start
from lib.jobs.report_status import report_status
from lib.jobs.run import Deadline
from lib.jobs.warm_cache import warm_cache
from lib.settings import Settings
from tests.adapters.pgbouncer import PgBouncer, find_pgbouncer
from tests.adapters.roles import administer
from tests.conftest import MakeDatabase, Servers
from tests.jobs.site import Site, action, assert_popularity_follows_from_the_log
from tests.support import eventually

ROOT = Path(__file__).parents[2]

READ = b"SELECT note FROM notes WHERE note = %(note)s"

MakePooler = Callable[..., PgBouncer]
MakeSite = Callable[..., Site]


@pytest.fixture(scope="session")
def pgbouncer() -> str:
    """The program."""
    program = find_pgbouncer()
    if program is None:
        missing = "PgBouncer is needed to check transaction pooling: apt-get install pgbouncer (the Debian package)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return program


@pytest.fixture
def make_pooler(servers: Servers, pgbouncer: str) -> Iterator[MakePooler]:
    """`make_pooler(default_pool_size=2, ...)`: a running one with these settings."""
    with ExitStack() as running:

        def make(**settings: object) -> PgBouncer:
            # Not pytest's own folder: it is closed to the user that PgBouncer runs as when the tests run as root.
            folder = running.enter_context(tempfile.TemporaryDirectory(prefix="recs-pooler-"))
            return running.enter_context(PgBouncer(pgbouncer, Path(folder), servers.postgres, **settings))

        yield make


@pytest.fixture
def make_site(settings: Settings) -> Iterator[MakeSite]:
    """`make_site(database_url=...)`: one more process of the deployment."""
    with ExitStack() as running:

        def make(**changes: Any) -> Site:
            services = running.enter_context(closing(Services(dataclasses.replace(settings, **changes))))
            redis = running.enter_context(closing(RedisClient(settings.redis_url, settings.redis_token)))
            return Site(services, redis)

        yield make


@pytest.fixture
def url(make_database: MakeDatabase) -> str:
    """An empty database with one table of the test's own, over a direct connection."""
    url = make_database()
    administer(url, "CREATE TABLE notes (note text)")
    return url


def write(database: Database, note: str) -> None:
    with database.transaction() as connection:
        connection.execute("INSERT INTO notes VALUES (%s)", [note])


def notes(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [note for (note,) in connection.execute("SELECT note FROM notes ORDER BY note")]


def backend(connection: Connection | psycopg.Connection[Any]) -> int:
    """The server process that answers now; what the client was told at its login is the pooler's invention."""
    [row] = connection.execute("SELECT pg_backend_pid()")
    return int(row[0])


@contextmanager
def busy_pool(url: str) -> Iterator[None]:
    """Somebody else holds a server connection of the pool."""
    with psycopg.connect(url) as other:
        other.execute("SELECT 1")
        yield


# Every job

NOW = datetime.now(UTC)
USERS = [f"user {number}" for number in range(12)]


def elements() -> list[str]:
    rng = np.random.default_rng(7)
    names = ["view", "view", "like", "share", "hide"]
    return [
        action(user, f"item {int(item)}", str(rng.choice(names)), days_ago=float(rng.exponential(2.0)))
        for position, user in enumerate(USERS)
        for item in 40 * rng.random(2 + 3 * position) ** 2
    ]


def run_every_job(site: Site, pushed: list[str]) -> tuple[dict[str, object], list[float]]:
    """What came of it, and the numbers in it that are equal as far as floats are."""
    services, deadline, now = site.services, Deadline.after(60), NOW
    results: dict[str, object] = {"migrate": [migrate(services.database), migrate(services.database)]}
    rng = np.random.default_rng(5)
    for number in range(40):
        vector = Vector(rng.standard_normal(16))
        site.add_content(f"item {number}", embedding=vector, topics=[f"topic {number % 5}"], available=number != 3)
    results["drain"] = site.act(*pushed, *pushed[:20], "unreadable")
    results["drain again"] = site.act(*pushed[20:30])
    results["computed"] = site.recommend("user 1", now=now)
    results["embed"] = site.embed(now=now)
    results["warm"] = warm_cache(services, now, deadline)
    results["refresh"] = refresh_cold_start(services, now, deadline)
    lists = {user: site.recommend(user, now=now) for user in [*USERS, "stranger"]}
    status = report_status(services, now)
    results["status"] = status["errors"], status["user_embeddings"]["users"], status["model"]["items"]
    results["topics"] = [topic["topic"] for topic in services.cache.trending_topics()]
    results["forget"] = forget_user(services, "user 2", deadline), site.act(*pushed[:10])
    results["log"] = site.query(
        "SELECT event_id, user_id, content_id, action, occurred_at FROM user_actions ORDER BY 1"
    )
    popularity = site.query("SELECT content_id, as_of, sums FROM recs_popularity ORDER BY 1")
    embeddings = site.query("SELECT user_id, embedding FROM user_embeddings ORDER BY 1")
    results["users"] = [user for user, _ in embeddings]
    results["lists"] = {
        user: (document["source"], [item["content_id"] for item in document["items"]])
        for user, document in lists.items()
    }
    with services.database.transaction() as connection:
        results["schema"] = is_current(connection), column_problems(connection)
    numbers = [
        *[value for _, as_of, sums in popularity for value in (as_of, *sums)],
        *[value for _, embedding in embeddings for value in embedding.to_list()],
        *[item["score"] for document in lists.values() for item in document["items"]],
    ]
    assert_popularity_follows_from_the_log(site)
    return results, numbers


def test_every_job_does_over_one_server_connection_what_it_does_without_a_pooler(
    make_pooler: MakePooler, make_site: MakeSite, make_database: MakeDatabase
) -> None:
    pushed, pooled_url = elements(), make_database()
    direct = make_site(database_url=make_database())
    wanted, wanted_numbers = run_every_job(direct, pushed)
    direct.redis.execute("FLUSHDB")
    pooler = make_pooler(default_pool_size=1)
    got, numbers = run_every_job(make_site(database_url=pooler.url(pooled_url)), pushed)
    assert got == wanted
    assert numbers == pytest.approx(wanted_numbers, rel=1e-4, abs=1e-4)
    assert len(pooler.servers(pooled_url)) == 1


# Fewer server connections than threads


def test_many_threads_take_turns_on_the_server_connections_of_a_small_pool(make_pooler: MakePooler, url: str) -> None:
    pooler = make_pooler(default_pool_size=2)

    def write_some(thread: int) -> set[int]:
        answered = set()
        for number in range(5):
            with database.transaction() as connection:
                first = backend(connection)
                connection.execute("INSERT INTO notes VALUES (%s)", [f"{thread} {number}"])
                assert backend(connection) == first
                answered.add(first)
        return answered

    with closing(Database(pooler.url(url), max_connections=8)) as database, ThreadPoolExecutor(16) as threads:
        backends = set().union(*threads.map(write_some, range(16)))
    assert len(backends) <= 2
    assert notes(url) == sorted(f"{thread} {number}" for thread in range(16) for number in range(5))


def test_drains_at_once_over_a_small_pool_lose_nothing_and_apply_nothing_twice(
    make_pooler: MakePooler, make_site: MakeSite, settings: Settings
) -> None:
    pooler = make_pooler(default_pool_size=2)
    changes = {"database_url": pooler.url(settings.database_url), "claim_max_elements": 50}
    drains = [make_site(**changes) for _ in range(4)]
    pushed = [action(f"user {number % 7}", f"item {number % 11}") for number in range(600)]
    drains[0].push(*pushed, *pushed[:100])
    with ThreadPoolExecutor() as threads:
        summaries = list(threads.map(Site.drain, drains))
    assert sum(summary["applied"] for summary in summaries) == drains[0].count_events() == 600
    assert sum(summary["duplicates"] for summary in summaries) == 100
    assert drains[0].count_waiting() == (0, 0)
    assert_popularity_follows_from_the_log(drains[0])
    assert len(pooler.servers(settings.database_url)) <= 2


def test_reads_and_transactions_take_turns_on_the_server_connections_of_a_small_pool(
    make_pooler: MakePooler, url: str
) -> None:
    pooler = make_pooler(default_pool_size=1)

    def write_and_read(thread: int) -> None:
        for number in range(5):
            note = f"{thread} {number}"
            assert database.read_texts(READ, {"note": note}) == []
            write(database, note)
            assert database.read_texts(READ, {"note": note}) == [note]

    with closing(Database(pooler.url(url), max_connections=8)) as database, ThreadPoolExecutor(16) as threads:
        list(threads.map(write_and_read, range(16)))
    assert len(pooler.servers(url)) == 1


# No state of a session

SESSION_STATE = (
    "SELECT name, setting FROM pg_settings ORDER BY name",
    "SELECT name, statement FROM pg_prepared_statements",
    "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    "SELECT oid FROM pg_class WHERE relpersistence = 't'",
    "SELECT name FROM pg_cursors",
    "SELECT pg_listening_channels()",
)


def session_state(url: str) -> tuple[int, list[Any]]:
    """The server process that another client gets, and how he finds it."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=None, application_name="another") as other:
        return backend(other), [other.execute(statement.encode()).fetchall() for statement in SESSION_STATE]


def test_a_client_that_gets_our_server_connection_finds_it_as_it_was_before(
    make_pooler: MakePooler, make_site: MakeSite, make_database: MakeDatabase
) -> None:
    url = make_pooler(default_pool_size=1).url(make_database())
    migrate(make_site(database_url=url).services.database)
    before = session_state(url)
    site = make_site(database_url=url)
    run_every_job(site, elements())
    with pytest.raises(KeyError), site.services.database.transaction(seconds=7) as connection:
        raise KeyError(backend(connection))
    assert session_state(url) == before
    _, [settings, *rest] = before
    assert {("statement_timeout", "0"), ("idle_in_transaction_session_timeout", "0")} <= set(settings)
    assert rest == [[]] * 5


# How many connections


@pytest.fixture(params=["direct", "pooled"])
def way(request: pytest.FixtureRequest, url: str) -> tuple[str, Callable[[], int]]:
    """A URL of the database, and how many connections our processes hold over it."""
    if request.param == "pooled":
        pooler: PgBouncer = request.getfixturevalue("make_pooler")(default_pool_size=3)
        return pooler.url(url), lambda: len(pooler.clients(url))

    def count() -> int:
        ours = "datname = current_database() AND application_name = 'recommendations'"
        held = f"SELECT count(*) FROM pg_stat_activity WHERE {ours}"
        with psycopg.connect(url) as connection:
            [row] = connection.execute(held.encode())
        return int(row[0])

    return url, count


def hold(database: Database, together: int, *, transactions: int) -> None:
    """So many transactions in threads, of which so many meet: with fewer connections they could not."""
    meeting = threading.Barrier(together)

    def meet(number: int) -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO notes VALUES (%s)", [f"{number}"])
            meeting.wait(timeout=10)

    with ThreadPoolExecutor(transactions) as threads:
        list(threads.map(meet, range(transactions)))


def test_connections_are_made_when_needed_up_to_the_limit_and_then_kept(way: tuple[str, Callable[[], int]]) -> None:
    url, count = way
    with closing(Database(url, max_connections=3)) as database:
        assert count() == 0
        for _ in range(3):
            write(database, "one after the other")
            assert count() == 1
        for _ in range(2):
            hold(database, 3, transactions=12)
            assert count() == 3
    assert eventually(lambda: count() == 0)


PROCESS = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from lib.adapters.services import Services
from lib.settings import parse_settings

services = Services(parse_settings(os.environ))

def write(number):
    with services.database.transaction() as connection:
        connection.execute("INSERT INTO notes VALUES (%s)", [f"{number}"])

with ThreadPoolExecutor(8) as requests:
    list(requests.map(write, range(8)))
print("all written", flush=True)
sys.stdin.read()
"""


def test_processes_hold_at_most_the_limit_each_however_many_requests_come_at_once(
    make_pooler: MakePooler, url: str
) -> None:
    pooler = make_pooler(default_pool_size=1)
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": pooler.url(url), "DATABASE_MAX_CONNECTIONS": "2"}
    with ExitStack() as running:
        with busy_pool(pooler.url(url)):
            processes = [
                running.enter_context(
                    subprocess.Popen(
                        [sys.executable, "-c", PROCESS],
                        cwd=ROOT,
                        env=environment,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
                for _ in range(3)
            ]
            eventually(lambda: pooler.count_waiting(url) == 3 * 2, timeout=30)
        assert [process.stdout and process.stdout.readline() for process in processes] == ["all written\n"] * 3
        assert len(pooler.clients(url)) == 3 * 2
        assert len(pooler.servers(url)) == 1
    assert len(notes(url)) == 3 * 8


def test_connections_that_the_server_ended_all_at_once_are_replaced_by_the_next_transactions(
    way: tuple[str, Callable[[], int]], url: str
) -> None:
    with closing(Database(way[0], max_connections=3)) as database:
        hold(database, 3, transactions=3)
        everybody = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        administer(url, f"SELECT pg_terminate_backend(pid, 5000) {everybody}")
        hold(database, 3, transactions=6)
        assert way[1]() == 3
    assert len(notes(url)) == 9


# A pooler that goes away


def test_a_pooler_that_was_restarted_is_noticed_by_nobody(make_pooler: MakePooler, url: str) -> None:
    pooler = make_pooler(default_pool_size=3)
    with closing(Database(pooler.url(url), max_connections=3)) as database:
        hold(database, 3, transactions=3)
        pooler.stop()
        pooler.start()
        hold(database, 3, transactions=6)
        assert len(pooler.clients(url)) == 3
    assert len(notes(url)) == 9


def test_while_the_pooler_is_away_that_is_said_and_afterwards_it_works_again(make_pooler: MakePooler, url: str) -> None:
    pooler = make_pooler()
    with closing(Database(pooler.url(url), max_connections=1)) as database:
        write(database, "before")
        pooler.stop()
        with pytest.raises(PostgresUnavailable, match="refused"):
            write(database, "lost")
        pooler.start()
        write(database, "after")
    assert notes(url) == ["after", "before"]


def test_a_pooler_that_ends_within_a_drain_loses_nothing(
    make_pooler: MakePooler, make_site: MakeSite, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooler = make_pooler()
    site = make_site(database_url=pooler.url(settings.database_url))
    site.push(action("ann", "a"), action("bob", "a"))

    def end_it(*_: object, **__: object) -> None:
        pooler.stop()

    with monkeypatch.context() as patch:
        patch.setattr(apply_module, "add_popularity", end_it)
        with pytest.raises(PostgresUnavailable):
            site.drain()
    assert site.count_waiting() == (0, 2)
    pooler.start()
    assert site.drain()["applied"] == 2
    assert_popularity_follows_from_the_log(site)


def test_a_read_asks_again_where_its_pooler_was_restarted(make_pooler: MakePooler, url: str) -> None:
    pooler = make_pooler(default_pool_size=1)
    with closing(Database(pooler.url(url), max_connections=3)) as database:
        write(database, "kept")
        for _ in range(2):
            assert database.read_texts(READ, {"note": "kept"}) == ["kept"]
            pooler.stop()
            pooler.start()
        assert database.read_texts(READ, {"note": "it's %"}) == []


# A pooler that is full


def assert_full(site: Site, *, told: str) -> None:
    """The drain says so in words and with what helps, and keeps what it had claimed."""
    site.push(action("ann", "a"), action("bob", "b"))
    with pytest.raises(PostgresUnavailable, match=f"pooler.*full.*{told}") as caught:
        site.drain()
    assert "DATABASE_MAX_CONNECTIONS" in caught.value.fix
    assert site.count_waiting() == (0, 2)


def test_a_pooler_that_takes_no_more_clients_says_so_and_nothing_is_lost(
    make_pooler: MakePooler, make_site: MakeSite, settings: Settings
) -> None:
    pooler = make_pooler(max_client_conn=1)
    site = make_site(database_url=pooler.url(settings.database_url))
    with busy_pool(pooler.url(settings.database_url)):
        assert_full(site, told="max_client_conn")
    assert site.drain()["applied"] == 2


def test_a_pool_that_stays_busy_too_long_says_so_and_nothing_is_lost(
    make_pooler: MakePooler, make_site: MakeSite, settings: Settings
) -> None:
    pooler = make_pooler(default_pool_size=1, query_wait_timeout=0.1)
    site = make_site(database_url=pooler.url(settings.database_url))
    with busy_pool(pooler.url(settings.database_url)):
        assert_full(site, told="query_wait_timeout")
    assert site.drain()["applied"] == 2


@pytest.mark.parametrize(
    "said",
    [
        "(ECHECKOUTTIMEOUT) Pool checkout timeout. Request was dropped after 60000ms in Transaction mode.",
        "Unable to check out process from the pool due to timeout",
        "(EDBHANDLEREXITED) connection to database closed. Check logs for more information",
    ],
)
def test_what_supabases_pooler_says_of_itself_is_an_outage_and_no_fault_of_the_batch(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    def say_it(connection: Connection, *_: object, **__: object) -> None:
        # Supavisor has one SQLSTATE for everything, that of a defect within Postgres.
        connection.execute(f"DO $$BEGIN RAISE '{said}' USING ERRCODE = 'XX000'; END$$".encode())

    site = make_site()
    site.push(action("ann", "a"))
    with monkeypatch.context() as patch:
        patch.setattr(apply_module, "insert_actions", say_it)
        for _ in range(6):
            with pytest.raises(PostgresUnavailable):
                site.drain()
    assert site.services.dead_letters.set_aside() == []
    assert site.drain()["applied"] == 1


def test_a_transaction_gives_up_waiting_for_a_busy_pool_when_its_own_time_is_spent(
    make_pooler: MakePooler, url: str
) -> None:
    pooler = make_pooler(default_pool_size=1, query_wait_timeout=5)
    with closing(Database(pooler.url(url), max_connections=1)) as database:
        ours = pytest.raises(PostgresUnavailable, match="wait timeout expired")
        with busy_pool(pooler.url(url)), ours, database.transaction(seconds=0.01):
            pass
        write(database, "after")
    assert notes(url) == ["after"]
