"""What a function has imported once it has answered: exactly the libraries that this answer needs.

Every cold start on Vercel compiles what it imports. Each case runs in an interpreter of its own, as each function does.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from lib.adapters.action_queue import PENDING_KEY
from lib.adapters.redis_client import RedisClient
from lib.adapters.services import Services
from lib.core.schedules import BATCH_PROCESS_PATH, REFRESH_PATH, WARM_PATH
from lib.jobs.process_actions import process_user_actions
from lib.jobs.recommend import recommend
from lib.jobs.run import Deadline
from lib.jobs.update_embeddings import process_user_embeddings
from lib.settings import Settings
from local.qstash.server import QStashServer
from local.resp import Connection
from tests.api.signing import sign
from tests.conftest import Servers
from tests.support import qstash_settings, variables_of

ROOT = Path(__file__).resolve().parent.parent
FILES = {
    BATCH_PROCESS_PATH: "api/actions/batch-process.py",
    WARM_PATH: "api/recommend/cache/warm.py",
    REFRESH_PATH: "api/recommend/cold-start/refresh.py",
    "/api/init": "api/init.py",
    "/api/recommend": "api/recommend/index.py",
    "/api/status": "api/status.py",
}
# numpy imports its masked arrays, 11,000 lines, only for some of what it can do.
HEAVY = {"httpx", "jinja2", "jwt", "numpy", "numpy.ma", "pgvector", "psycopg", "qstash", "upstash_redis"}
REDIS = {"httpx", "upstash_redis"}
QSTASH = {"httpx", "qstash", "jwt"}  # its client brings PyJWT
VECTORS = {"numpy", "pgvector"}

# Imports the function as the platform does, by its path; then answers the requests one after the other.
PROGRAM = """
import importlib.util, io, json, sys

file, requests = json.loads(sys.argv[1])
spec = importlib.util.spec_from_file_location("function", file)
function = importlib.util.module_from_spec(spec)
spec.loader.exec_module(function)
loaded = [sorted(sys.modules)]
statuses = []
for request in requests:
    environ = {**request, "wsgi.input": io.BytesIO(request["body"].encode())}
    b"".join(function.app(environ, lambda status, headers: statuses.append(status)))
    loaded.append(sorted(sys.modules))
print(json.dumps([statuses, loaded]))
"""


@dataclass(frozen=True)
class Request:
    """One with a body is QStash's, signed; one without is a person's or the app's, with the key."""

    path: str
    body: str = ""
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def environ(self, settings: Settings) -> dict[str, str]:
        if self.body:
            url, key = settings.app_url + self.path, settings.qstash_current_signing_key
            method, guard = "POST", {"Upstash-Signature": sign(self.body.encode(), url, key)}
        else:
            method, guard = "GET", {"Authorization": f"Bearer {settings.admin_api_key}"}
        return _environ(method, self.path, self.body, self.query, {**guard, **self.headers})


def _environ(
    method: str, path: str, body: str = "", query: str = "", headers: Mapping[str, str] | None = None
) -> dict[str, str]:
    variables = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_HOST": "shop.example.com",
        "body": body,
    }
    return variables | {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()}


def answer(path: str, *requests: Mapping[str, str], settings: Settings) -> tuple[list[str], list[set[str]]]:
    """The statuses, and which heavy libraries were there after the import and after each answer."""
    environment = {"PATH": os.environ["PATH"], **variables_of(settings)}
    command = [sys.executable, "-c", PROGRAM, json.dumps([FILES[path], requests])]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    statuses, loaded = json.loads(run.stdout)
    return statuses, [HEAVY & {*names, *(name.partition(".")[0] for name in names)} for names in loaded]


@pytest.mark.parametrize("path", FILES)
def test_a_function_that_refuses_a_call_has_loaded_no_library(path: str) -> None:
    settings = Settings(
        app_url="https://shop.example.com",
        qstash_current_signing_key="sig_current",
        qstash_next_signing_key="sig_next",
        admin_api_key="the-admin-key",
    )
    method = "POST" if path in (BATCH_PROCESS_PATH, WARM_PATH, REFRESH_PATH) else "GET"
    requests = [_environ("HEAD", path), _environ("DELETE", path), _environ(method, path)]
    statuses, loaded = answer(path, *requests, settings=settings)
    assert [status[:3] for status in statuses] == ["405", "405", "401"]
    assert loaded == [set()] * 4


@pytest.fixture(scope="module")
def services(servers: Servers, schema_template: str) -> Iterator[Services]:
    """Ada and Bob have acted, their interests are learned, Ada's list is cached, and nothing is pending."""
    with Connection(servers.valkey.address, 0) as connection:  # which no other test has
        connection.call(b"FLUSHDB")
    servers.rest.add_token("the-redis-token", 0)
    with psycopg.connect(servers.postgres.url, autocommit=True) as administrator:
        administrator.execute(f"CREATE DATABASE cold_start TEMPLATE {schema_template}".encode())
    qstash = QStashServer()
    qstash.start()
    services = Services(
        Settings(
            **qstash_settings(qstash),
            app_url="http://127.0.0.1:9",  # where nobody listens: no delivery leaves this machine
            redis_url=servers.rest.url,
            redis_token="the-redis-token",
            database_url=servers.postgres.database_url("cold_start"),
            admin_api_key="the-admin-key",
        )
    )
    push(services, "ada", "bob")
    process_user_actions(services, Deadline.after(60))
    process_user_embeddings(services, datetime.now(UTC), Deadline.after(60))
    recommend(services, user_id="ada", n=5, language=None, now=datetime.now(UTC))
    yield services
    services.close()
    qstash.stop()


def push(services: Services, *user_ids: str) -> None:
    """Each likes something."""
    redis = RedisClient(services.settings.redis_url, services.settings.redis_token)
    for user_id in user_ids:
        element = {"user_id": user_id, "content_id": f"content of {user_id}", "action": "like"}
        redis.execute("LPUSH", PENDING_KEY, json.dumps(element))
    redis.close()


def job(name: str, **fields: object) -> str:
    return json.dumps({"action": name, **fields})


TICK = job("process_user_actions")
PUBLISHING_TICK = job("process_user_actions", publish_ticks=True)
HTML = {"Accept": "text/html"}

CASES: dict[str, tuple[Request, set[str]]] = {
    "a ping of the ticks": (Request(BATCH_PROCESS_PATH, job("ping")), {"jwt"}),
    "a ping of warm": (Request(WARM_PATH, job("ping")), {"jwt"}),
    "a ping of refresh": (Request(REFRESH_PATH, job("ping")), {"jwt"}),
    "a tick on an empty list": (Request(BATCH_PROCESS_PATH, TICK), {"jwt", *REDIS}),
    "a tick that publishes": (Request(BATCH_PROCESS_PATH, PUBLISHING_TICK), {"jwt", *REDIS, *QSTASH}),
    "learning": (Request(BATCH_PROCESS_PATH, job("process_user_embeddings")), {"jwt", *REDIS, "psycopg", *VECTORS}),
    "warming": (Request(WARM_PATH, job("warm_cache")), {"jwt", *REDIS, "psycopg", *VECTORS}),
    "refreshing": (Request(REFRESH_PATH, job("refresh_cold_start")), {"jwt", *REDIS, "psycopg", "numpy"}),
    "a cached list": (Request("/api/recommend", query="user_id=ada"), {*REDIS, "psycopg"}),
    "a stranger's list": (Request("/api/recommend", query="user_id=eve"), {*REDIS, "psycopg"}),
    "a list in one language": (Request("/api/recommend", query="user_id=ada&language=en"), {"psycopg", *VECTORS}),
    "the status": (Request("/api/status"), {*REDIS, "psycopg"}),
    "the status's page": (Request("/api/status", headers=HTML), {*REDIS, "psycopg", "jinja2"}),
    "init": (Request("/api/init"), {*REDIS, "psycopg", *QSTASH}),
    "init's page": (Request("/api/init", headers=HTML), {*REDIS, "psycopg", *QSTASH, "jinja2"}),
}


@pytest.mark.parametrize(("request_", "needed"), CASES.values(), ids=CASES.keys())
def test_an_answer_loads_the_libraries_that_it_needs_and_no_other(
    services: Services, request_: Request, needed: set[str]
) -> None:
    settings = services.settings
    [status], [_, loaded] = answer(request_.path, request_.environ(settings), settings=settings)
    # Nobody listens where init's test message goes.
    assert status[:3] in ({"200", "503"} if request_.path == "/api/init" else {"200"})
    assert loaded == needed


def test_a_list_that_is_not_cached_loads_mathematics_too(services: Services) -> None:
    push(services, "dan")
    process_user_actions(services, Deadline.after(60))
    request = Request("/api/recommend", query="user_id=dan").environ(services.settings)
    statuses, [_, loaded] = answer("/api/recommend", request, settings=services.settings)
    assert statuses == ["200 OK"]
    assert loaded == {*REDIS, "psycopg", *VECTORS}


def test_a_tick_with_actions_loads_postgres_and_mathematics_too(services: Services) -> None:
    push(services, "cid")
    request = Request(BATCH_PROCESS_PATH, TICK).environ(services.settings)
    statuses, [_, loaded] = answer(BATCH_PROCESS_PATH, request, settings=services.settings)
    assert statuses == ["200 OK"]
    assert loaded == {"jwt", *REDIS, "psycopg", "numpy"}
