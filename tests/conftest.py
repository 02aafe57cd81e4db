"""Real servers, started once for the whole run, with a database of its own for every test that asks for one."""

import dataclasses
import itertools
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from lib.adapters.database import Database
from lib.adapters.schema import migrate
from lib.adapters.services import Services
from lib.settings import Settings
from local.qstash.server import QStashServer
from local.redis_rest import RedisRest
from local.resp import Connection
from local.servers import Postgres, Valkey
from tests.deployment import serving_deployment
from tests.support import qstash_settings

MakeDatabase = Callable[..., str]

TEMPLATE = "recommendations_template"

_numbers = itertools.count(1)


class Servers(NamedTuple):
    """What runs for the tests."""

    postgres: Postgres
    valkey: Valkey
    rest: RedisRest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", action="store_true", help="make the pictures in docs/images anew")


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Postgres, Valkey and the REST front. Nothing of them outlives the run."""
    # Not pytest's own folder: it is closed to the user that Postgres runs as when the tests run as root.
    with tempfile.TemporaryDirectory(prefix="recs-tests-") as folder, ExitStack() as running:
        postgres = Postgres(Path(folder) / "postgres", durable=False)
        valkey = Valkey(Path(folder) / "valkey", durable=False)
        with ThreadPoolExecutor() as threads:
            list(threads.map(running.enter_context, (postgres, valkey)))
        yield Servers(postgres, valkey, running.enter_context(RedisRest(valkey.address, {})))


@pytest.fixture
def redis_credentials(servers: Servers) -> tuple[str, str]:
    """The URL and the token of an empty Redis database that no other running test uses."""
    return empty_redis(servers)


def empty_redis(servers: Servers) -> tuple[str, str]:
    database = (next(_numbers) - 1) % 1023 + 1
    with Connection(servers.valkey.address, database) as connection:
        connection.call(b"FLUSHDB")
    token = f"token-of-database-{database}"
    servers.rest.add_token(token, database)
    return servers.rest.url, token


@pytest.fixture
def make_database(servers: Servers) -> Iterator[MakeDatabase]:
    """`make_database(template=None)`: the URL of a fresh Postgres database, dropped at the end of the test."""
    with making_databases(servers) as make:
        yield make


@contextmanager
def making_databases(servers: Servers) -> Iterator[MakeDatabase]:
    names: list[str] = []

    def make(template: str | None = None) -> str:
        names.append(f"test_{next(_numbers)}")
        copied = f" TEMPLATE {template}" if template else ""
        administer(f"CREATE DATABASE {names[-1]}{copied}")
        return servers.postgres.database_url(names[-1])

    def administer(statement: str) -> None:
        with psycopg.connect(servers.postgres.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    yield make
    for name in names:
        administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def schema_template(servers: Servers) -> str:
    """The name of a database with our schema, made once and copied for each test."""
    with psycopg.connect(servers.postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}".encode())
    database = Database(servers.postgres.database_url(TEMPLATE), max_connections=1)
    migrate(database)
    database.close()
    return TEMPLATE


@pytest.fixture
def settings(redis_credentials: tuple[str, str], make_database: MakeDatabase, schema_template: str) -> Settings:
    """Settings with an empty Redis and an empty, migrated Postgres. QStash is away: `qstash_services` has one."""
    return complete_settings(redis_credentials, make_database(schema_template))


def complete_settings(redis_credentials: tuple[str, str], database_url: str) -> Settings:
    url, token = redis_credentials
    return Settings(
        redis_url=url,
        redis_token=token,
        database_url=database_url,
        qstash_token="a-token",
        qstash_url="http://127.0.0.1:9",
        qstash_current_signing_key="sig_current_0123456789abcdefghij",
        qstash_next_signing_key="sig_next_0123456789abcdefghijklm",
        app_url="https://shop.example.com",
        admin_api_key="the-admin-key",
    )


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    """The adapters of `settings`."""
    services = Services(settings)
    yield services
    services.close()


@pytest.fixture
def qstash() -> Iterator[QStashServer]:
    """A local QStash of the test's own."""
    server = QStashServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def qstash_services(settings: Settings, qstash: QStashServer) -> Iterator[Services]:
    """The adapters of `settings` with that QStash."""
    services = Services(
        dataclasses.replace(
            settings,
            app_url="http://127.0.0.1:9",  # where nobody listens: no delivery leaves this machine
            **qstash_settings(qstash),
        )
    )
    yield services
    services.close()


@pytest.fixture
def deployed_services(qstash_services: Services) -> Iterator[Services]:
    """The same at an address where the functions answer, so that what QStash delivers arrives."""
    with serving_deployment() as deployment:
        services = Services(dataclasses.replace(qstash_services.settings, app_url=deployment.url))
        deployment.afterwards.callback(services.close)
        deployment.deploy(services)
        yield services
