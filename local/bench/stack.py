"""What the benchmarks run on: the embedded servers, with our schema and nothing else."""

import json
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from lib.adapters.schema import migrate
from lib.adapters.services import Services
from lib.core.actions import Action
from lib.settings import Settings
from local.redis_rest import RedisRest
from local.resp import Connection
from local.servers import Postgres, Valkey

ALL_USERS = 10**9  # in one call: what is measured is the work, not how it is shared out


@dataclass(frozen=True)
class Bench:
    """`quick` asks for sizes that show that a benchmark works, and whose figures say nothing; `contents` is how many a
    large site has that some of them read from."""

    services: Services
    valkey: Valkey
    postgres: Postgres
    contents: int
    quick: bool

    def push(self, actions: Sequence[Action]) -> None:
        self.push_elements([as_pushed(action) for action in actions])

    def push_elements(self, elements: Sequence[bytes]) -> None:
        """As the app does, in one command."""
        with Connection(self.valkey.address, 0) as connection:
            connection.call(b"LPUSH", b"pending_user_actions", *elements)

    @contextmanager
    def empty_site(self, name: str) -> Iterator[Services]:
        """Services with a database of its own."""
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        services = Services(replace(self.services.settings, database_url=self.postgres.database_url(name)))
        migrate(services.database)
        try:
            yield services
        finally:
            services.close()
            with psycopg.connect(self.postgres.url, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def running(*, contents: int, quick: bool) -> Iterator[Bench]:
    token = secrets.token_urlsafe(24)
    with (
        tempfile.TemporaryDirectory(prefix="recs-bench-") as folder,
        Postgres(Path(folder) / "postgres") as postgres,
        Valkey(Path(folder) / "valkey") as valkey,
        RedisRest(valkey.address, {token: 0}) as rest,
    ):
        settings = Settings(
            redis_url=rest.url,
            redis_token=token,
            database_url=postgres.url,
            warm_shard_users=ALL_USERS,
            embeddings_shard_users=ALL_USERS,
        )
        services = Services(settings)
        migrate(services.database)
        yield Bench(services, valkey, postgres, contents, quick)
        services.close()


def made_actions(prefix: str, count: int) -> list[Action]:
    """Views by 2,000 users of 5,000 contents, all of them new."""
    now = datetime.now(UTC)
    return [
        Action(f"{prefix}-{i}", f"user-{i * 7 % 2000}", f"content-{i * 31 % 5000}", "view", None, now)
        for i in range(count)
    ]


def as_pushed(action: Action) -> bytes:
    document = {
        "id": action.event_id,
        "user_id": action.user_id,
        "content_id": action.content_id,
        "action": action.action,
        "timestamp": action.occurred_at.isoformat(),
    }
    return json.dumps(document).encode()
