"""How a job runs: bounded in time, and reported."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lib.adapters.services import Services
from lib.core.schedules import JOBS
from lib.errors import RecommenderError
from lib.log_lines import line, log
from lib.time_limit import time_limit

OK = "ok"
WORK_SHARE = 0.9  # of a job's time; the rest is for giving back what it holds, and for its report

Summary = dict[str, Any]


@dataclass(frozen=True, order=True)
class Deadline:
    """When a job must have ended, on the clock that never jumps."""

    ends_at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        return cls(time.monotonic() + seconds)

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.ends_at - time.monotonic())


Job = Callable[[Services, datetime, Deadline], Summary]


def run_and_report(name: str, job: Job, services: Services, deadline: Deadline, *, is_shard: bool = False) -> Summary:
    """Runs the job now, keeps what it did for the status, and lets its error out after that. A shard is counted; the
    run that it belongs to is its coordinator's."""
    now, started = datetime.now(UTC), time.monotonic()
    try:
        with time_limit(deadline.seconds_left):
            summary = job(services, now, deadline)
    except Exception as error:
        report(services, name, failure(error), started, {}, is_shard=is_shard)
        raise
    report(services, name, OK, started, summary, is_shard=is_shard)
    return summary


def failure(error: Exception) -> str:
    """A job's outcome where it ended in this error."""
    return f"failed: {error.message if isinstance(error, RecommenderError) else type(error).__name__}"


def report(
    services: Services, name: str, outcome: str, started: float, summary: Summary, *, is_shard: bool = False
) -> None:
    """Logs what a job did and keeps it for the status; `started` is of time.monotonic."""
    outcome = services.settings.redact(outcome)
    duration_ms = int((time.monotonic() - started) * 1000)
    level, word = (logging.INFO, "ok") if outcome == OK else (logging.WARNING, "failed")
    words = f"{JOBS[name].title.lower()} {outcome}"
    log.log(level, line(words, job=name, outcome=word, duration_ms=duration_ms, **summary))
    try:
        services.reports.write(
            name,
            at=time.time(),
            outcome=outcome,
            duration_ms=duration_ms,
            summary=summary,
            counts_alone=is_shard,
        )
    except RecommenderError as error:
        # The work is done and safe; a report that Redis didn't take must not have it done again.
        reason = services.settings.redact(error.message)
        log.warning(line("its report could not be kept", job=name, error=reason))
