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

import numpy as np
import pgvector.psycopg as _what_vectors_need  # noqa: F401

from lib.adapters.services import Services
from lib.jobs import rank_lists as _what_a_computed_list_needs  # noqa: F401
from lib.jobs.choose_contenders import choose_contenders
from lib.settings import Settings
from local.bench.figure import Figure, seconds
from local.bench.large_site import Sizes, fill_site
from local.bench.reads import Reader, far_redis
from local.bench.stack import Bench

ROOT = Path(__file__).resolve().parents[2]
USERS = 200
FRESH_PROCESSES = 7
FILLING_SECONDS = 3_600.0


def computed_read(bench: Bench, sizes: Sizes) -> list[Figure]:
    """On a database of its own with a site of these sizes."""
    with bench.empty_site("large_site") as services, far_redis(bench.valkey.address, services.settings) as settings:
        fill(services, sizes)
        reader = Reader(settings)
        numbers = (
            np.random.default_rng(7)
            .choice(sizes.users, min(8 if bench.quick else USERS, sizes.users), replace=False)
            .tolist()
        )
        users = [f"user-{number}" for number in numbers]
        computed, cached = np.array([_read_twice(reader, user_id) for user_id in users]).T
        fresh_users = users[: 1 if bench.quick else FRESH_PROCESSES]
        fresh = [_first_reads(reader, user_id) for user_id in fresh_users]
        reader.services.close()
    return [
        _figure("computed read", float(np.median(computed)), float(np.median(cached))),
        _figure("computed read, 99 of 100", float(np.quantile(computed, 0.99)), float(np.quantile(cached, 0.99))),
        _figure("first computed read", *(statistics.median(column) for column in zip(*fresh, strict=True))),
    ]


def fill(services: Services, sizes: Sizes) -> None:
    with services.database.transaction(seconds=FILLING_SECONDS, vectors=True) as connection:
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        fill_site(connection, sizes, now=datetime.now(UTC))
    with services.database.transaction(seconds=FILLING_SECONDS) as connection:
        connection.execute("ANALYZE")
    choose_contenders(services)


def _read_twice(reader: Reader, user_id: str) -> tuple[float, float]:
    """Seconds, computed and from the cache."""
    reader.services.cache.invalidate([user_id])
    return _read(reader, "computed", user_id), _read(reader, "cache", user_id)


def _read(reader: Reader, source: str, user_id: str) -> float:
    return seconds(partial(reader.read_from, source, user_id))


def _first_reads(reader: Reader, user_id: str) -> tuple[float, float]:
    """The same, each by a process of its own."""
    reader.services.cache.invalidate([user_id])
    settings = reader.services.settings
    return _first_read(settings, "computed", user_id), _first_read(settings, "cache", user_id)


def _first_read(settings: Settings, source: str, user_id: str) -> float:
    given = json.dumps({"settings": dataclasses.asdict(settings), "user_id": user_id, "source": source})
    command = [sys.executable, "-c", "from local.bench.computed_read import in_fresh_process as run; run()"]
    done = subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True, check=True)
    return float(done.stdout)


def in_fresh_process() -> None:
    given = json.load(sys.stdin)
    reader = Reader(Settings(**given["settings"]))
    _ = reader.services.cache, reader.services.database  # which imports the clients, and connects to nothing yet
    print(_read(reader, given["source"], given["user_id"]))


def _figure(name: str, computed: float, cached: float) -> Figure:
    return Figure(name, computed * 1000, "ms", "the same from the cache", cached * 1000, computed / cached, "< 50 ms")
