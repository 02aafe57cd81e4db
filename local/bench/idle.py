"""What a tick on an empty list costs: a signed request through the whole WSGI application, against a bare script
through the same client that stamps the run as the tick does and nothing else."""

import statistics
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from lib.adapters.redis_client import RedisClient
from lib.adapters.services import Services
from lib.core.schedules import BATCH_PROCESS_PATH
from lib.web.edge import Application, signed_application
from lib.web.endpoints import batch_process
from local.bench.figure import Figure, seconds
from local.bench.relay import Relay, address_of, relayed, through
from local.bench.stack import Bench
from local.soak.nursery import tick_environ

STAMP = "redis.call('HSET', KEYS[1], 'last_run', ARGV[1]) redis.call('EXPIRE', KEYS[1], 2592000)"


def idle(bench: Bench) -> list[Figure]:
    ticks = 10 if bench.quick else 500
    with _deployed(bench) as (services, application, redis, postgres):
        settings = services.settings
        client = RedisClient(settings.redis_url, settings.redis_token)

        def tick(environ: dict[str, Any]) -> None:
            statuses: list[str] = []
            application(environ, lambda status, _: statuses.append(status))
            assert statuses == ["200 OK"]

        def stamp() -> None:
            client.script(STAMP, ["recs:bench"], [int(time.time())])

        with closing(client):
            tick(tick_environ(settings, publishes=False))  # imports and connects
            stamp()
            commands, round_trips, took, bare = 0, 0, [], []
            for _ in range(ticks):
                environ, before = tick_environ(settings, publishes=False), (redis.round_trips, postgres.round_trips)
                took.append(seconds(partial(tick, environ)))
                commands += redis.round_trips - before[0]
                round_trips += postgres.round_trips - before[1]
                bare.append(seconds(stamp))
    value, against = statistics.median(took) * 1000, statistics.median(bare) * 1000
    return [
        Figure("idle tick, Redis", commands / ticks, "commands", "one", 1, commands / ticks, "= 1"),
        Figure("idle tick, Postgres", round_trips / ticks, "round trips", "one", 1, round_trips / ticks, "= 0"),
        Figure("idle tick", value, "ms", "a script that stamps the run", against, value / against, "<= 1.5"),
    ]


@contextmanager
def _deployed(bench: Bench) -> Iterator[tuple[Services, Application, Relay, Relay]]:
    """The function as QStash calls it; what it says to Redis and to Postgres passes relays that count."""
    settings = bench.services.settings
    with relayed(address_of(settings.redis_url)) as redis, relayed(address_of(settings.database_url)) as postgres:
        settings = replace(
            settings,
            app_url="https://shop.example.com",
            qstash_current_signing_key="sig_current_0123456789abcdefghij",
            qstash_next_signing_key="sig_next_0123456789abcdefghijklm",
            redis_url=through(redis, settings.redis_url),
            database_url=through(postgres, settings.database_url),
        )
        with closing(Services(settings)) as services:
            application = signed_application(BATCH_PROCESS_PATH, batch_process, services=services)
            yield services, application, redis, postgres
