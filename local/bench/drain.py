"""Actions a second from the Redis list to the committed log and popularity.

The limit is the same durable work without our logic: the same claims, invalidations and acknowledgements through the
same client, and the very statements that our drain has executed, with the same parameters, on a database in the same
state. None of them waits for another one's answer, so a transaction's share two round trips.
"""

import json
import statistics
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg

from lib.adapters.database import QUERIES
from lib.adapters.redis_client import RedisClient
from lib.adapters.services import Services
from lib.jobs.choose_contenders import choose_contenders
from lib.jobs.process_actions import process_user_actions
from lib.jobs.run import Deadline
from local.bench.app_traffic import add_content, pushed_elements
from local.bench.figure import Figure, seconds
from local.bench.recorded import RecordingDatabase, Transaction
from local.bench.relay import address_of, relayed, through
from local.bench.stack import Bench
from local.bench.tutorial import Tutorial

LOCKS = {QUERIES["lock_log"], QUERIES["share_log"]}


@dataclass(frozen=True)
class Sizes:
    """Actions that are drained in a repeat; a tutorial's are fewer, for it is slow."""

    actions: int
    tutorial: int
    repeats: int


def drain(bench: Bench) -> list[Figure]:
    sizes = Sizes(300, 20, 1) if bench.quick else Sizes(20_000, 150, 5)
    with ExitStack() as stack:
        names = ("drained", "drained_at_the_limit", "drained_by_a_tutorial")
        ours, limit, other = (stack.enter_context(bench.empty_site(name)) for name in names)
        elements = pushed_elements(sizes.actions, seed=0, now=datetime.now(UTC))
        for site in (ours, limit, other):
            _begin(bench, site, elements)
        times = _times(bench, ours, limit, other, sizes)
        commands, round_trips = _counted(bench, ours, pushed_elements(sizes.actions, seed=99, now=datetime.now(UTC)))
    value, against = (sizes.actions / statistics.median(column) for column in times[:2])
    taught = sizes.tutorial / statistics.median(times[2])
    return [
        Figure("drain", value, "actions/s", "the same durable work alone", against, value / against, ">= 0.7"),
        Figure("drain, and a tutorial's", value, "actions/s", "two queries an action", taught, value / taught, ">= 20"),
        Figure("drain, Redis", commands, "commands a batch", "one", 1, commands, "<= 4"),
        Figure("drain, Postgres", round_trips, "round trips a batch", "one", 1, round_trips, "<= 7"),
    ]


def _times(bench: Bench, ours: Services, limit: Services, other: Services, sizes: Sizes) -> list[list[float]]:
    """Seconds of each repeat: our drain, the limit, the tutorial's. They take turns, and so meet the same noise."""
    now, settings = datetime.now(UTC), bench.services.settings
    with ExitStack() as stack:
        recording = stack.enter_context(closing(RecordingDatabase(ours.settings.database_url, max_connections=1)))
        recorded = Services(ours.settings)
        recorded._database = recording
        connection = stack.enter_context(psycopg.connect(limit.settings.database_url, prepare_threshold=None))
        redis = stack.enter_context(closing(RedisClient(settings.redis_url, settings.redis_token)))
        tutorial = stack.enter_context(closing(Tutorial(redis, other.settings.database_url)))
        rows: list[list[float]] = []
        for repeat in range(1, sizes.repeats + 1):
            elements = pushed_elements(sizes.actions, seed=repeat, now=now)
            recording.transactions.clear()
            bench.push_elements(elements)
            row = [seconds(lambda: process_user_actions(recorded, Deadline.after(600)))]
            bench.push_elements(elements)
            users = [_users_of(transaction) for transaction in recording.transactions]
            prepared = list(zip(recording.transactions, users, strict=True))
            row += [seconds(partial(_drain_at_the_limit, limit, connection, prepared))]
            bench.push_elements(elements[: sizes.tutorial])
            rows.append([*row, seconds(tutorial.drain)])
    return [list(column) for column in zip(*rows, strict=True)]


def _begin(bench: Bench, site: Services, elements: list[bytes]) -> None:
    """As a site that has run for a while: it has content, a log, popularity and contenders."""
    with site.database.transaction() as connection:
        add_content(connection)
    bench.push_elements(elements)
    process_user_actions(site, Deadline.after(600))
    choose_contenders(site)


def _drain_at_the_limit(
    site: Services, connection: "psycopg.Connection[tuple[Any, ...]]", prepared: list[tuple[Transaction, list[str]]]
) -> None:
    left = iter(prepared)
    while (claim := site.queue.claim()).batch_id:
        transaction, user_ids = next(left)
        with connection.transaction(), connection.pipeline():
            cursors = []
            for query, parameters in transaction:
                if query not in LOCKS:
                    cursors.append(connection.execute(query, parameters, binary=True))
        for cursor in cursors:
            if cursor.description:
                cursor.fetchall()
        site.cache.invalidate(user_ids)
        site.queue.acknowledge(claim.batch_id, [], at=0.0)


def _users_of(transaction: Transaction) -> list[str]:
    """Whose lists go; ids as these are quoted in a database's array as in JSON."""
    arrays = [parameters["user_ids"] for query, parameters in transaction if query == QUERIES["insert_actions"]]
    return sorted({user_id for array in arrays for user_id in json.loads(f"[{array[1:-1]}]")})


def _counted(bench: Bench, site: Services, elements: list[bytes]) -> tuple[float, float]:
    """Redis commands and Postgres round trips a batch, the last, empty claim and the report at the end included."""
    settings = site.settings
    with relayed(address_of(settings.redis_url)) as redis, relayed(address_of(settings.database_url)) as postgres:
        urls: dict[str, Any] = {
            "redis_url": through(redis, settings.redis_url),
            "database_url": through(postgres, settings.database_url),
        }
        with closing(Services(replace(settings, **urls))) as counted:
            bench.push_elements(elements[:1])
            process_user_actions(counted, Deadline.after(600))  # connects
            before = redis.round_trips, postgres.round_trips
            bench.push_elements(elements)
            process_user_actions(counted, Deadline.after(600))
            batches = -(-len(elements) // settings.claim_max_elements)
            return (redis.round_trips - before[0]) / batches, (postgres.round_trips - before[1]) / batches
