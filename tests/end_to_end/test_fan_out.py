"""A large site's hourly and two-hourly runs, delivered by QStash to several processes at once."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from upstash_redis import Redis

from lib.adapters.redis_client import RedisClient
from lib.core.schedules import UPDATE_EMBEDDINGS, WARM_CACHE, Job
from lib.settings import Settings
from local.qstash.server import QStashServer
from tests.end_to_end.checkout import free_port
from tests.local.qstash_support import client_of
from tests.support import eventually, qstash_settings, variables_of

ROOT = Path(__file__).resolve().parents[2]
WORKERS, PARALLELISM = 5, 3
USERS, SHARD_USERS = 3_000, 300
SHARDS = USERS // SHARD_USERS
LARGE = {
    "FAN_OUT_PARALLELISM": str(PARALLELISM),
    "WARM_SHARD_USERS": str(SHARD_USERS),
    "EMBEDDINGS_SHARD_USERS": str(SHARD_USERS),
}
HELD_SHARD, HOLD = 3, 42
# What a shard notes of its progress waits as long as somebody has the lock HOLD: then its worker is in the midst of it.
HOLDING = f"""
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock({HOLD}); RETURN NEW; END';
CREATE TRIGGER hold BEFORE UPDATE ON recs_shards FOR EACH ROW
    WHEN (NEW.shard = {HELD_SHARD} AND NEW.done > OLD.done) EXECUTE FUNCTION hold()
"""
SITE = f"""
INSERT INTO content (content_id) SELECT 'item ' || n FROM generate_series(1, 40) n;
INSERT INTO user_actions (event_id, user_id, content_id, action, occurred_at, received_at)
SELECT u || '.' || n, 'user ' || u, 'item ' || 1 + (u * 7 + n * 11) % 37, 'like', now() - interval '1 hour',
       now() - interval '1 hour' FROM generate_series(1, {USERS}) u, generate_series(1, 3) n
"""


class Clock:
    """Of QStash; what it would wait for can be had at once."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Engine:
    """The processes that serve the functions, their services, and what they noted."""

    settings: Settings
    qstash: QStashServer
    clock: Clock
    record: Path
    output: Path
    workers: "subprocess.Popen[bytes]" = field(repr=False)

    def send(self, job: Job, **fields: Any) -> None:
        with client_of(self.qstash) as client:
            client.message.publish_json(url=self.settings.app_url + job.path, body={**job.body, **fields}, retries=3)

    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.record.read_text().splitlines()]

    def shards_begun(self) -> list[int]:
        return [call["body"]["shard"] for call in self.calls() if call["what"] == "begin" and "shard" in call["body"]]

    def states(self) -> list[str]:
        """What happened to all messages."""
        token = {"Authorization": f"Bearer {self.qstash.token}"}
        events = httpx.get(f"{self.qstash.url}/v2/events?count=1000", headers=token).json()["events"]
        return [event["state"] for event in events]

    def count_messages(self) -> int:
        return self.states().count("CREATED")

    def count_waiting(self) -> int:
        """Messages that are still to be delivered."""
        states = self.states()
        return states.count("CREATED") - states.count("DELIVERED") - states.count("FAILED")

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.settings.database_url) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def count_lists(self) -> int:
        with Redis(self.settings.redis_url, self.settings.redis_token) as redis:
            keys: list[str] = redis.keys("recommend:user:*")
            return len(keys)

    def count_stores(self) -> int:
        """Lists that any invocation says to have stored."""
        redis = RedisClient(self.settings.redis_url, self.settings.redis_token)
        stored = redis.execute("HGET", "recs:totals", "users_warmed")
        redis.close()
        return int(stored or 0)

    def status(self) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.settings.admin_api_key}"}
        status: dict[str, Any] = httpx.get(f"{self.settings.app_url}/api/status", headers=headers, timeout=30).json()
        return status

    def wait_until_done(self, job: Job) -> dict[str, Any]:
        """What the status says of the run then."""
        unended = f"SELECT count(*) FROM recs_shards WHERE job = '{job.name}' AND done_at IS NULL"
        begun = f"SELECT count(*) FROM recs_shards WHERE job = '{job.name}'"
        eventually(lambda: self.query(begun) != [(0,)] and self.query(unended) == [(0,)], timeout=120)
        eventually(lambda: self.count_waiting() == 0, timeout=30)
        run: dict[str, Any] = self.status()["fan_out"][job.name]
        return run


@contextmanager
def serving(settings: Settings, folder: Path, variables: dict[str, str]) -> Iterator[Engine]:
    """Several processes behind one port."""
    clock, port = Clock(), free_port()
    record, output = folder / "record", folder / "output.txt"
    record.touch()
    with QStashServer(clock=clock) as qstash, output.open("wb") as file:
        settings = dataclasses.replace(
            settings,
            app_url=f"http://127.0.0.1:{port}",
            **qstash_settings(qstash),
        )
        command = ["gunicorn", "--workers", str(WORKERS), "--threads", "2", "--timeout", "300"]
        address = f"127.0.0.1:{port}"
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "RECORD": str(record), **variables}
        with subprocess.Popen(
            [sys.executable, "-m", *command, "--bind", address, "tests.end_to_end.recorded_app:app"],
            cwd=ROOT,
            env=environment | variables_of(settings) | {"OPENBLAS_NUM_THREADS": "1"},
            stdout=file,
            stderr=file,
            start_new_session=True,
        ) as process:
            try:
                eventually(lambda: process.poll() is not None or is_up(settings), 60)
                assert process.poll() is None, output.read_text()
                record.write_text("")
                yield Engine(settings, qstash, clock, record, output, process)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def is_up(settings: Settings) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(settings.app_url, timeout=5).status_code == 404
    return False


@pytest.fixture
def engine(settings: Settings, tmp_path: Path) -> Iterator[Engine]:
    """Of a site that is large for these sizes."""
    with serving(settings, tmp_path, LARGE) as engine:
        engine.query(SITE)
        yield engine


@contextmanager
def held(engine: Engine) -> Iterator[Callable[[], None]]:
    """One shard doesn't get on until this ends, or what it yields is called."""
    engine.query(HOLDING)
    with psycopg.connect(engine.settings.database_url) as holder:
        holder.execute(f"SELECT pg_advisory_xact_lock({HOLD})".encode())
        yield holder.rollback


def most_at_once(calls: Sequence[dict[str, Any]]) -> int:
    """Of calls for shards."""
    active = most = 0
    for call in calls:
        if "shard" in call["body"]:
            active += 1 if call["what"] == "begin" else -1
            most = max(most, active)
    return most


def test_several_processes_warm_every_user_once_and_no_more_at_once_than_allowed(engine: Engine) -> None:
    engine.send(WARM_CACHE)
    run = engine.wait_until_done(WARM_CACHE)
    assert (run["shards"], run["shards_done"], run["users_done"]) == (SHARDS, SHARDS, USERS)
    assert (engine.count_lists(), engine.count_stores()) == (USERS, USERS)
    assert sorted(engine.shards_begun()) == list(range(SHARDS))
    processes = {call["process"] for call in engine.calls() if "shard" in call["body"]}
    assert len(processes) > 1
    assert 1 < most_at_once(engine.calls()) <= PARALLELISM
    assert engine.count_messages() == 1 + SHARDS


def test_a_coordinator_that_is_delivered_several_times_doubles_nothing(engine: Engine) -> None:
    for _ in range(4):
        engine.send(WARM_CACHE)
    engine.wait_until_done(WARM_CACHE)
    engine.send(WARM_CACHE)  # as a retry that comes when all is done
    engine.wait_until_done(WARM_CACHE)
    assert engine.count_messages() == 5 + SHARDS
    assert sorted(engine.shards_begun()) == list(range(SHARDS))
    assert engine.count_stores() == USERS


def test_a_worker_that_is_killed_in_the_midst_of_a_shard_is_made_up_for(engine: Engine) -> None:
    with held(engine) as release:
        engine.send(WARM_CACHE)
        others = "SELECT count(*) FROM recs_shards WHERE done_at IS NOT NULL"
        eventually(lambda: engine.query(others) == [(SHARDS - 1,)], timeout=60)
        assert engine.count_lists() > USERS - SHARD_USERS, "it has done some of its users"
        [victim] = [call["process"] for call in engine.calls() if call["body"].get("shard") == HELD_SHARD]
        os.kill(victim, signal.SIGKILL)
        release()
        eventually(lambda: not engine.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"))
    assert engine.query(f"SELECT done FROM recs_shards WHERE shard = {HELD_SHARD}") == [(0,)]
    eventually(lambda: "ERROR" in engine.states())
    engine.clock.ahead += 20  # QStash tries again after 12 seconds
    run = engine.wait_until_done(WARM_CACHE)
    assert (run["users_done"], engine.count_lists()) == (USERS, USERS)
    assert engine.shards_begun().count(HELD_SHARD) == 2


def test_every_user_is_embedded_and_the_log_counts_as_read_at_the_end_alone(engine: Engine) -> None:
    read_until = "SELECT count(*) FROM recs_state WHERE name = 'embeddings_read_until'"
    with held(engine) as release:
        engine.send(UPDATE_EMBEDDINGS)
        others = "SELECT count(*) FROM recs_shards WHERE done_at IS NOT NULL"
        eventually(lambda: engine.query(others) == [(SHARDS - 1,)], timeout=120)
        assert engine.query(read_until) == [(0,)]
        release()
        run = engine.wait_until_done(UPDATE_EMBEDDINGS)
    assert (run["users"], run["users_done"]) == (USERS, USERS)
    assert engine.query(read_until) == [(1,)]
    up_to_date = (
        "SELECT count(*) FROM user_embeddings e JOIN recs_models m ON m.version = e.model_version WHERE m.active"
    )
    assert engine.query(up_to_date) == [(USERS,)]
    assert 1 < most_at_once(engine.calls()) <= PARALLELISM


def test_a_small_site_sends_no_message_of_its_own(settings: Settings, tmp_path: Path) -> None:
    with serving(settings, tmp_path, {}) as engine:
        engine.query(SITE)
        engine.query("DELETE FROM user_actions WHERE user_id > 'user 25'")
        for job in (WARM_CACHE, UPDATE_EMBEDDINGS):
            engine.send(job)
        eventually(lambda: engine.count_waiting() == 0, timeout=60)
        assert engine.count_messages() == 2
        assert engine.count_lists() == engine.query("SELECT count(DISTINCT user_id) FROM user_actions")[0][0]
        assert engine.status()["fan_out"] == {}
