"""What of the status a person should look at, the most urgent first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lib.core.schedules import JOBS, PROCESS_ACTIONS, REFRESH_COLD_START, UPDATE_EMBEDDINGS, WARM_CACHE

LATE = timedelta(minutes=2)  # a minute's ticks are lost where one call of the schedule fails; the next makes up for it
LARGE_BYTES = 50_000_000  # of pending actions: half of what Upstash lets a record grow to
HOURS_BETWEEN = {UPDATE_EMBEDDINGS.name: 2, WARM_CACHE.name: 1, REFRESH_COLD_START.name: 6}


@dataclass(frozen=True)
class Notice:
    """`words` with {placeholders} for `values`: `code` says which it is, for a program."""

    code: str
    words: str
    values: Mapping[str, object]

    @property
    def message(self) -> str:
        return self.words.format(**self.values)


def notices(status: Mapping[str, Any], *, now: datetime, interval_seconds: int) -> list[Notice]:
    """Of the document of /api/status, whose parts may be null."""
    return [
        *(Notice("unreadable", "A part can't be read: {error}", {"error": error}) for error in status["errors"]),
        *_of_jobs(status["jobs"] or {}, now, interval_seconds),
        *_of_actions(status),
    ]


def _of_jobs(jobs: Mapping[str, Any], now: datetime, interval_seconds: int) -> Iterator[Notice]:
    for name, job in jobs.items():
        title = JOBS[name].title.lower()
        between = timedelta(hours=HOURS_BETWEEN[name]) if name in HOURS_BETWEEN else timedelta(seconds=interval_seconds)
        if job["last_run"] is None:
            if name == PROCESS_ACTIONS.name:  # others may wait for hours at first
                yield Notice("never_ran", "The {title} never ran: open /api/init.", {"title": title})
        elif now - datetime.fromisoformat(job["last_run"]) > between + max(between, LATE):
            words = "The {title} is overdue, last run {at}: see QStash's dashboard, and open /api/init."
            yield Notice("overdue", words, {"title": title, "at": job["last_run"]})
        if job["outcome"].startswith("failed"):
            yield Notice("failed", "The {title} {outcome}", {"title": title, "outcome": job["outcome"]})


def _of_actions(status: Mapping[str, Any]) -> Iterator[Notice]:
    if status["set_aside"]:
        words = "{n} batches failed again and again and are set aside."
        yield Notice("set_aside", words, {"n": len(status["set_aside"])})
    if (status["pending_bytes"] or 0) > LARGE_BYTES:
        words = "{megabytes} MB of actions are pending; beyond 100 MB Upstash takes no more."
        yield Notice("large", words, {"megabytes": status["pending_bytes"] // 1_000_000})
    if status["dead_letters"] and status["dead_letters"]["count"]:
        words = "{n} actions could not be applied and are dead letters."
        yield Notice("dead_letters", words, {"n": status["dead_letters"]["count"]})
