"""The configuration check: tries every service, and says in plain words what is missing and how to mend it.

It changes nothing: it sends a test message through QStash and writes a key of its own to Redis.
lib/jobs/initialize.py mends what it may and then calls this.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import asdict, dataclass, replace
from typing import Any

from lib.adapters.services import Services
from lib.errors import RecommenderError
from lib.jobs.checks.check import Check
from lib.jobs.checks.delivery import check_delivery
from lib.jobs.checks.postgres import check_postgres
from lib.jobs.checks.qstash import QStashSchedule, check_qstash, check_signing_keys
from lib.jobs.checks.redis import check_redis
from lib.jobs.checks.schedules import Cost, ScheduleRow, check_cost, check_schedules, costs, schedule_rows
from lib.jobs.checks.variables import check_variables
from lib.log_lines import log_defect
from lib.text import Text
from lib.time_limit import time_limit

SERVICE_SECONDS = 25.0  # for all checks of one service, which run beside those of the others


@dataclass(frozen=True)
class Inspection:
    checks: tuple[Check, ...]
    schedules: tuple[ScheduleRow, ...]
    costs: tuple[Cost, ...] = ()

    @property
    def ok(self) -> bool:
        return all(check.status != "error" for check in self.checks)

    def of_status(self, status: str) -> list[Check]:
        return [check for check in self.checks if check.status == status]

    @property
    def summary(self) -> Text:
        """One sentence: whether all is well, else how much is not, and where to begin."""
        errors, warnings = self.of_status("error"), self.of_status("warning")
        if len(errors) > 1:
            return Text("{n} things are missing or wrong: start with {name}", n=len(errors), name=errors[0].title)
        if errors:
            return Text("One thing is missing or wrong: {name}", name=errors[0].title)
        if len(warnings) > 1:
            return Text("Everything needed is in place, with {n} warnings", n=len(warnings))
        if warnings:
            return Text("Everything needed is in place, with one warning: {name}", name=warnings[0].title)
        return Text("Everything is in place")

    def as_json(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}


def inspect(services: Services, *, sends_ping: bool = True) -> Inspection:
    """Runs every check, those of the three services side by side. One that fails keeps no other from running."""
    found: list[QStashSchedule] = []
    parts = (lambda: _qstash(services, found, sends_ping), lambda: _redis(services), lambda: _postgres(services))
    with ThreadPoolExecutor(len(parts)) as threads:
        running = [threads.submit(copy_context().run, part) for part in parts]
        checks = [*_guarded(services, "variables", lambda: check_variables(services))]
        for part in running:
            checks += part.result()
    checks += _guarded(services, "cost", lambda: check_cost(services))
    redact = services.settings.redact
    redacted = [replace(check, message=check.message.map(redact), fix=check.fix.map(redact)) for check in checks]
    return Inspection(tuple(redacted), tuple(schedule_rows(services, found)), costs(services))


def _qstash(services: Services, found: list[QStashSchedule], sends_ping: bool) -> list[Check]:
    with time_limit(SERVICE_SECONDS):
        checks = _guarded(services, "qstash", lambda: check_qstash(services, found))
        if checks and checks[0].status == "ok":  # otherwise every other one would say the same
            checks += _guarded(services, "signing keys", lambda: check_signing_keys(services))
            checks += _guarded(services, "delivery", lambda: check_delivery(services, sends=sends_ping))
            checks += _guarded(services, "schedules", lambda: check_schedules(services, found))
        return checks


def _redis(services: Services) -> list[Check]:
    with time_limit(SERVICE_SECONDS):
        return _guarded(services, "redis", lambda: check_redis(services))


def _postgres(services: Services) -> list[Check]:
    with time_limit(SERVICE_SECONDS):
        return _guarded(services, "postgres", lambda: check_postgres(services))


def _guarded(services: Services, name: str, check: Callable[[], Iterator[Check]]) -> list[Check]:
    """What the check yields until it fails; a variable that is missing has its own line already."""
    results: list[Check] = []
    try:
        results.extend(check())
    except RecommenderError as error:
        if error.code != "settings":
            results.append(Check(name, "error", error.message, error.fix))
    except Exception as error:
        reference = log_defect("configuration check failed", error, services.settings.redact, check=name)
        message = Text("The check itself failed: {reason}.", reason=type(error).__name__)
        results.append(
            Check(name, "error", message, Text("Look for {reference} in the log of the function.", reference=reference))
        )
    return results
