"""What of the status a person should look at, the most urgent first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from lib.core.schedules import JOBS, PROCESS_ACTIONS, REFRESH_COLD_START, UPDATE_EMBEDDINGS, WARM_CACHE
from lib.core.shards import STRAGGLING_SECONDS
from lib.text import Text

LATE = timedelta(minutes=2)  # a minute's ticks are lost where one call of the schedule fails; the next makes up for it
LARGE_BYTES = 50_000_000  # of pending actions: half of what Upstash lets a record grow to
HOURS_BETWEEN = {UPDATE_EMBEDDINGS.name: 2, WARM_CACHE.name: 1, REFRESH_COLD_START.name: 6}
FAILED = "failed: "


@dataclass(frozen=True)
class Notice:
    """`code` says for a program what it is."""

    code: str
    status: Literal["error", "warning"]
    message: Text


def notices(status: Mapping[str, Any], *, now: datetime, interval_seconds: int) -> list[Notice]:
    """Of the document of /api/status, whose parts may be null."""
    found = [
        *_of_errors(status["errors"]),
        *_of_jobs(status["jobs"] or {}, now, interval_seconds),
        *_of_shards(status),
        *_of_actions(status),
    ]
    return sorted(found, key=lambda notice: notice.status == "warning")


def _of_errors(errors: Sequence[str]) -> Iterator[Notice]:
    """A service that is away is one trouble, of however many parts."""
    for error in dict.fromkeys(errors):
        yield Notice("unreadable", "error", Text("A part can't be read: {error}", error=error))


def _of_jobs(jobs: Mapping[str, Any], now: datetime, interval_seconds: int) -> Iterator[Notice]:
    for name, job in jobs.items():
        title = JOBS[name].title
        between = timedelta(hours=HOURS_BETWEEN[name]) if name in HOURS_BETWEEN else timedelta(seconds=interval_seconds)
        if job["last_run"] is None:
            if name == PROCESS_ACTIONS.name:  # others may wait for hours at first
                message = Text("{job} never ran: open /api/init, which makes the schedules.", job=title)
                yield Notice("never_ran", "error", message)
        elif now - datetime.fromisoformat(job["last_run"]) > between + max(between, LATE):
            message = Text("{job} is overdue: see its schedule in QStash's dashboard, or open /api/init.", job=title)
            yield Notice("overdue", "error", message)
        if job["outcome"].startswith(FAILED):
            message = Text("{job} failed: {error}", job=title, error=job["outcome"].removeprefix(FAILED))
            yield Notice("failed", "error", message)


def _of_shards(status: Mapping[str, Any]) -> Iterator[Notice]:
    for name, run in (status["fan_out"] or {}).items():
        if run["stragglers"]["count"]:
            message = Text(
                "{job}: {n} of {shards} shards have stood still for over {minutes} minutes. QStash tries each again; "
                "what fails for good is in its dead letters, and the next run does the users again.",
                job=JOBS[name].title,
                n=run["stragglers"]["count"],
                shards=run["shards"],
                minutes=int(STRAGGLING_SECONDS) // 60,
            )
            yield Notice("stragglers", "warning", message)
    for name, job in (status["jobs"] or {}).items():
        if job.get("shards_left_behind"):
            message = Text(
                "{job}: {n} shards of the run before were not done when the latest began. Raise FAN_OUT_PARALLELISM.",
                job=JOBS[name].title,
                n=job["shards_left_behind"],
            )
            yield Notice("left_behind", "warning", message)


def _of_actions(status: Mapping[str, Any]) -> Iterator[Notice]:
    if status["set_aside"]:
        one = Text("1 batch failed again and again and is set aside (below).")
        many = Text("{n} batches failed again and again and are set aside (below).", n=len(status["set_aside"]))
        message = one if len(status["set_aside"]) == 1 else many
        yield Notice("set_aside", "error", message)
    if (status["pending_bytes"] or 0) > LARGE_BYTES:
        megabytes = status["pending_bytes"] // 1_000_000
        message = Text("{n} MB of actions are pending; beyond 100 MB Upstash takes no more.", n=megabytes)
        yield Notice("large", "warning", message)
    if status["dead_letters"] and status["dead_letters"]["count"]:
        one = Text("1 action could not be applied (dead letters, below).")
        many = Text("{n} actions could not be applied (dead letters, below).", n=status["dead_letters"]["count"])
        message = one if status["dead_letters"]["count"] == 1 else many
        yield Notice("dead_letters", "warning", message)
