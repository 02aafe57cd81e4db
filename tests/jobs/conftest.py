"""A site of each test's own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lib.adapters.redis_client import RedisClient
from lib.adapters.services import Services
from tests.jobs.site import Site

CountCommands = Callable[[], int]


@pytest.fixture
def site(services: Services, redis_credentials: tuple[str, str]) -> Iterator[Site]:
    """Empty, and without QStash."""
    redis = RedisClient(*redis_credentials)
    yield Site(services, redis)
    redis.close()


@pytest.fixture
def count_commands(monkeypatch: pytest.MonkeyPatch) -> CountCommands:
    """`count_commands()`: how many requests went to Redis since the last call. The servers are real all the same."""
    sent: list[str] = []
    execute = RedisClient.execute

    def counting(self: RedisClient, *command: str | float) -> Any:
        sent.append(str(command[0]))
        return execute(self, *command)

    def count() -> int:
        n = len(sent)
        sent.clear()
        return n

    monkeypatch.setattr(RedisClient, "execute", counting)
    return count
