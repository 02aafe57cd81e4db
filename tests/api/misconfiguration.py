"""A deployment where everything is in place, and what people get wrong about it."""

import re
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from lib.adapters import qstash as qstash_module
from lib.adapters.services import Services
from lib.core.schedules import Schedule
from lib.settings import Settings
from lib.text import Text
from lib.web import endpoints
from lib.web.edge import keyed_application
from local.qstash.server import QStashServer
from local.redis_rest import RedisRest
from local.resp import Connection
from tests.adapters.roles import administer, limited_role
from tests.api.wsgi import Answer, call
from tests.conftest import MakeDatabase, Servers
from tests.deployment import Deployment
from tests.support import variables_of

HTML = "text/html,application/xhtml+xml"
NOBODY = "http://127.0.0.1:9"

Changes = dict[str, str]


@dataclass
class World:
    """A deployment where everything is in place, until a case changes it."""

    settings: Settings
    deployment: Deployment
    qstash: QStashServer
    servers: Servers
    make_database: MakeDatabase
    monkeypatch: pytest.MonkeyPatch
    stack: ExitStack
    folder: Path  # where the check is started
    variables: Changes = field(init=False)
    answers: list[str] = field(default_factory=list)  # to calls by hand

    def __post_init__(self) -> None:
        self.variables = variables_of(self.settings)

    @property
    def token(self) -> str:
        return self.settings.qstash_token

    def roll_keys(self) -> None:
        headers = {"Authorization": f"Bearer {self.qstash.token}"}
        httpx.post(f"{self.qstash.url}/v2/keys/rotate", headers=headers).raise_for_status()

    def another_qstash(self, **options: Any) -> Changes:
        """Variables of a QStash of its own, with these options."""
        return self.stack.enter_context(QStashServer(**options)).environment()

    def limited_role(self, database_url: str) -> str:
        return self.stack.enter_context(limited_role(database_url))

    def database_url(self, **parts: str) -> str:
        place = urlsplit(self.settings.database_url)
        given = {"user": place.username, "password": place.password, "path": place.path} | parts
        return f"postgresql://{given['user']}:{given['password']}@{place.hostname}:{place.port}{given['path']}"

    def redis_user(self, *rules: str) -> Changes:
        """Variables of a Redis user who may do no more than the rules say."""
        name, password = f"user_{secrets.token_hex(4)}", secrets.token_hex(8)
        self.redis("ACL", "SETUSER", name, "on", f">{password}", "~*", *rules)
        self.stack.callback(self.redis, "ACL", "DELUSER", name)
        address = self.servers.valkey.address._replace(user=name, password=password)
        database = int(self.settings.redis_token.rpartition("-")[2])
        rest = self.stack.enter_context(RedisRest(address, {"another-token": database}))
        return {"UPSTASH_REDIS_REST_URL": rest.url, "UPSTASH_REDIS_REST_TOKEN": "another-token"}

    def redis(self, *command: str) -> None:
        with Connection(self.servers.valkey.address) as connection:
            connection.call(*[part.encode() for part in command])


Change = Callable[[World], Changes]  # answers the variables that differ


def put(**changes: str) -> Change:
    return lambda world: changes


def rolled(times: int) -> Change:
    def change(world: World) -> Changes:
        for _ in range(times):
            world.roll_keys()
        return {}

    return change


def answering(status: str, body: bytes, **headers: str) -> Change:
    def change(world: World) -> Changes:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        world.deployment.answer_instead(status, named, body)
        return {}

    return change


def protected(world: World) -> Changes:
    page = b"<!doctype html><title>Authentication Required</title><h1>Vercel Authentication</h1>"
    return answering("401 Unauthorized", page, Set_Cookie="_vercel_sso_nonce=abc; Path=/", Server="Vercel")(world)


def swapped(one: str, other: str) -> Change:
    return lambda world: {one: world.variables[other], other: world.variables[one]}


def with_a_wrong_clock(world: World) -> Changes:
    world.monkeypatch.setattr(qstash_module, "time", SimpleNamespace(time=lambda: time.time() + 400))
    return {}


def with_eviction(world: World) -> Changes:
    world.redis("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    world.stack.callback(world.redis, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    return {}


def with_other_content(world: World) -> Changes:
    url = world.make_database()
    administer(url, "CREATE TABLE content (content_id bigint, title text)")
    return {"DATABASE_URL": url}


def with_an_old_pgvector(world: World) -> Changes:
    administer(world.settings.database_url, "UPDATE pg_extension SET extversion = '0.6.2' WHERE extname = 'vector'")
    return {}


def with_a_leftover_schedule(world: World) -> Changes:
    old = Schedule("recs.old.example.com.warm_cache", "0 3 * * *", NOBODY, {}, 3, Text(""), Text(""), 1)
    with closing(Services(world.settings)) as services:
        services.qstash.put_schedule(old)
    return {}


def ask(services: Services, accept: str, language: str) -> Answer:
    application = keyed_application("/api/init", endpoints.init, services=services)
    headers = {"Authorization": "Bearer the-admin-key", "Accept": accept, "Accept-Language": language}
    return call(application, path="/api/init", headers=headers)


def text_of(page: str) -> str:
    """Without the marks of links and code."""
    return re.sub(r"</?(?:a|code)\b[^>]*>", "", page)
