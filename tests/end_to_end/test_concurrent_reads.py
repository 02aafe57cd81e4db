"""Many readers at once in threads of one process, as the platform runs requests: more than it has connections."""

import dataclasses
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from lib.adapters import database as database_module
from lib.adapters.redis_client import RedisClient
from lib.adapters.services import Services
from lib.jobs import recommend as recommend_module
from lib.settings import Settings
from lib.web import endpoints
from lib.web.edge import keyed_application
from tests.api.wsgi import Answer, call
from tests.conftest import Servers
from tests.end_to_end.faults import PostgresProxy
from tests.jobs.site import Site, action

READERS = [f"reader {number}" for number in range(32)]
CONTENT = [f"item {number}" for number in range(12)]
HIDDEN = "item 11"


def read_by(user_id: str) -> str:
    return CONTENT[READERS.index(user_id) % 11]


@pytest.fixture
def site(services: Services, redis_credentials: tuple[str, str]) -> Iterator[Site]:
    """Each reader has read one thing, nobody the one that will be hidden, and all have a cached list."""
    with closing(RedisClient(*redis_credentials)) as redis:
        site = Site(services, redis)
        site.add_content(*CONTENT)
        site.act(*[action(user_id, read_by(user_id)) for user_id in READERS])
        site.embed()
        for user_id in READERS:
            assert set(site.ids(user_id)) == {*CONTENT} - {read_by(user_id)}
        yield site


@pytest.fixture
def proxy(servers: Servers) -> Iterator[PostgresProxy]:
    with PostgresProxy(servers.postgres.host, servers.postgres.port) as proxy:
        yield proxy


@pytest.fixture
def function(settings: Settings, servers: Servers, proxy: PostgresProxy, site: Site) -> Iterator[Services]:
    """The process of api/recommend, behind the proxy."""
    url = settings.database_url.replace(f":{servers.postgres.port}/", f":{proxy.port}/")
    with closing(Services(dataclasses.replace(settings, database_url=url))) as services:
        yield services


def read_at_once(function: Services, user_ids: Sequence[str]) -> dict[str, Answer]:
    """What each gets. They begin together."""
    application = keyed_application("/api/recommend", endpoints.recommendations, services=function)
    key = {"Authorization": f"Bearer {function.settings.admin_api_key}"}
    together = threading.Barrier(len(user_ids))

    def read(user_id: str) -> Answer:
        together.wait(timeout=60)
        return call(application, path="/api/recommend", query=f"user_id={user_id.replace(' ', '+')}", headers=key)

    with ThreadPoolExecutor(len(user_ids)) as threads:
        return dict(zip(user_ids, threads.map(read, user_ids), strict=True))


def assert_right(answers: dict[str, Answer], shown: set[str], *, computed: Collection[str] = ()) -> None:
    for user_id, answer in answers.items():
        assert answer.status == 200, answer.json
        assert answer.json["user_id"] == user_id
        assert answer.json["source"] == ("computed" if user_id in computed else "cache")
        assert {item["content_id"] for item in answer.json["items"]} == shown - {read_by(user_id)}


@pytest.mark.parametrize("without_a_list", [[], READERS[::2], READERS], ids=["cached", "half of them", "not cached"])
def test_every_one_of_many_readers_at_once_gets_his_own_list(
    function: Services, site: Site, without_a_list: list[str]
) -> None:
    site.services.cache.invalidate(without_a_list)
    site.query("UPDATE content SET available = false WHERE content_id = %s", HIDDEN)
    answers = read_at_once(function, READERS)
    assert_right(answers, {*CONTENT} - {HIDDEN}, computed=without_a_list)
    assert site.cached(READERS) == set(READERS)


def test_where_postgres_is_slow_readers_who_queue_for_it_still_see_nothing_that_is_not_available(
    function: Services, site: Site, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue takes longer than each of them would wait for Postgres itself."""
    monkeypatch.setattr(recommend_module, "PATIENCE_SECONDS", 1.0)
    assert_right(read_at_once(function, READERS[:4]), {*CONTENT})
    site.query("UPDATE content SET available = false WHERE content_id = %s", HIDDEN)
    proxy.slow_down(0.2)
    started = time.monotonic()
    answers = read_at_once(function, READERS)
    assert time.monotonic() - started > len(READERS) / function.settings.database_max_connections * 0.2
    assert_right(answers, {*CONTENT} - {HIDDEN})


def test_where_postgres_is_slow_every_list_is_computed_all_the_same(
    function: Services, site: Site, proxy: PostgresProxy
) -> None:
    site.services.cache.invalidate(READERS)
    proxy.slow_down(0.01)
    assert_right(read_at_once(function, READERS), {*CONTENT}, computed=READERS)


def test_where_postgres_hangs_no_reader_waits_for_all_those_before_him(
    function: Services, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other they would take longer than the ten seconds that a reader has."""
    monkeypatch.setattr(recommend_module, "PATIENCE_SECONDS", 0.4)
    monkeypatch.setattr(database_module, "GRACE_SECONDS", 0.1)
    one_connection = Services(dataclasses.replace(function.settings, database_max_connections=1))
    with closing(one_connection):
        assert_right(read_at_once(one_connection, READERS[:1]), {*CONTENT})
        proxy.freeze()
        proxy.give("hang")
        started = time.monotonic()
        assert_right(read_at_once(one_connection, READERS), {*CONTENT})
    assert time.monotonic() - started < endpoints.RECOMMEND_SECONDS / 2
