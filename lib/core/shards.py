"""A job that is too much for one invocation, in shards: messages to our own endpoint, each of some of the users.

A run's number is a time in unix seconds. The first of a slot (an hour, say) bears the slot's, so that a coordinator
that is called again, or twice at once, means the same run.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lib.core.schedules import MOST_PARTS, PREFIX, Job, host_of, whole

MOST_SHARDS = 1_000_000
CLOCK_LEEWAY_SECONDS = 60  # a clock that is so much behind QStash's must not take the hour for the one before
# Without progress: longer than an invocation may take for any chunk of users, and than QStash's first two retries wait.
STRAGGLING_SECONDS = 300.0


@dataclass(frozen=True)
class Shard:
    """One invocation's work on a shard: parts count from 1, where one had no time for all of it."""

    run: int
    number: int
    part: int = 1

    @property
    def next(self) -> "Shard | None":
        """None after the last that a shard may have: the next run goes on."""
        return replace(self, part=self.part + 1) if self.part < MOST_PARTS else None

    @property
    def body(self) -> dict[str, object]:
        body: dict[str, object] = {"run": self.run, "shard": self.number}
        return body | ({"part": self.part} if self.part > 1 else {})


def shard_of(body: Mapping[str, object], now: float) -> Shard | None:
    """Which shard a message asks for; None where what it says makes no sense."""
    run, number = run_of(body, now), whole(body.get("shard"), 0, MOST_SHARDS - 1)
    part = whole(body.get("part", 1), 1, MOST_PARTS)
    return None if run is None or number is None or part is None else Shard(run, number, part)


def run_of(body: Mapping[str, object], now: float) -> int | None:
    """Which run a message asks for; None where what it says makes no sense."""
    return whole(body.get("run"), 1, int(now) + 86_400)


def shard_deduplication_id(app_url: str, job: Job, shard: Shard) -> str:
    return f"{PREFIX}.{host_of(app_url)}.{job.name}.{shard.run}.{shard.number}.{shard.part}"


def flow_key(app_url: str) -> str:
    """One for the shards of every job: all of them use the same Postgres."""
    return f"{PREFIX}.{host_of(app_url)}.shards"


def slot_of(at: float, period_seconds: int) -> int:
    """When the slot began, or is about to begin, that a coordinator called at `at` means."""
    return int(at + CLOCK_LEEWAY_SECONDS) // period_seconds * period_seconds


@dataclass(frozen=True)
class LatestRun:
    """The latest run of a job that was split into shards."""

    run: int
    is_done: bool


def run_to_do(asked: int, latest: LatestRun | None, period_seconds: int) -> tuple[int, bool]:
    """The run that a coordinator works on that was asked for `asked`, and whether it is the latest one: then nothing is
    split again. That is so where this very run was begun, or one of the same slot that is not done yet."""
    slot = slot_of(asked, period_seconds)
    if latest is None or slot_of(latest.run, period_seconds) < slot:
        return slot, False
    if latest.run >= asked or not latest.is_done:
        return latest.run, True
    return asked, False


@dataclass(frozen=True)
class ShardProgress:
    """A shard that is not done. `touched_at` (unix seconds): when it was begun or last got on; None before."""

    number: int
    users: int
    users_done: int
    touched_at: float | None


@dataclass(frozen=True)
class RunProgress:
    """How far a run has come; times in unix seconds. `ended_at` is None as long as a shard is not done."""

    run: int
    begun_at: float
    touched_at: float
    ended_at: float | None
    shards: int
    users: int
    users_done: int
    left: Sequence[ShardProgress]


def stragglers(run: RunProgress, now: float) -> list[ShardProgress]:
    """The shards that nobody seems to be working on, the longest first: begun and no further since long. Those that
    were never begun wait for their turn as long as any other gets on."""
    waits_for_nobody = now - max(run.touched_at, run.begun_at) > STRAGGLING_SECONDS
    found = [
        shard
        for shard in run.left
        if (waits_for_nobody if shard.touched_at is None else now - shard.touched_at > STRAGGLING_SECONDS)
    ]
    return sorted(found, key=lambda shard: (shard.touched_at or math.inf, shard.number))
