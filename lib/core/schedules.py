"""What must be scheduled, and which ticks a minute holds.

QStash's finest cron is a minute. A shorter interval works like this: one schedule fires at second 0 of every
minute; its call does that tick and publishes the minute's others with absolute times. Each has a deduplication
id made of its slot, so a repeated call publishes nothing twice.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from lib.text import Text

PREFIX = "recs"
DAYS_A_MONTH = 30
MOST_PARTS = 100  # of a run: a message that went on for ever would cost for ever
BATCH_PROCESS_PATH = "/api/actions/batch-process"
WARM_PATH = "/api/recommend/cache/warm"
REFRESH_PATH = "/api/recommend/cold-start/refresh"


@dataclass(frozen=True)
class Job:
    """One of our jobs: where it is called, with which body, and what a person calls it."""

    name: str
    path: str
    title: Text

    @property
    def body(self) -> dict[str, object]:
        return {"action": self.name}


PROCESS_ACTIONS = Job("process_user_actions", BATCH_PROCESS_PATH, Text("User action processing"))
UPDATE_EMBEDDINGS = Job("process_user_embeddings", BATCH_PROCESS_PATH, Text("User embedding update"))
WARM_CACHE = Job("warm_cache", WARM_PATH, Text("Cache warming"))
REFRESH_COLD_START = Job("refresh_cold_start", REFRESH_PATH, Text("Cold-start refresh"))
JOBS = {job.name: job for job in (PROCESS_ACTIONS, UPDATE_EMBEDDINGS, WARM_CACHE, REFRESH_COLD_START)}


@dataclass(frozen=True)
class Schedule:
    """A schedule as QStash should hold it, and what a person is told of it. `cron` has five fields, in UTC."""

    schedule_id: str
    cron: str
    destination: str
    body: Mapping[str, object]
    retries: int
    title: Text
    every: Text
    messages_a_day: int


def wanted_schedules(app_url: str, *, interval_seconds: int) -> tuple[Schedule, ...]:
    """The four schedules of the deployment at `app_url`."""
    host = host_of(app_url)
    ticks = 86_400 // interval_seconds
    tick_body = PROCESS_ACTIONS.body | ({"publish_ticks": True} if interval_seconds < 60 else {})
    rows = (
        (UPDATE_EMBEDDINGS, "0 */2 * * *", UPDATE_EMBEDDINGS.body, 3, Text("every {n} hours", n=2), 12),
        # One retry: it publishes only the slots still ahead, and the next minute makes up for the rest.
        (PROCESS_ACTIONS, tick_cron(interval_seconds), tick_body, 1, every_words(interval_seconds), ticks),
        (WARM_CACHE, "0 * * * *", WARM_CACHE.body, 3, Text("every hour"), 24),
        (REFRESH_COLD_START, "0 */6 * * *", REFRESH_COLD_START.body, 3, Text("every {n} hours", n=6), 4),
    )
    return tuple(
        Schedule(f"{PREFIX}.{host}.{job.name}", cron, app_url + job.path, body, retries, job.title, every, messages)
        for job, cron, body, retries, every, messages in rows
    )


def host_of(app_url: str) -> str:
    """The host (and port) as schedule and deduplication ids may spell it: letters, digits, hyphen, point."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", urlsplit(app_url).netloc)


def owner_of(schedule_id: str) -> str | None:
    """The host that a schedule id of ours names; None for somebody else's schedule."""
    match = re.fullmatch(rf"{PREFIX}\.(.+)\.({'|'.join(JOBS)})", schedule_id)
    return match[1] if match else None


def interval_problem(seconds: int) -> Text | None:
    """Why the ticks can't come every so many seconds; None where they can."""
    if seconds < 60 and (seconds < 1 or 60 % seconds):
        return Text("must divide a minute evenly: 1, 2, 3, 4, 5, 6, 10, 12, 15, 20 or 30 seconds")
    if seconds > 60 and (seconds % 60 or 3_600 % seconds or seconds > 1_800):
        return Text(
            "must be whole minutes that divide an hour: 60, 120, 180, 240, 300, 360, 600, 720, 900, 1200 or 1800"
        )
    return None


def tick_cron(interval_seconds: int) -> str:
    """Five fields. Six, with seconds, are what people try first: QStash refuses them."""
    minutes = interval_seconds // 60
    return f"*/{minutes} * * * *" if minutes > 1 else "* * * * *"


def every_words(interval_seconds: int) -> Text:
    minutes = interval_seconds // 60
    if minutes:
        return Text("every minute") if minutes == 1 else Text("every {n} minutes", n=minutes)
    return Text("every second") if interval_seconds == 1 else Text("every {n} seconds", n=interval_seconds)


def slots_ahead(now: float, *, interval_seconds: int) -> list[int]:
    """The times (unix seconds) of the ticks that are still ahead in the minute of the next tick.

    Second 0 is the schedule's own. Looking at the minute of the *next* tick lets a clock that is up to one
    interval behind QStash's publish the minute that has just begun there.
    """
    next_slot = math.floor(now / interval_seconds + 1) * interval_seconds
    minute = next_slot - next_slot % 60
    return [slot for slot in range(minute + interval_seconds, minute + 60, interval_seconds) if slot > now]


def deduplication_id(app_url: str, *, interval_seconds: int, slot: int) -> str:
    """Without a colon, which QStash refuses."""
    return f"{PREFIX}.{host_of(app_url)}.{PROCESS_ACTIONS.name}.{interval_seconds}.{slot}"


@dataclass(frozen=True)
class Part:
    """One invocation of a run that goes on over several: `run` is when the first one began (unix seconds), and numbers
    count from 1. A continuation's body says which it is."""

    run: int
    number: int = 1

    @property
    def next(self) -> "Part | None":
        """None after the last that a run may have: then the next run goes on."""
        return Part(self.run, self.number + 1) if self.number < MOST_PARTS else None

    @property
    def body(self) -> dict[str, object]:
        return {"run": self.run, "part": self.number}


def part_of(body: Mapping[str, object], now: float) -> Part | None:
    """Which part a message asks for: a run's first where it doesn't say, None where what it says makes no sense."""
    if "run" not in body and "part" not in body:
        return Part(int(now))
    run, number = whole(body.get("run"), 1, int(now) + 86_400), whole(body.get("part"), 1, MOST_PARTS)
    return None if run is None or number is None else Part(run, number)


def whole(value: object, low: int, high: int) -> int | None:
    """The value where it is a whole number within these bounds; JSON's true is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high else None


def part_deduplication_id(app_url: str, part: Part) -> str:
    return f"{PREFIX}.{host_of(app_url)}.{UPDATE_EMBEDDINGS.name}.{part.run}.{part.number}"


def messages_a_day(interval_seconds: int) -> int:
    """Deliveries a day of all four schedules: 17,320 at five seconds."""
    return 86_400 // interval_seconds + 12 + 24 + 4


def monthly_cost(interval_seconds: int) -> dict[str, float]:
    """What the ticks cost in 30 days, idle: QStash at $1 for 100,000 messages, one Redis command a tick."""
    messages = messages_a_day(interval_seconds)
    return {
        "messages_a_day": messages,
        "messages_a_month": messages * DAYS_A_MONTH,
        "qstash_dollars_a_month": round(messages * DAYS_A_MONTH / 100_000, 2),
        "redis_commands_a_month": 86_400 // interval_seconds * DAYS_A_MONTH,
    }
