"""Fresh servers, and a deployment on them."""

import contextlib
import dataclasses
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.adapters.redis_client import RedisClient
from lib.adapters.schema import migrate
from lib.adapters.services import Services
from lib.settings import Settings
from local.qstash.server import QStashServer
from local.redis_rest import RedisRest
from local.resp import Connection
from local.servers import Postgres, Valkey

NOWHERE = "http://127.0.0.1:9"  # nothing listens: the published ticks do no work


@dataclass(frozen=True)
class Stage:
    """The servers, and a deployment on them."""

    settings: Settings
    services: Services
    redis: RedisClient
    valkey: Valkey
    qstash: QStashServer

    def redis_keys(self) -> list[str]:
        with Connection(self.valkey.address) as connection:
            keys = connection.call(b"KEYS", b"*")
        assert isinstance(keys, list)
        return [key.decode() for key in keys if isinstance(key, bytes)]


@contextmanager
def running_stage(**changes: Any) -> Iterator[Stage]:
    """Fresh servers and empty data. `changes` are of the settings."""
    token = secrets.token_urlsafe(24)
    with (
        tempfile.TemporaryDirectory(prefix="recs-soak-") as folder,
        Postgres(Path(folder) / "postgres", durable=False) as postgres,
        Valkey(Path(folder) / "valkey", durable=False) as valkey,
        RedisRest(valkey.address, {token: 0}) as rest,
        QStashServer() as qstash,
    ):
        settings = Settings(
            redis_url=rest.url,
            redis_token=token,
            database_url=postgres.url,
            qstash_url=qstash.url,
            qstash_token=qstash.token,
            qstash_current_signing_key=qstash.current_signing_key,
            qstash_next_signing_key=qstash.next_signing_key,
            app_url=NOWHERE,
        )
        settings = dataclasses.replace(settings, **changes)
        services = Services(settings)
        migrate(services.database)
        redis = RedisClient(rest.url, token)
        with contextlib.closing(services), contextlib.closing(redis):
            yield Stage(settings, services, redis, valkey, qstash)
