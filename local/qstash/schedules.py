"""Schedules: what each one is, how they are kept, and which are due."""

import re
import secrets
from dataclasses import dataclass, field

from local.qstash.cron import next_run
from local.qstash.errors import Refused, bad_request, not_found
from local.qstash.messages import Draft

_ID = re.compile(r"[A-Za-z0-9._-]+")


@dataclass
class Schedule:
    """A draft that becomes a message whenever its cron says so. Times are unix seconds."""

    id: str
    cron: str
    draft: Draft
    created_at: float
    next_run: float
    last_run: float | None = None
    paused: bool = False
    last_states: dict[str, str] = field(default_factory=dict)
    """What became of the last run: message id -> IN_PROGRESS, SUCCESS or FAIL."""


class Schedules:
    """The schedules by id, at most `cap` of them."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._by_id: dict[str, Schedule] = {}

    def put(self, schedule_id: str | None, cron: str, draft: Draft, now: float) -> Schedule:
        """Makes a schedule, or replaces the one of that id with nothing of it kept."""
        schedule_id = schedule_id or f"scd_{secrets.token_hex(12)}"
        if not _ID.fullmatch(schedule_id):
            raise bad_request("a schedule id can only hold letters, digits, hyphens, periods and underscores")
        if schedule_id not in self._by_id and len(self._by_id) >= self._cap:
            raise Refused(412, f"there are {self._cap} schedules already, and no more are allowed")
        schedule = Schedule(schedule_id, cron, draft, created_at=now, next_run=next_run(cron, now))
        self._by_id[schedule_id] = schedule
        return schedule

    def get(self, schedule_id: str) -> Schedule:
        if schedule_id not in self._by_id:
            raise not_found("schedule", schedule_id)
        return self._by_id[schedule_id]

    def delete(self, schedule_id: str) -> None:
        self.get(schedule_id)
        del self._by_id[schedule_id]

    def all(self) -> list[Schedule]:
        return list(self._by_id.values())

    def take_due(self, now: float) -> list[Schedule]:
        """Those to fire now, once however many runs were missed; a paused one lets its runs go by."""
        due = [schedule for schedule in self._by_id.values() if schedule.next_run <= now]
        for schedule in due:
            schedule.next_run = next_run(schedule.cron, now)
        return [schedule for schedule in due if not schedule.paused]

    def next_due(self) -> float | None:
        return min((schedule.next_run for schedule in self._by_id.values()), default=None)

    def report(self, schedule_id: str | None, message_id: str, state: str) -> None:
        """Notes what became of a message, where it is of its schedule's last run."""
        schedule = self._by_id.get(schedule_id or "")
        if schedule and message_id in schedule.last_states:
            schedule.last_states[message_id] = state
