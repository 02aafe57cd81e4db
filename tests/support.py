"""Helpers that several tests share."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import BaseServer
from tempfile import TemporaryFile
from typing import Any, TypeVar

import pytest

from lib.adapters.database import Database
from lib.settings import Settings
from local.embedded import ServerError
from local.qstash.server import QStashServer

T = TypeVar("T")


def eventually(condition: Callable[[], T], timeout: float = 10) -> T:
    """The first true value that `condition` returns; fails where there is none within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"did not become true within {timeout:g} s")
        time.sleep(0.02)
    return value


def count_calls(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[str]:
    """From now on one longer with every call of that method."""
    calls, function = list[str](), getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        calls.append(name)
        return function(*arguments, **named)

    monkeypatch.setattr(owner, name, call)
    return calls


def count_round_trips(database: Database, work: Callable[[], object]) -> int:
    """How often work on the one connection that `database` keeps waits for the server, which is then ready again."""
    [kept] = database._idle
    with TemporaryFile() as messages:
        kept.pgconn.trace(messages.fileno())
        work()
        kept.pgconn.untrace()
        messages.seek(0)
        return messages.read().count(b"ReadyForQuery")


@contextmanager
def in_a_thread(server: BaseServer) -> Iterator[None]:
    """The server answers in a thread of its own, and is closed at the end."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def qstash_settings(qstash: QStashServer) -> dict[str, Any]:
    """What Settings are told of this QStash."""
    return {name.lower(): value for name, value in qstash.environment().items()}


def variables_of(settings: Settings) -> dict[str, str]:
    """The environment that says the same: the services, the address and the key."""
    return {
        "QSTASH_URL": settings.qstash_url,
        "QSTASH_TOKEN": settings.qstash_token,
        "QSTASH_CURRENT_SIGNING_KEY": settings.qstash_current_signing_key,
        "QSTASH_NEXT_SIGNING_KEY": settings.qstash_next_signing_key,
        "NEXT_PUBLIC_APP_URL": settings.app_url,
        "UPSTASH_REDIS_REST_URL": settings.redis_url,
        "UPSTASH_REDIS_REST_TOKEN": settings.redis_token,
        "DATABASE_URL": settings.database_url,
        "ADMIN_API_KEY": settings.admin_api_key,
    }


@contextmanager
def needing(install: Callable[[], object]) -> Iterator[None]:
    """Where `install` can't do without something there is nothing to test; in CI that is a failure."""
    try:
        install()
    except ServerError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    yield


def after(function: Callable[..., Any], act: Callable[[], object]) -> Callable[..., Any]:
    """`function`, and something that happens before it returns."""

    def call(*arguments: Any, **named: Any) -> Any:
        result = function(*arguments, **named)
        act()
        return result

    return call
