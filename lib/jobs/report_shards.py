"""How far the latest runs have come that were split into shards, for the status."""

from datetime import UTC, datetime
from typing import Any

from lib.adapters.database import Connection
from lib.adapters.shard_store import read_progress
from lib.core.shards import RunProgress, stragglers

SHOWN = 10  # stragglers, the longest


def report_shards(connection: Connection, now: datetime) -> dict[str, Any]:
    """By job, without those that one invocation has time for."""
    return {job: _run(run, now.timestamp()) for job, run in read_progress(connection).items()}


def _run(run: RunProgress, now: float) -> dict[str, Any]:
    straggling = stragglers(run, now)
    return {
        "run": run.run,
        "begun_at": _iso(run.begun_at),
        "ended_at": _iso(run.ended_at),
        "shards": run.shards,
        "shards_done": run.shards - len(run.left),
        "users": run.users,
        "users_done": run.users_done,
        "stragglers": {
            "count": len(straggling),
            "longest": [
                {"shard": each.number, "users_left": each.users - each.users_done, "since": _iso(each.touched_at)}
                for each in straggling[:SHOWN]
            ],
        },
    }


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
