"""A list that is computed, against the same list from the cache, through the same stack: in a warm process, and as the
first that a fresh process reads once it has imported everything."""

import dataclasses
import json
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pgvector.psycopg as _what_vectors_need  # noqa: F401
import psycopg

from lib.adapters.schema import migrate
from lib.adapters.services import Services
from lib.jobs import rank_lists as _what_a_computed_list_needs  # noqa: F401
from lib.jobs.choose_contenders import choose_contenders
from lib.jobs.recommend import recommend
from lib.settings import Settings
from local.bench.figure import Figure, seconds
from local.bench.large_site import Sizes, fill_site
from local.servers import Postgres

ROOT = Path(__file__).resolve().parents[2]
USERS = 200
FRESH_PROCESSES = 7
FILLING_SECONDS = 3_600.0


def computed_read(services: Services, postgres: Postgres, sizes: Sizes) -> list[Figure]:
    """On a database of its own with a site of these sizes."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE large_site")
    settings = dataclasses.replace(services.settings, database_url=postgres.database_url("large_site"))
    large = Services(settings)
    _fill(large, sizes)
    numbers = np.random.default_rng(7).choice(sizes.users, min(USERS, sizes.users), replace=False).tolist()
    users = [f"user-{number}" for number in numbers]
    pairs = [_read_twice(large, user_id) for user_id in users]
    computed, cached = np.array(pairs).T
    fresh = [_first_reads(large, settings, user_id) for user_id in users[:FRESH_PROCESSES]]
    large.close()
    return [
        _figure("computed read", float(np.median(computed)), float(np.median(cached))),
        _figure("computed read, 99 of 100", float(np.quantile(computed, 0.99)), float(np.quantile(cached, 0.99))),
        _figure("first computed read", *(statistics.median(column) for column in zip(*fresh, strict=True))),
    ]


def _fill(services: Services, sizes: Sizes) -> None:
    migrate(services.database)
    with services.database.transaction(seconds=FILLING_SECONDS, vectors=True) as connection:
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        fill_site(connection, sizes, now=datetime.now(UTC))
    with services.database.transaction() as connection:
        connection.execute("ANALYZE")
    choose_contenders(services)


def _read_twice(services: Services, user_id: str) -> tuple[float, float]:
    """Seconds, computed and from the cache."""
    services.cache.invalidate([user_id])
    return _read(services, user_id, "computed"), _read(services, user_id, "cache")


def _read(services: Services, user_id: str, source: str) -> float:
    read = partial(recommend, services, user_id=user_id, n=20, language=None, now=datetime.now(UTC))
    documents: list[dict[str, Any]] = []
    took = seconds(lambda: documents.append(read()))
    assert documents[0]["source"] == source
    return took


def _first_reads(services: Services, settings: Settings, user_id: str) -> tuple[float, float]:
    """The same, each by a process of its own."""
    services.cache.invalidate([user_id])
    return _first_read(settings, user_id, "computed"), _first_read(settings, user_id, "cache")


def _first_read(settings: Settings, user_id: str, source: str) -> float:
    given = json.dumps({"settings": dataclasses.asdict(settings), "user_id": user_id, "source": source})
    command = [sys.executable, "-c", "from local.bench.computed_read import in_fresh_process as run; run()"]
    done = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True, check=True)
    return float(done.stdout)


def in_fresh_process() -> None:
    given = json.load(sys.stdin)
    services = Services(Settings(**given["settings"]))
    _ = services.cache, services.database  # which imports the clients, and connects to nothing yet
    print(_read(services, given["user_id"], given["source"]))


def _figure(name: str, computed: float, cached: float) -> Figure:
    return Figure(name, computed * 1000, "ms", "the same from the cache", cached * 1000, computed / cached, "< 50 ms")
