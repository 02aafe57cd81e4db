"""A matrix of faults: what is broken, what each caller gets, and that all is made up for once it is mended.

Redis, Postgres and QStash are the real ones, behind proxies that break (faults.py). Every caller has an answer within
its time; nothing that was pushed is lost, and nothing is applied twice.
"""

import ast
import dataclasses
import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from lib.adapters import database as database_module
from lib.adapters import qstash as qstash_module
from lib.adapters import redis_client as redis_module
from lib.adapters.action_queue import MAX_TRIES
from lib.adapters.database import Database
from lib.adapters.redis_client import RedisClient
from lib.adapters.services import Services
from lib.core.schedules import BATCH_PROCESS_PATH, JOBS, REFRESH_PATH, WARM_PATH
from lib.jobs import apply_batch as apply_module
from lib.jobs import recommend as recommend_module
from lib.settings import Settings
from lib.web import endpoints
from lib.web.edge import keyed_application, signed_application
from local.qstash.server import QStashServer
from local.resp import Connection as ValkeyConnection
from tests.adapters.roles import administer, limited_role
from tests.api.signing import sign
from tests.api.wsgi import Answer, call
from tests.conftest import MakeDatabase, Servers
from tests.end_to_end.faults import (
    Exchange,
    HttpProxy,
    HttpTrouble,
    PostgresProxy,
    cuts,
    cuts_after_executing,
    dates_its_answers,
    drips_its_body,
    drips_its_headers,
    hangs,
    hangs_after_executing,
    says,
)
from tests.jobs.site import Site, action, assert_popularity_follows_from_the_log
from tests.support import eventually

ROOT = Path(__file__).resolve().parents[2]
ADAPTERS = ROOT / "lib" / "adapters"

# Some eighth of the product's own bounds, in their proportions, so that a service that hangs costs a test little.
STATUS_SECONDS = 20 / 8
INIT_SECONDS = 60 / 8
STATEMENT_SECONDS = 20 / 8
REDIS_SECONDS = 15 / 8
QSTASH_SECONDS = 5 / 8
RECOMMEND_SECONDS = 3.0  # psycopg waits two for a connection, however little it may
TICK_SECONDS = 1.3
LEASE_SECONDS = 0.2
SLACK_SECONDS = 1.5  # a busy machine, and those two

SIGNED = {BATCH_PROCESS_PATH: endpoints.batch_process, WARM_PATH: endpoints.warm, REFRESH_PATH: endpoints.refresh}
TICK = {"action": "process_user_actions"}
SCHEDULED_TICK = TICK | {"publish_ticks": True}
KEY = {"Authorization": "Bearer the-admin-key"}
LIST = {"items": [{"content_id": "item 5", "score": 1.0, "source": "personal"}], "generated_at": "2026-11-25T00:00:00Z"}
TABLES = (
    *(
        "user_actions",
        "user_embeddings",
        "content",
        "recs_popularity",
        "recs_item_vectors",
        "recs_items",
        "recs_models",
    ),
    "recs_state WHERE name NOT IN ('schema', 'hash_key')",
)
DISCONNECT = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""
LOG_LOCK = "SELECT pg_advisory_lock(7240219)"


@dataclass(frozen=True)
class Timed:
    answer: Answer
    seconds: float


@dataclass(frozen=True)
class Deployment:
    """The functions with their three services behind proxies, and a `site` that looks past those."""

    services: Services
    redis: HttpProxy
    postgres: PostgresProxy
    qstash: HttpProxy
    site: Site

    def mend(self) -> None:
        for proxy in (self.redis, self.postgres, self.qstash):
            proxy.mend()

    def deliver(self, path: str, body: dict[str, Any], *, now: float | None = None) -> Answer:
        """A call of QStash's."""
        raw, settings = json.dumps(body).encode(), self.services.settings
        token = sign(raw, settings.app_url + path, settings.qstash_current_signing_key, now=now)
        application = signed_application(path, SIGNED[path], services=self.services)
        return call(application, "POST", path, body=raw, headers={"Upstash-Signature": token})

    def tick(self, body: dict[str, Any] = TICK, *, now: float | None = None) -> Answer:
        return self.deliver(BATCH_PROCESS_PATH, body, now=now)

    def recommend(self, user_id: str) -> Answer:
        application = keyed_application("/api/recommend", endpoints.recommendations, services=self.services)
        return call(application, path="/api/recommend", query=f"user_id={user_id}", headers=KEY)

    def status(self) -> Answer:
        application = keyed_application("/api/status", endpoints.status, services=self.services)
        return call(application, path="/api/status", headers=KEY)

    def init(self) -> Answer:
        application = keyed_application("/api/init", endpoints.init, services=self.services)
        return call(application, path="/api/init", headers=KEY)


class Pushed:
    """Some actions, with ids and without, some of them twice, and what must become of them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._before = site.count_events()
        self.users = [f"user-{number}" for number in range(6)]
        named = [action(self.users[number % 6], f"item {number % 5}", "like") for number in range(12)]
        nameless = [action(self.users[number % 6], "item 1", id=None) for number in range(4)]
        several = json.dumps([json.loads(action("user-0", f"item {number}", "hide")) for number in range(2)])
        self.events = 12 + 4 + 2
        self.elements = [*named, *nameless, several, *named[:5]]
        cache_lists(site, self.users)
        site.push(*self.elements)

    def assert_none_is_lost(self) -> None:
        """Each is pending or in flight."""
        assert sum(self._site.count_waiting()) == len(self.elements)

    def assert_all_are_applied_once(self) -> None:
        site = self._site
        assert site.count_waiting() == (0, 0)
        assert site.count_events() == self._before + self.events
        assert site.cached(self.users) == set()
        assert site.dead_letters() == []
        assert site.services.dead_letters.set_aside() == []
        assert_popularity_follows_from_the_log(site)


def disconnect_everybody(url: str) -> None:
    """As a failover does."""
    administer(url, DISCONNECT)


@contextmanager
def altered(url: str, statements: str, undone_by: str) -> Iterator[None]:
    """The database is so for a while."""
    administer(url, statements)
    try:
        yield
    finally:
        administer(url, undone_by)


def cache_lists(site: Site, user_ids: Sequence[str]) -> None:
    generations = dict(zip(user_ids, site.services.cache.generations(user_ids), strict=True))
    site.services.cache.store_user_lists(dict.fromkeys(user_ids, LIST), generations)


@pytest.fixture(scope="module")
def one_database(servers: Servers, schema_template: str) -> Iterator[str]:
    """The URL of one for all tests here: to make it takes longer than most of them do."""
    name = "test_faults"
    administer(servers.postgres.url, f"CREATE DATABASE {name} TEMPLATE {schema_template}")
    yield servers.postgres.database_url(name)
    administer(servers.postgres.url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def make_database(one_database: str) -> MakeDatabase:
    """In place of conftest's: that one, with nobody connected and nothing in it."""
    administer(one_database, ";".join([DISCONNECT, *[f"DELETE FROM {table}" for table in TABLES]]))
    return lambda template=None: one_database


@pytest.fixture
def site(services: Services, redis_credentials: tuple[str, str]) -> Iterator[Site]:
    """Some content, one reader, and nobody in the way."""
    with closing(RedisClient(*redis_credentials)) as redis:
        site = Site(services, redis)
        site.add_content(*[f"item {number}" for number in range(8)])
        site.act(action("reader", "item 0", "like"))
        site.embed()
        yield site


MakeDeployment = Callable[..., Deployment]


@pytest.fixture
def make_deployment(settings: Settings, qstash: QStashServer, servers: Servers, site: Site) -> Iterator[MakeDeployment]:
    """`make_deployment(name=value, ...)`: one with these settings."""
    with ExitStack() as running:

        def make(**changes: Any) -> Deployment:
            redis = running.enter_context(HttpProxy(settings.redis_url))
            postgres = running.enter_context(PostgresProxy(servers.postgres.host, servers.postgres.port))
            front = running.enter_context(HttpProxy(qstash.url))
            behind = dataclasses.replace(
                settings,
                app_url="http://127.0.0.1:9",  # where nobody listens: no delivery leaves this machine
                redis_url=redis.url,
                database_url=settings.database_url.replace(f":{servers.postgres.port}/", f":{postgres.port}/"),
                qstash_url=front.url,
                qstash_token=qstash.token,
                qstash_current_signing_key=qstash.current_signing_key,
                qstash_next_signing_key=qstash.next_signing_key,
                actions_time_budget_seconds=TICK_SECONDS,
                job_time_budget_seconds=TICK_SECONDS,
                claim_lease_seconds=LEASE_SECONDS,
            )
            services = running.enter_context(closing(Services(dataclasses.replace(behind, **changes))))
            return Deployment(services, redis, postgres, front, site)

        yield make


@pytest.fixture
def deployment(make_deployment: MakeDeployment) -> Deployment:
    return make_deployment()


@pytest.fixture
def shorter_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "RECOMMEND_SECONDS", RECOMMEND_SECONDS)
    monkeypatch.setattr(endpoints, "STATUS_SECONDS", STATUS_SECONDS)
    monkeypatch.setattr(endpoints, "INIT_SECONDS", INIT_SECONDS)
    monkeypatch.setattr(recommend_module, "PATIENCE_SECONDS", 0.4)
    monkeypatch.setattr(redis_module, "ANSWER_SECONDS", REDIS_SECONDS)
    monkeypatch.setattr(qstash_module, "ANSWER_SECONDS", QSTASH_SECONDS)
    monkeypatch.setattr(database_module, "CONNECT_SECONDS", 1)
    monkeypatch.setattr(database_module, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(database_module.Connection, "patience", STATEMENT_SECONDS)
    monkeypatch.setitem(Database.transaction.__wrapped__.__kwdefaults__, "seconds", STATEMENT_SECONDS)  # type: ignore[attr-defined]


@pytest.fixture
def no_minute_s_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """In its last seconds no tick is left that could be published."""
    minute = int(time.time()) // 60 * 60 + 3_600
    monkeypatch.setattr(endpoints, "datetime", SimpleNamespace(now=partial(datetime.fromtimestamp, minute)))


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """`said()`: what was logged so far."""
    caplog.set_level(logging.INFO, logger="recommendations")
    return lambda: [record.getMessage() for record in caplog.records]


def timed(work: Callable[[], Answer]) -> Timed:
    began = time.monotonic()
    answer = work()
    return Timed(answer, time.monotonic() - began)


def at_once(**callers: Callable[[], Answer]) -> dict[str, Timed]:
    """What each gets; they call together, as they do in life."""
    with ThreadPoolExecutor(len(callers)) as threads:
        return dict(zip(callers, threads.map(timed, callers.values()), strict=True))


def every_caller(deployment: Deployment, tick: dict[str, Any] = TICK) -> dict[str, Timed]:
    return at_once(
        tick=lambda: deployment.tick(tick),
        recommend=lambda: deployment.recommend("reader"),
        cached=lambda: deployment.recommend("user-1"),
        status=deployment.status,
        init=deployment.init,
    )


LIMITS = {
    "tick": TICK_SECONDS,
    "recommend": RECOMMEND_SECONDS,
    "cached": RECOMMEND_SECONDS,
    "status": STATUS_SECONDS,
    "init": INIT_SECONDS,
}


def assert_in_time(calls: dict[str, Timed], **other_limits: float) -> None:
    limits = LIMITS | other_limits
    assert {name: timed.seconds for name, timed in calls.items() if timed.seconds > limits[name] + SLACK_SECONDS} == {}


def assert_told_to_come_again(answer: Answer, code: str, says: str = "") -> None:
    assert (answer.status, answer.json["error"]["code"]) == (503, code)
    assert int(answer.headers["retry-after"]) > 0
    assert re.search(says, answer.json["error"]["message"])
    assert answer.json["error"]["fix"]


def errors_of(inspection: Answer) -> dict[str, dict[str, str]]:
    """The checks that failed, by name; the test message always does, for nobody listens at the app's address here."""
    wrong = {check["name"]: check for check in inspection.json["checks"] if check["status"] == "error"}
    return {name: check for name, check in wrong.items() if name != "delivery"}


def failed_deliveries(lines: list[str], code: str, says: str = "") -> list[str]:
    where = f"path={BATCH_PROCESS_PATH} status=503 code={code} "
    return [line for line in lines if re.search(f"^QStash delivery failed: {says}.* {where}", line)]


def nulls_of(status: Answer) -> set[str]:
    assert status.status == 200
    return {name for name, part in status.json.items() if part is None}


def assert_no_secret(deployment: Deployment, texts: Sequence[str]) -> None:
    assert [secret for secret in deployment.services.settings.secrets for text in texts if secret in text] == []


def assert_drained_once_mended(deployment: Deployment, pushed: Pushed) -> None:
    """At the next ticks, and each of them succeeds."""
    deployment.mend()

    def is_drained() -> bool:
        assert deployment.tick().status == 200
        return deployment.site.count_waiting() == (0, 0)

    eventually(is_drained)
    pushed.assert_all_are_applied_once()


@dataclass(frozen=True)
class Row:
    """A fault of one service: `strikes` makes it, `says` is what the answer and the log must match."""

    strikes: Callable[[Deployment], None]
    says: str
    fix: str = ""


def redis(trouble: HttpTrouble, says: str) -> Row:
    return Row(lambda deployment: deployment.redis.give(trouble), says)


PAGE = b"<html><body>Internal Server Error</body></html>"
QUEUE_PARTS = {"pending", "pending_bytes", "in_flight", "set_aside", "dead_letters"}
REDIS_PARTS = QUEUE_PARTS | {"jobs", "last_day", "totals", "cache"}
POSTGRES_PARTS = {"user_embeddings", "model", "tuning", "fan_out"}
REDIS = {
    "answers 500 with a page": redis(says(500, PAGE), "Redis doesn't answer"),
    "answers 500 with a word in JSON": redis(says(500, {"error": "ERR it broke"}), "Redis refused a command: ERR it b"),
    "answers 500 with other JSON": redis(says(500, {"message": "it broke"}), "Redis doesn't answer"),
    "answers nothing": redis(says(200, b""), "Redis doesn't answer"),
    "answers nonsense": redis(says(200, {"result": {"answer": 42}}), "Redis"),
    "answers an array": redis(says(200, []), "Redis doesn't answer"),
    "takes the token no more": redis(
        says(401, {"error": "WRONGPASS bad token"}), "Redis doesn't know the token in .*: WRONGPASS"
    ),
    "is out of requests": redis(
        says(429, {"error": "ERR max requests limit exceeded"}),
        "Redis is full, or its plan is used up: ERR max requests limit",
    ),
    "hangs": redis(hangs, "Redis doesn't answer: ReadTimeout"),
    "hangs after it has executed": redis(hangs_after_executing, "Redis doesn't answer: ReadTimeout"),
    "drips its answer": redis(drips_its_body, "Redis doesn't answer: ReadTimeout"),
    "drips its headers": redis(drips_its_headers, "Redis doesn't answer: ReadTimeout"),
    "cuts the connection": redis(cuts, "Redis doesn't answer"),
    "cuts the connection after it has executed": redis(cuts_after_executing, "Redis doesn't answer"),
    "refuses connections": Row(lambda deployment: deployment.redis.refuse(), "Redis doesn't answer: ConnectError"),
}


@pytest.mark.usefixtures("shorter_bounds")
@pytest.mark.parametrize("row", REDIS.values(), ids=REDIS.keys())
def test_where_redis(deployment: Deployment, row: Row, said: Callable[[], list[str]]) -> None:
    """The tick comes again, lists are computed, the status and the check name it, and nothing is lost."""
    pushed = Pushed(deployment.site)
    row.strikes(deployment)
    calls = every_caller(deployment)
    assert_in_time(calls)
    assert_told_to_come_again(calls["tick"].answer, "redis_unavailable", row.says)
    assert [calls[name].answer.status for name in ("recommend", "cached")] == [200, 200]
    assert calls["recommend"].answer.json["source"] == "computed"
    assert "item 0" not in {item["content_id"] for item in calls["recommend"].answer.json["items"]}
    assert nulls_of(calls["status"].answer) == REDIS_PARTS
    assert calls["init"].answer.status == 503
    assert errors_of(calls["init"].answer).keys() == {"redis"}
    assert re.search(row.says, errors_of(calls["init"].answer)["redis"]["message"])
    assert failed_deliveries(said(), "redis_unavailable", row.says)
    assert_no_secret(deployment, [*said(), *[timed.answer.body.decode() for timed in calls.values()]])
    pushed.assert_none_is_lost()
    assert_drained_once_mended(deployment, pushed)


def is_script(name: str) -> Callable[[Exchange], bool]:
    text = (ADAPTERS / f"{name}.lua").read_text()
    return lambda exchange: exchange.command[:2] == ["EVAL", text]


STEPS = {
    "claim": (is_script("claim"), 503),
    "invalidation": (is_script("invalidate"), 503),
    "acknowledgement": (is_script("acknowledge"), 503),
    "report": (is_script("report_run"), 200),
}
AT_A_STEP: dict[str, HttpTrouble] = {
    "answered with 500": says(500, PAGE),
    "cut before it": cuts,
    "cut after it": cuts_after_executing,
    "hanging after it": hangs_after_executing,
}


@pytest.mark.parametrize("trouble", AT_A_STEP.values(), ids=AT_A_STEP.keys())
@pytest.mark.parametrize(("picks", "status"), STEPS.values(), ids=STEPS.keys())
def test_a_drain_that_loses_redis_at_one_step_is_made_up_for(
    deployment: Deployment, picks: Callable[[Exchange], bool], status: int, trouble: HttpTrouble
) -> None:
    pushed = Pushed(deployment.site)
    deployment.redis.give(trouble, only=picks)
    broken = timed(deployment.tick)
    assert broken.seconds < TICK_SECONDS + SLACK_SECONDS
    assert broken.answer.status == status
    assert_drained_once_mended(deployment, pushed)


@contextmanager
def full(servers: Servers) -> Iterator[None]:
    with ValkeyConnection(servers.valkey.address) as valkey:
        valkey.call(b"CONFIG", b"SET", b"maxmemory", b"1")
        try:
            yield
        finally:
            valkey.call(b"CONFIG", b"SET", b"maxmemory", b"0")


def test_a_full_redis_loses_nothing_and_goes_on_once_it_is_larger(deployment: Deployment, servers: Servers) -> None:
    pushed = Pushed(deployment.site)
    with full(servers):
        assert_told_to_come_again(deployment.tick(), "redis_unavailable", "Redis is full, .*: OOM")
        assert deployment.recommend("reader").json["source"] == "computed"
        assert nulls_of(deployment.status()) == set(), "what is there can be read"
        assert "OOM" in errors_of(deployment.init())["redis"]["message"]
    pushed.assert_none_is_lost()
    assert_drained_once_mended(deployment, pushed)


def test_a_redis_that_fills_up_while_a_batch_is_applied_keeps_its_dead_letters_once(
    deployment: Deployment, servers: Servers
) -> None:
    deployment.site.push(action("ann", "item 1"), "unreadable")

    def fill_and_forward(exchange: Exchange) -> None:
        with full(servers):
            exchange.answer(exchange.forward())

    deployment.redis.give(fill_and_forward, only=is_script("acknowledge"))
    assert_told_to_come_again(deployment.tick(), "redis_unavailable", "OOM")
    deployment.mend()
    assert eventually(lambda: deployment.tick().json["claimed"]) == 2
    assert [letter["raw"] for letter in deployment.site.dead_letters()] == ["unreadable"]
    assert deployment.site.count_events() == 2
    assert deployment.site.count_waiting() == (0, 0)


# What hangs or is cut as soon as it is connected to is away for every caller.
POSTGRES = {
    "refuses connections": Row(lambda deployment: deployment.postgres.refuse(), "Postgres doesn't answer.*refused"),
    "cuts connections": Row(lambda deployment: deployment.postgres.give("cut"), "Postgres doesn't answer"),
    "hangs": Row(lambda deployment: deployment.postgres.give("hang"), "Postgres doesn't answer.*time"),
    "hangs at the first statement": Row(
        lambda deployment: deployment.postgres.give("hang", at=b"SET LOCAL"), "Postgres doesn't answer.*time"
    ),
}


@pytest.mark.usefixtures("shorter_bounds")
@pytest.mark.parametrize("row", POSTGRES.values(), ids=POSTGRES.keys())
def test_where_postgres(deployment: Deployment, row: Row, said: Callable[[], list[str]]) -> None:
    """The tick comes again, cached lists are served, the status and the check name it, and nothing is lost."""
    pushed = Pushed(deployment.site)
    row.strikes(deployment)
    calls = every_caller(deployment)
    assert_in_time(calls)
    assert_told_to_come_again(calls["tick"].answer, "postgres_unavailable", row.says)
    assert_told_to_come_again(calls["recommend"].answer, "postgres_unavailable", row.says)
    assert calls["cached"].answer.status == 200
    assert calls["cached"].answer.json["source"] == "cache"
    assert nulls_of(calls["status"].answer) == POSTGRES_PARTS
    assert calls["init"].answer.status == 503
    assert errors_of(calls["init"].answer).keys() == {"postgres"}
    assert re.search(row.says, errors_of(calls["init"].answer)["postgres"]["message"])
    assert failed_deliveries(said(), "postgres_unavailable", row.says)
    assert_no_secret(deployment, [*said(), *[timed.answer.body.decode() for timed in calls.values()]])
    pushed.assert_none_is_lost()
    assert_drained_once_mended(deployment, pushed)


IN_A_TRANSACTION = {
    "hangs after the insert": ("hang", b"INSERT INTO user_actions", False),
    "hangs before the commit": ("hang", b"COMMIT", True),
    "hangs after the commit": ("hang", b"COMMIT", False),
    "is cut off before the insert": ("cut", b"INSERT INTO user_actions", True),
    "is cut off before the commit": ("cut", b"COMMIT", True),
    "is cut off after the commit": ("cut", b"COMMIT", False),
}


@pytest.mark.usefixtures("shorter_bounds")
@pytest.mark.parametrize(("does", "at", "before"), IN_A_TRANSACTION.values(), ids=IN_A_TRANSACTION.keys())
def test_a_drain_whose_postgres(deployment: Deployment, does: Any, at: bytes, before: bool) -> None:
    """In mid-transaction, or while nobody knows whether it was committed: it is made up for, and once."""
    pushed = Pushed(deployment.site)
    deployment.postgres.give(does, at=at, before=before)
    broken = timed(deployment.tick)
    assert deployment.postgres.met == 1
    assert broken.seconds < TICK_SECONDS + SLACK_SECONDS
    assert_told_to_come_again(broken.answer, "postgres_unavailable", "Postgres doesn't answer")
    was_committed = at == b"COMMIT" and not before
    assert deployment.site.count_events() == 1 + (pushed.events if was_committed else 0)
    pushed.assert_none_is_lost()
    assert_drained_once_mended(deployment, pushed)


@contextmanager
def held_log(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody else holds the lock under which the log is written."""
    with psycopg.connect(url, autocommit=True) as holder:
        holder.execute(LOG_LOCK)
        yield holder


def test_a_drain_whose_backend_is_killed_while_it_waits_is_made_up_for(
    deployment: Deployment, settings: Settings
) -> None:
    pushed = Pushed(deployment.site)
    waiting = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 7240219"
    with held_log(settings.database_url) as holder, ThreadPoolExecutor(1) as threads:
        tick = threads.submit(deployment.tick)
        [(pid,)] = eventually(lambda: holder.execute(waiting).fetchall())
        holder.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert_told_to_come_again(tick.result(), "postgres_unavailable", "Postgres doesn't answer.*closed")
    pushed.assert_none_is_lost()
    assert_drained_once_mended(deployment, pushed)


def test_a_drain_that_waits_too_long_for_a_lock_says_so_in_its_time(deployment: Deployment, settings: Settings) -> None:
    pushed = Pushed(deployment.site)
    with held_log(settings.database_url):
        broken = timed(deployment.tick)
    assert broken.seconds < TICK_SECONDS + SLACK_SECONDS
    assert_told_to_come_again(broken.answer, "postgres_unavailable", "Postgres took too long.*statement timeout")
    pushed.assert_none_is_lost()
    assert_drained_once_mended(deployment, pushed)


def test_a_postgres_that_takes_no_writes_for_a_while_is_waited_for(
    deployment: Deployment, settings: Settings, servers: Servers
) -> None:
    pushed, setting = Pushed(deployment.site), "default_transaction_read_only"
    database = f"ALTER DATABASE {urlsplit(settings.database_url).path[1:]}"
    with altered(servers.postgres.url, f"{database} SET {setting} = on", f"{database} RESET {setting}"):
        assert_told_to_come_again(deployment.tick(), "postgres_unavailable", "Postgres takes no writes")
        assert deployment.recommend("reader").json["source"] == "computed"
        assert nulls_of(deployment.status()) == set()
        pushed.assert_none_is_lost()
    disconnect_everybody(settings.database_url)
    assert_drained_once_mended(deployment, pushed)


def test_a_postgres_without_a_free_connection_is_waited_for(
    make_deployment: MakeDeployment, settings: Settings
) -> None:
    with limited_role(settings.database_url) as url:
        role = urlsplit(url).username
        administer(settings.database_url, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
        administer(settings.database_url, f"ALTER ROLE {role} CONNECTION LIMIT 0")
        deployment = make_deployment(database_url=url)
        pushed = Pushed(deployment.site)
        refused = deployment.tick()
        assert_told_to_come_again(refused, "postgres_unavailable", "too many connections")
        assert "DATABASE_MAX_CONNECTIONS" in refused.json["error"]["fix"]
        assert deployment.recommend("user-1").json["source"] == "cache"
        assert nulls_of(deployment.status()) == POSTGRES_PARTS
        pushed.assert_none_is_lost()
        administer(settings.database_url, f"ALTER ROLE {role} CONNECTION LIMIT -1")
        assert_drained_once_mended(deployment, pushed)
        deployment.services.close()


def test_after_a_failover_between_two_calls_the_next_one_simply_works(
    deployment: Deployment, settings: Settings
) -> None:
    deployment.site.push(action("ann", "item 2"))
    assert deployment.tick().status == 200
    assert deployment.status().status == 200
    pushed = Pushed(deployment.site)
    disconnect_everybody(settings.database_url)
    calls = at_once(tick=deployment.tick, recommend=lambda: deployment.recommend("reader"), status=deployment.status)
    assert {name: timed.answer.status for name, timed in calls.items()} == dict.fromkeys(calls, 200)
    assert nulls_of(calls["status"].answer) == set()
    pushed.assert_all_are_applied_once()


def keep_connections(services: Services, count: int) -> None:
    """As requests that come together leave them."""
    with ExitStack() as transactions:
        for _ in range(count):
            transactions.enter_context(services.database.transaction())


def test_a_kept_connection_on_which_nobody_answers_any_more_costs_no_caller_his_answer(
    make_deployment: MakeDeployment,
) -> None:
    """With the bounds of the product: a function keeps its connection, and the other side has silently gone."""
    ticking, computing, serving = (make_deployment(actions_time_budget_seconds=8.0) for _ in range(3))
    pushed = Pushed(ticking.site)
    cache_lists(ticking.site, ["guest"])
    for deployment in (ticking, computing, serving):
        keep_connections(deployment.services, 1)
        deployment.postgres.freeze()
    calls = at_once(
        tick=ticking.tick,
        recommend=lambda: computing.recommend("reader"),
        cached=lambda: serving.recommend("guest"),
    )
    assert calls["tick"].answer.json["applied"] == pushed.events
    assert calls["recommend"].answer.json["source"] == "computed"
    assert calls["cached"].answer.json.get("source") == "cache", calls["cached"].answer.json
    assert max(timed.seconds for timed in calls.values()) < 8.0
    pushed.assert_all_are_applied_once()


def close_connections(postgres: PostgresProxy) -> None:
    postgres.refuse()
    postgres.mend()


LOST = {"nobody answers any more": PostgresProxy.freeze, "the other end has closed": close_connections}


@pytest.mark.parametrize("lose", LOST.values(), ids=LOST.keys())
def test_a_cached_list_is_checked_though_every_kept_connection_is_one_on_which(
    deployment: Deployment, lose: Callable[[PostgresProxy], object]
) -> None:
    """What a failover leaves behind shows nothing that has become unavailable, with the bounds of the product."""
    cache_lists(deployment.site, ["guest"])
    keep_connections(deployment.services, 4)
    deployment.site.query("UPDATE content SET available = false WHERE content_id = 'item 5'")
    lose(deployment.postgres)
    answer = timed(lambda: deployment.recommend("guest"))
    assert (answer.answer.json["source"], answer.answer.json["items"]) == ("cache", [])
    assert answer.seconds < recommend_module.PATIENCE_SECONDS + SLACK_SECONDS


def test_the_connections_that_a_failover_left_behind_do_not_spend_the_time_of_a_call_one_after_the_other(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the proportions of the product: four of three seconds and more are longer than the ten that a reader waits."""
    monkeypatch.setattr(database_module, "KEPT_SECONDS", 0.6)
    monkeypatch.setattr(database_module, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(endpoints, "RECOMMEND_SECONDS", 2.0)
    keep_connections(deployment.services, 4)
    deployment.postgres.freeze()
    assert deployment.recommend("reader").json.get("source") == "computed"


REFUSING = {
    "a constraint": (
        "ALTER TABLE user_actions ADD CONSTRAINT no_sales CHECK (action <> 'purchase')",
        "ALTER TABLE user_actions DROP CONSTRAINT no_sales",
        'violates check constraint "no_sales"',
    ),
    "a trigger": (
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$BEGIN RAISE EXCEPTION 'no sales here'; END$$;
           CREATE TRIGGER refuse BEFORE INSERT ON user_actions FOR EACH ROW WHEN (NEW.action = 'purchase')
           EXECUTE FUNCTION refuse()""",
        "DROP FUNCTION refuse CASCADE",
        "no sales here",
    ),
}


@pytest.mark.parametrize(("refuse", "allow", "reason"), REFUSING.values(), ids=REFUSING.keys())
def test_a_row_that_is_refused_is_a_dead_letter_and_the_others_are_applied_at_once(
    deployment: Deployment, settings: Settings, refuse: str, allow: str, reason: str
) -> None:
    pushed = Pushed(deployment.site)
    deployment.site.push(action("user-2", "item 3", "purchase", id=None))
    with altered(settings.database_url, refuse, allow):
        summary = deployment.tick().json
    assert (summary["applied"], summary["rejected"], summary["pending"]) == (pushed.events, 1, 0)
    assert deployment.postgres.accepted == 1, "a refused row is no reason to connect again, once for each half"
    [letter] = deployment.services.dead_letters.all()
    assert reason in letter.reason
    assert json.loads(letter.raw)["content_id"] == "item 3"
    for _ in range(2):
        deployment.services.dead_letters.put_back([letter])
    assert deployment.tick().json["applied"] == 1
    pushed.events += 1
    pushed.assert_all_are_applied_once()


def test_where_every_row_is_refused_the_batch_is_set_aside_whole_and_can_be_put_back(
    make_deployment: MakeDeployment, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply_module, "MAX_REFUSED", 3)
    deployment = make_deployment(actions_time_budget_seconds=20.0)
    allowed = Pushed(deployment.site)
    assert deployment.tick().status == 200
    deployment.site.push(*[action(f"user-{number}", f"item {number % 3}", id=None) for number in range(5)])
    nothing = "ALTER TABLE user_actions ADD CONSTRAINT nothing CHECK (false) NOT VALID"
    with altered(settings.database_url, nothing, "ALTER TABLE user_actions DROP CONSTRAINT nothing"):
        for _ in range(MAX_TRIES):
            assert_told_to_come_again(deployment.tick(), "postgres_refuses", 'violates check constraint "nothing"')
            assert deployment.site.count_waiting() == (0, 5)
        assert deployment.tick().json["claimed"] == 0
        [batch] = deployment.status().json["set_aside"]
        assert (batch["elements"], deployment.site.dead_letters()) == (5, [])
        assert 'violates check constraint "nothing"' in batch["error"]
    assert deployment.tick().json["claimed"] == 0
    assert deployment.services.dead_letters.put_back_batch(batch["batch_id"])
    assert deployment.tick().json["applied"] == 5
    allowed.events += 5
    allowed.assert_all_are_applied_once()


FILL = """
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END$$;
CREATE TRIGGER fill BEFORE INSERT ON user_actions EXECUTE FUNCTION fill()"""


def test_a_full_disk_is_waited_for_and_makes_no_dead_letters(deployment: Deployment, settings: Settings) -> None:
    pushed = Pushed(deployment.site)
    with altered(settings.database_url, FILL, "DROP FUNCTION fill CASCADE"):
        for _ in range(MAX_TRIES + 2):
            assert_told_to_come_again(deployment.tick(), "postgres_unavailable", "Postgres's disk is full")
        pushed.assert_none_is_lost()
    assert_drained_once_mended(deployment, pushed)


def test_an_outage_of_postgres_for_many_ticks_sets_nothing_aside(deployment: Deployment) -> None:
    pushed = Pushed(deployment.site)
    deployment.postgres.refuse()
    for _ in range(20):
        assert_told_to_come_again(deployment.tick(), "postgres_unavailable")
    pushed.assert_none_is_lost()
    assert deployment.status().json["set_aside"] == []
    assert_drained_once_mended(deployment, pushed)


@pytest.mark.usefixtures("shorter_bounds")
def test_a_postgres_that_hangs_for_many_ticks_sets_nothing_aside_though_the_budget_is_small(
    make_deployment: MakeDeployment,
) -> None:
    """What a drain holds is given back within its budget, so that the outage counts for none of the batch's tries."""
    deployment = make_deployment()
    pushed = Pushed(deployment.site)
    queue = deployment.site.services.queue
    for _ in range(MAX_TRIES - 1):
        queue.release(queue.claim().batch_id, error="it failed by itself")
    for _ in range(2):
        deployment.postgres.give("hang", at=b"INSERT INTO user_actions")
        assert_told_to_come_again(deployment.tick(), "postgres_unavailable")
        deployment.postgres.mend()  # which ends what hangs at the server
    assert deployment.status().json["set_aside"] == []
    assert_drained_once_mended(deployment, pushed)


EVERY_JOB = {"process_user_embeddings": 503, "warm_cache": 503, "refresh_cold_start": 503}
OTHER_JOBS = {
    # Embeddings need no Redis, and a report that it doesn't take must not have them learnt again.
    "Redis refuses": (lambda deployment: deployment.redis.refuse(), EVERY_JOB | {"process_user_embeddings": 200}),
    "Redis hangs": (lambda deployment: deployment.redis.give(hangs), EVERY_JOB | {"process_user_embeddings": 200}),
    "Postgres refuses": (lambda deployment: deployment.postgres.refuse(), EVERY_JOB),
    "Postgres hangs": (lambda deployment: deployment.postgres.give("hang", at=b"SELECT"), EVERY_JOB),
}


@pytest.mark.parametrize(("strikes", "statuses"), OTHER_JOBS.values(), ids=OTHER_JOBS.keys())
def test_the_other_jobs_end_in_their_time_where(
    deployment: Deployment, strikes: Callable[[Deployment], None], statuses: dict[str, int]
) -> None:
    """And QStash is told to come again."""
    jobs = {name: partial(deployment.deliver, JOBS[name].path, dict(JOBS[name].body)) for name in statuses}
    strikes(deployment)
    calls = at_once(**jobs)
    assert_in_time(calls, **dict.fromkeys(statuses, TICK_SECONDS))
    assert {name: timed.answer.status for name, timed in calls.items()} == statuses
    for timed in calls.values():
        if timed.answer.status == 503:
            assert_told_to_come_again(timed.answer, timed.answer.json["error"]["code"], "Redis|Postgres")
    deployment.mend()
    assert {name: job().status for name, job in jobs.items()} == dict.fromkeys(jobs, 200)


def qstash(trouble: HttpTrouble, says: str, fix: str) -> Row:
    return Row(lambda deployment: deployment.qstash.give(trouble), says, fix)


DAILY = {"RateLimit_Limit": "1000", "RateLimit_Remaining": "0", "RateLimit_Reset": "1700000000"}
QSTASH = {
    "refuses a burst": qstash(says(429, {"error": "too many"}), "QStash refuses: .*burst", "wait"),
    "has no messages left today": qstash(
        says(429, {"error": "too many"}, **DAILY),
        "QStash takes no more messages today: .* 1000 a day",
        "ACTIONS_INTERVAL_SECONDS|upgrade",
    ),
    "answers 500 with a page": qstash(says(500, PAGE * 1_000), "QStash refuses: .*500", "QSTASH_URL"),
    "answers nonsense": qstash(says(200, "nonsense"), "QStash", "QSTASH_URL"),
    "holds too many schedules": qstash(
        says(412, {"error": "schedules"}), "QStash takes no more schedules: .*412", "Delete schedules"
    ),
    "hangs": qstash(hangs, "QStash doesn't answer: ReadTimeout", "QSTASH_URL"),
    "drips its answer": qstash(drips_its_body, "QStash doesn't answer: ReadTimeout", "QSTASH_URL"),
    "drips its headers": qstash(drips_its_headers, "QStash doesn't answer: ReadTimeout", "QSTASH_URL"),
    "cuts the connection": qstash(cuts, "QStash doesn't answer", "QSTASH_URL"),
    "refuses connections": Row(
        lambda deployment: deployment.qstash.refuse(), "QStash doesn't answer: ConnectError", "QSTASH_URL"
    ),
}


@pytest.mark.usefixtures("shorter_bounds", "no_minute_s_end")
@pytest.mark.parametrize("row", QSTASH.values(), ids=QSTASH.keys())
def test_where_qstash(deployment: Deployment, row: Row, said: Callable[[], list[str]]) -> None:
    """The list is drained all the same; then the schedule's tick comes again, and the check names it."""
    pushed = Pushed(deployment.site)
    row.strikes(deployment)
    calls = at_once(
        tick=lambda: deployment.tick(SCHEDULED_TICK),
        recommend=lambda: deployment.recommend("reader"),
        status=deployment.status,
        init=deployment.init,
    )
    assert_in_time(calls)
    assert_told_to_come_again(calls["tick"].answer, "qstash_unavailable", row.says)
    pushed.assert_all_are_applied_once()
    assert calls["recommend"].answer.status == 200
    assert nulls_of(calls["status"].answer) == set()
    init = calls["init"].answer
    assert init.status == 503
    assert {"qstash"} <= errors_of(init).keys() <= {"qstash", "signing keys", "schedules"}
    for name in errors_of(init).keys() & {"qstash", "signing keys"}:
        check = errors_of(init)[name]
        assert re.search(row.says, check["message"])
        assert re.search(row.fix, check["fix"])
        assert len(check["message"]) < 1_000
    assert not [check for check in init.json["checks"] if check["message"].startswith("Found")], "nobody could look"
    [line] = failed_deliveries(said(), "qstash_unavailable")
    assert re.search(row.says, line)
    assert "None" not in line
    assert len(line) < 1_000
    assert_no_secret(deployment, [*said(), *[timed.answer.body.decode() for timed in calls.values()]])
    deployment.mend()
    assert deployment.tick(SCHEDULED_TICK).json["ticks_published"] == 11
    assert errors_of(deployment.init()) == {}


@pytest.mark.parametrize(
    ("made", "status", "reason"),
    [
        pytest.param(240, 401, r"not valid yet: .* made 2(39|40) s from now; a clock is wrong", id="4 minutes behind"),
        pytest.param(-240, 200, "", id="4 minutes ahead, inside the five"),
        pytest.param(-420, 401, r"has expired: .* made 42[01] s ago; if it is new, a clock is wrong", id="7 ahead"),
    ],
)
def test_a_clock_that_is_wrong_is_said_in_the_log_with_the_seconds(
    deployment: Deployment, said: Callable[[], list[str]], made: float, status: int, reason: str
) -> None:
    """Ours against QStash's, by which the signature was `made` so many seconds from now."""
    answer = deployment.tick(now=time.time() + made)
    assert answer.status == status
    assert [line for line in said() if "refused" in line and re.search(reason, line)] or not reason
    pushed = Pushed(deployment.site)
    assert_drained_once_mended(deployment, pushed)


@pytest.mark.parametrize(
    ("seconds", "found"),
    [(240, "2(39|40) s behind QStash's"), (-240, "24[012] s ahead of QStash's")],
    ids=["behind", "ahead"],
)
def test_init_says_by_how_much_the_clock_is_wrong(deployment: Deployment, seconds: float, found: str) -> None:
    deployment.qstash.give(dates_its_answers(seconds))
    answer = deployment.init()
    assert answer.status == 503
    [check] = errors_of(answer).values()
    assert check["name"] == "clock"
    assert re.search(f"This machine's clock is {found}", check["message"])
    assert "time server" in check["fix"]
    deployment.mend()
    assert errors_of(deployment.init()) == {}


@pytest.mark.usefixtures("shorter_bounds")
def test_where_both_redis_and_postgres_are_away_everybody_is_told_and_nothing_is_lost(deployment: Deployment) -> None:
    pushed = Pushed(deployment.site)
    deployment.redis.refuse()
    deployment.postgres.refuse()
    calls = every_caller(deployment)
    assert_in_time(calls)
    assert_told_to_come_again(calls["tick"].answer, "redis_unavailable")
    assert_told_to_come_again(calls["recommend"].answer, "postgres_unavailable")
    assert nulls_of(calls["status"].answer) == REDIS_PARTS | POSTGRES_PARTS
    assert len(calls["status"].answer.json["errors"]) >= 2
    assert errors_of(calls["init"].answer).keys() == {"redis", "postgres"}
    pushed.assert_none_is_lost()
    assert_drained_once_mended(deployment, pushed)


@pytest.mark.usefixtures("shorter_bounds")
def test_where_every_service_hangs_every_caller_has_his_answer_in_time(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "INIT_SECONDS", 3.0)
    pushed = Pushed(deployment.site)
    for front in (deployment.redis, deployment.qstash):
        front.give(hangs)
    deployment.postgres.give("hang")
    calls = every_caller(deployment, SCHEDULED_TICK)
    assert_in_time(calls, init=3.0)
    assert {name: timed.answer.status for name, timed in calls.items()} == {
        "tick": 503,
        "recommend": 503,
        "cached": 503,
        "status": 200,
        "init": 503,
    }
    pushed.assert_none_is_lost()
    assert_drained_once_mended(deployment, pushed)


# Who makes a client, and what bounds it there.
CLIENTS = {
    ("lib/adapters/redis_client.py", "Redis"),
    ("lib/adapters/qstash.py", "QStash"),
    ("lib/adapters/database.py", "Connection.connect"),
}
MAKERS = re.compile(
    r"(httpx\.)?(Async)?Client|(httpx\.)?HTTPTransport|(upstash_redis\.)?(asyncio\.)?Redis|(qstash\.)?(Async)?QStash"
    r"|(psycopg\.)?(Async)?(Connection|ConnectionPool|connect)(\.connect)?"
    r"|httpx\.(get|post|put|delete|patch|head|options|request|stream)|(urllib\.request\.)?urlopen|.*create_connection"
)
OTHER_CLIENTS = {"socket", "requests", "aiohttp", "urllib3", "redis", "http.client", "urllib.request", "psycopg_pool"}


def calls_in(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_no_client_of_a_service_is_made_without_a_bound_in_time() -> None:
    found: set[tuple[str, str]] = set()
    for path in [*ROOT.glob("lib/**/*.py"), *ROOT.glob("api/**/*.py")]:
        tree, name = ast.parse(path.read_text()), str(path.relative_to(ROOT))
        found |= {(name, maker) for maker, _ in calls_in(tree) if MAKERS.fullmatch(maker)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = {node.module} if isinstance(node, ast.ImportFrom) else {item.name for item in node.names}
                assert modules.isdisjoint(OTHER_CLIENTS), f"{name} imports {modules}"
    assert found == CLIENTS


@pytest.mark.parametrize("name", ["redis_client.py", "qstash.py"])
def test_a_vendor_s_client_is_bounded_where_it_is_made(name: str) -> None:
    functions = [
        node for node in ast.walk(ast.parse((ADAPTERS / name).read_text())) if isinstance(node, ast.FunctionDef)
    ]
    [maker] = [node for node in functions if {"Redis", "QStash"} & {called for called, _ in calls_in(node)}]
    [bound] = [node for called, node in calls_in(maker) if called == "bound"]
    assert [keyword.arg for keyword in bound.keywords] == ["seconds"]


def test_a_connection_to_postgres_is_bounded_where_it_is_made() -> None:
    [connect] = [
        node
        for called, node in calls_in(ast.parse((ADAPTERS / "database.py").read_text()))
        if called == "Connection.connect"
    ]
    assert {"connect_timeout", "tcp_user_timeout"} <= {keyword.arg for keyword in connect.keywords}
