"""The whole of it on this machine, with meters before Redis and Postgres: real servers, the functions in a process of
their own, and QStash delivering signed messages to them.
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg

from lib.adapters.redis_client import RedisClient
from lib.adapters.services import Services
from lib.jobs.publish_ticks import publish_ticks
from local.embedded import ServerError
from local.qstash.server import QStashServer
from local.servers import Postgres
from local.simulate.measuring.meters import Meter
from local.simulate.measuring.processes import cpu_seconds_of_group
from local.simulate.usage import Usage
from local.tether import Tethered

START_SECONDS = 30.0
DELIVERY_SECONDS = 280.0
NOBODY = "nobody"  # a user of whom nothing is known
_WRITTEN = """
SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::float8,
       coalesce(sum((n_tup_ins + n_tup_upd - n_tup_hot_upd)
                    * (SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                       JOIN pg_am m ON m.oid = c.relam WHERE i.indrelid = relid AND m.amname = 'btree')), 0)::float8,
       (pg_current_wal_insert_lsn() - '0/0')::float8
FROM pg_stat_user_tables
"""
_DISCONNECT = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE application_name = 'recommendations' AND pid <> pg_backend_pid()
"""


@dataclass
class Stage:
    """`services` are for filling: they go past the meter of Postgres. `redis` is the app's client, and metered."""

    services: Services
    redis: RedisClient
    postgres: Postgres
    qstash: QStashServer
    url: str
    meter: Meter
    functions: Tethered
    reads: "Reads"

    def publish(self, path: str, body: Mapping[str, object]) -> str:
        return self.services.qstash.publish(url=self.url + path, body=body, retries=0)

    def deliver(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Publishes a message, waits for its delivery, and answers what the function said."""
        return self.answer(self.publish(path, body))

    def answer(self, message_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + DELIVERY_SECONDS
        while time.monotonic() < deadline:
            found = {event["state"]: event for event in self.events() if event["messageId"] == message_id}
            if "FAILED" in found:
                raise ServerError(f"A delivery failed: {found['FAILED']}")
            if "DELIVERED" in found:
                answer: dict[str, Any] = json.loads(base64.b64decode(found["DELIVERED"]["responseBody"]))
                return answer
            time.sleep(0.005)
        raise ServerError("A delivery took too long.")

    def events(self) -> list[dict[str, Any]]:
        engine = self.qstash._engine
        with engine.changed:
            return list(engine.state.events)

    def deliveries(self) -> list[dict[str, Any]]:
        """One of each attempt, as it is billed."""
        return [event for event in self.events() if event["state"] in ("DELIVERED", "ERROR")]

    def wait_until_quiet(self, seconds: float) -> None:
        """Until every message that was published is delivered."""
        deadline = time.monotonic() + seconds
        while self.qstash._engine.state.message_ids():
            if time.monotonic() > deadline:
                raise ServerError("Deliveries go on for too long.")
            time.sleep(0.02)

    def publish_ticks(self) -> None:
        """Those that are left in this minute, as /api/init does."""
        publish_ticks(self.services, datetime.now(UTC))

    def stop_ticking(self, schedule_id: str) -> None:
        headers = {"Authorization": f"Bearer {self.qstash.token}"}
        httpx.delete(f"{self.qstash.url}/v2/schedules/{schedule_id}", headers=headers).raise_for_status()
        self.cancel_messages()

    def cancel_messages(self) -> None:
        """Those that wait for their time."""
        headers = {"Authorization": f"Bearer {self.qstash.token}"}
        httpx.delete(f"{self.qstash.url}/v2/messages", headers=headers).raise_for_status()

    def read(self, user_id: str) -> str:
        """One read through the endpoint; answers where the list came from."""
        return self.reads.read(user_id)

    def used(self) -> Usage:
        """Since the start. The functions' connections end by it: only then Postgres says what they wrote."""
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            connection.execute(_DISCONNECT)
            row = connection.execute(_WRITTEN).fetchone()
        assert row is not None
        counts, delivered = self.meter.read(), self.deliveries()
        waited = sum(event.get("durationMs", 0) for event in delivered) / 1000
        return Usage(
            messages=len(delivered),
            invocations=len(delivered) + self.reads.count,
            function_seconds=waited + self.reads.seconds,
            cpu_seconds=cpu_seconds_of_group(self.functions.pid),
            postgres_seconds=cpu_seconds_of_group(postmaster_of(self.postgres)),
            rows_written=row[0],
            index_writes=row[1],
            wal_bytes=row[2],
            **{name: float(count) for name, count in counts.items()},
        )

    def measure(self, work: Callable[[], object]) -> Usage:
        """What the work used. Whatever it is, the functions connect to Postgres anew in it: see `reconnection`."""
        before = self.used()
        self.read(NOBODY)
        work()
        return self.used() - before


class Reads:
    """The app's server that asks for lists; it counts how long it waits."""

    def __init__(self, url: str, key: str) -> None:
        self._client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30)
        self._lock = threading.Lock()
        self.seconds = 0.0
        self.count = 0

    def read(self, user_id: str) -> str:
        began = time.perf_counter()
        response = self._client.get("/api/recommend", params={"user_id": user_id})
        response.raise_for_status()
        with self._lock:
            self.seconds += time.perf_counter() - began
            self.count += 1
        return str(response.json()["source"])

    def close(self) -> None:
        self._client.close()


def postmaster_of(postgres: Postgres) -> int:
    return int((postgres.data / "postmaster.pid").read_text().split()[0])
