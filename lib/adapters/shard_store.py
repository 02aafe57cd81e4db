"""The shards of the jobs' latest runs, a row each: who is left, how far each has come (lib/core/shards.py)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from lib.adapters.database import QUERIES, Connection
from lib.core.shards import LatestRun, RunProgress, Shard, ShardProgress

Users = Sequence[str | None]  # in place of who was forgotten stands None


@dataclass(frozen=True)
class Split:
    """How the users whom a statement finds are split where they are more than `shard_users`. `begun_at`: when the run
    began, before the statement."""

    job: str
    run: int
    shard_users: int
    begun_at: datetime


def read_or_split(connection: Connection, query: bytes, split: Split, parameters: dict[str, object]) -> list[str]:
    """The users whom a statement with the fragment `split` finds. Where they are more than one shard may hold: none,
    and the shards are stored. Raises DatabaseRefuses where another transaction has stored some of this run."""
    return [user_id for (user_id,) in connection.execute(query, {**parameters, **asdict(split)})]


def read_latest_run(connection: Connection, job: str) -> LatestRun | None:
    row = connection.execute(QUERIES["latest_run"], {"job": job}).fetchone()
    return LatestRun(*row) if row else None


def delete_runs_before(connection: Connection, job: str, run: int) -> int:
    """Answers how many of their shards were not done."""
    row = connection.execute(QUERIES["delete_runs"], {"job": job, "run": run}).fetchone()
    return int(row[0]) if row else 0


def count_shards(connection: Connection, job: str, run: int) -> tuple[int, int]:
    """How many shards a run has, and how many users are left in them."""
    row = connection.execute(QUERIES["count_shards"], {"job": job, "run": run}).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def read_unbegun_shards(connection: Connection, job: str, run: int) -> list[int]:
    """The numbers of those that no invocation has begun."""
    return [number for (number,) in connection.execute(QUERIES["unbegun_shards"], {"job": job, "run": run})]


def begin_shard(connection: Connection, job: str, shard: Shard) -> tuple[int, Users] | None:
    """How many of its users are done, and who is left; None where it is done or its run is no more."""
    row = connection.execute(QUERIES["begin_shard"], _key(job, shard)).fetchone()
    return (row[0], row[1]) if row else None


def advance_shard(connection: Connection, job: str, shard: Shard, *, done: int) -> bool:
    """Notes that so many of its users are done; answers whether it is still to be worked on."""
    return connection.execute(QUERIES["advance_shard"], {**_key(job, shard), "done": done}).fetchone() is not None


def end_shard(connection: Connection, job: str, shard: Shard) -> datetime | None:
    """Notes that all of its users are done, who go. Where it was the last of its run: when that began."""
    connection.execute(QUERIES["lock_run"], {"job": job})
    ended = connection.execute(QUERIES["end_shard"], _key(job, shard)).fetchone()
    row = connection.execute(QUERIES["is_run_done"], {"job": job, "run": shard.run}).fetchone()
    if ended is None or row is None or not row[0]:
        return None
    begun_at: datetime = ended[0]
    return begun_at


def forget_in_shards(connection: Connection, user_id: str) -> None:
    connection.execute(QUERIES["forget_in_shards"], {"user_id": user_id})


def read_progress(connection: Connection) -> dict[str, RunProgress]:
    """Of each job whose latest run was split."""
    found = {}
    for job, run, begun_at, touched_at, ended_at, shards, users, done in connection.execute(QUERIES["latest_runs"]):
        left = connection.cursor().execute(QUERIES["shards_left"], {"job": job, "run": run})
        rows = [ShardProgress(*row) for row in left]
        found[job] = RunProgress(run, begun_at, touched_at, ended_at, shards, users, done, rows)
    return found


def _key(job: str, shard: Shard) -> dict[str, object]:
    return {"job": job, "run": shard.run, "shard": shard.number}
