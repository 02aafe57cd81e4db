"""Adapters of each test's own."""

from collections.abc import Callable, Iterator

import pytest

from lib.adapters.action_queue import ActionQueue
from lib.adapters.database import Connection, Database
from lib.adapters.dead_letters import DeadLetters
from lib.adapters.redis_client import RedisClient
from tests.conftest import MakeDatabase

MakeQueue = Callable[..., ActionQueue]


@pytest.fixture
def redis(redis_credentials: tuple[str, str]) -> Iterator[RedisClient]:
    """A client of an empty Redis database."""
    client = RedisClient(*redis_credentials)
    yield client
    client.close()


@pytest.fixture
def make_queue(redis: RedisClient) -> MakeQueue:
    """`make_queue(max_elements=, lease_seconds=, dead_letters_max=)`: one more drain's view of the same Redis."""

    def make(max_elements: int = 100, lease_seconds: int = 60, dead_letters_max: int = 100) -> ActionQueue:
        return ActionQueue(
            redis, max_elements=max_elements, lease_seconds=lease_seconds, dead_letters_max=dead_letters_max
        )

    return make


@pytest.fixture
def queue(make_queue: MakeQueue) -> ActionQueue:
    return make_queue()


@pytest.fixture
def dead_letters(redis: RedisClient) -> DeadLetters:
    return DeadLetters(redis)


@pytest.fixture
def connection(make_database: MakeDatabase, schema_template: str) -> Iterator[Connection]:
    """An open transaction in an empty database with our schema, ready for vectors."""
    database = Database(make_database(schema_template), max_connections=1)
    with database.transaction(vectors=True) as connection:
        yield connection
    database.close()
