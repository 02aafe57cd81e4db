"""The configuration check: tries every service, and says in plain words what is missing and how to mend it.

It only looks. lib/jobs/initialize.py mends what it may and then calls this.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from lib.adapters.action_queue import PENDING_KEY
from lib.adapters.schema import column_problems, is_current, server_versions
from lib.adapters.services import Services
from lib.core.schedules import Schedule, host_of, monthly_cost, owner_of, wanted_schedules
from lib.errors import RecommenderError
from lib.setting_values import LOOPBACK_HOSTS
from lib.settings import ADMIN_KEY_FIX, APP_URL_FIX, CLOCK_LEEWAY_SECONDS, QSTASH_FIX

FREE_MESSAGES_A_DAY = 1_000  # QStash's free plan
PENDING_WARNING_MB = 50  # half of what Upstash lets a record grow to
CLOCK_FIX = "Set the clock by a time server, for example: timedatectl set-ntp true"
FREE_COMMANDS_A_MONTH = 500_000  # Upstash Redis's free plan

REQUIRED = (
    "QSTASH_TOKEN",
    "QSTASH_CURRENT_SIGNING_KEY",
    "QSTASH_NEXT_SIGNING_KEY",
    "NEXT_PUBLIC_APP_URL",
    "UPSTASH_REDIS_REST_URL",
    "UPSTASH_REDIS_REST_TOKEN",
    "DATABASE_URL",
)

QStashSchedule = dict[str, Any]  # as QStash tells it


@dataclass(frozen=True)
class Check:
    """One thing that was tried. `message` says what was found in one sentence, `fix` how to mend it."""

    name: str
    status: Literal["ok", "warning", "error"]
    message: str
    fix: str = ""


@dataclass(frozen=True)
class ScheduleRow:
    """A schedule of this deployment as QStash holds it; `next_run` is ISO 8601 or None."""

    id: str
    cron: str
    destination: str
    body: str
    every: str
    next_run: str | None
    paused: bool


@dataclass(frozen=True)
class Inspection:
    checks: tuple[Check, ...]
    schedules: tuple[ScheduleRow, ...]

    @property
    def ok(self) -> bool:
        return all(check.status != "error" for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}


def inspect(services: Services) -> Inspection:
    """Runs every check. One that fails never keeps the others from running."""
    found: list[QStashSchedule] = []
    qstash = _guarded("qstash", lambda: _qstash(services, found))
    is_known = bool(qstash) and qstash[0].status == "ok"  # which schedules there are
    checks = [
        *_variables(services),
        *qstash,
        *_guarded("signing keys", lambda: _signing_keys(services)),
        *(_guarded("schedules", lambda: _schedules(services, found)) if is_known else []),
        *_guarded("redis", lambda: _redis(services)),
        *_guarded("postgres", lambda: _postgres(services)),
        *_guarded("cost", lambda: _cost(services)),
    ]
    redact = services.settings.redact
    redacted = [Check(c.name, c.status, redact(c.message), redact(c.fix)) for c in checks]
    return Inspection(tuple(redacted), tuple(_rows(services, found)))


def _guarded(name: str, check: Callable[[], Iterator[Check]]) -> list[Check]:
    """What the check yields until it fails; a variable that is missing has its own line already."""
    results: list[Check] = []
    try:
        results.extend(check())
    except RecommenderError as error:
        if error.code != "settings":
            results.append(Check(name, "error", error.message, error.fix))
    return results


def _variables(services: Services) -> Iterator[Check]:
    settings = services.settings
    for problem in settings.problems:
        yield Check(problem.variable, "error", f"{problem.variable} {problem.message}.", problem.fix)
    bad = {problem.variable for problem in settings.problems}
    for name in REQUIRED:
        if name not in bad and not (name == "NEXT_PUBLIC_APP_URL" and settings.app_url_is_guessed):
            yield Check(name, "ok", f"{name} is set.")
    if settings.app_url_is_guessed:
        message = f"NEXT_PUBLIC_APP_URL is not set; {settings.app_url} is used, which Vercel names."
        yield Check("NEXT_PUBLIC_APP_URL", "warning", message, APP_URL_FIX)
    if not settings.admin_api_key:
        message = "ADMIN_API_KEY is not set: only this machine can open /api/init, /api/status and /api/recommend."
        yield Check("ADMIN_API_KEY", "warning" if settings.allow_unsigned_local else "error", message, ADMIN_KEY_FIX)


def _qstash(services: Services, found: list[QStashSchedule]) -> Iterator[Check]:
    found.extend(services.qstash.schedules())
    yield Check("qstash", "ok", "QStash client initialized successfully")
    yield from _clock(services.qstash.clock_ahead)
    app_url = services.settings.app_url
    if _is_on_this_machine(app_url) and not _is_on_this_machine(services.settings.qstash_url):
        message = f"QStash can't reach {app_url}: that address is this machine's own."
        fix = "Run `ngrok http 3000` and set NEXT_PUBLIC_APP_URL to its https address."
        yield Check("app url", "error", message, fix)


def _clock(ahead: float | None) -> Iterator[Check]:
    """QStash's signature holds from its making, by QStash's clock, for five minutes."""
    if ahead is None:
        return
    off = f"This machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} QStash's"
    if abs(ahead) <= CLOCK_LEEWAY_SECONDS / 2:
        yield Check("clock", "ok", "This machine's clock agrees with QStash's.")
    elif abs(ahead) <= CLOCK_LEEWAY_SECONDS:
        message = f"{off}; {CLOCK_LEEWAY_SECONDS} s is the most that can be forgiven."
        yield Check("clock", "warning", message, CLOCK_FIX)
    else:
        refused = "expired, from six minutes on" if ahead > 0 else "not valid yet"
        yield Check("clock", "error", f"{off}: its deliveries are refused (401) as {refused}.", CLOCK_FIX)


def _signing_keys(services: Services) -> Iterator[Check]:
    settings = services.settings
    settings.require("QSTASH_CURRENT_SIGNING_KEY", "QSTASH_NEXT_SIGNING_KEY")
    current, following = services.qstash.signing_keys()
    for variable, ours, theirs in (
        ("QSTASH_CURRENT_SIGNING_KEY", settings.qstash_current_signing_key, current),
        ("QSTASH_NEXT_SIGNING_KEY", settings.qstash_next_signing_key, following),
    ):
        if ours != theirs:
            yield Check("signing keys", "error", f"{variable} differs from the key that QStash has now.", QSTASH_FIX)
            return
    yield Check("signing keys", "ok", "Both signing keys are the ones that QStash has.")


def _schedules(services: Services, found: list[QStashSchedule]) -> Iterator[Check]:
    services.settings.require("QSTASH_TOKEN", "NEXT_PUBLIC_APP_URL")
    wanted = _wanted(services)
    yield Check("existing schedules", "ok", f"Found {len(found)} existing schedule(s)")
    in_place = {schedule["scheduleId"]: schedule for schedule in found}
    wrong = [schedule.schedule_id for schedule in wanted if not _is_in_place(schedule, in_place)]
    if wrong:
        message = f"{len(wrong)} of the four schedules are missing or out of date: {', '.join(wrong)}."
        yield Check("schedules", "error", message, "Open /api/init of the deployment: it makes them.")
    else:
        yield Check("schedules", "ok", "All four schedules are in place.")
    for schedule in wanted:
        if in_place.get(schedule.schedule_id, {}).get("isPaused"):
            message = f"The schedule {schedule.schedule_id} is paused: nothing is delivered."
            yield Check("schedules", "warning", message, "Resume it at https://console.upstash.com/qstash.")
    yield from _leftovers(services, found)


def _leftovers(services: Services, found: list[QStashSchedule]) -> Iterator[Check]:
    """Schedules of ours under another host: a changed domain leaves them behind, and each delivery costs."""
    host = host_of(services.settings.app_url)
    for schedule_id in sorted(schedule["scheduleId"] for schedule in found):
        owner = owner_of(schedule_id)
        if owner not in (None, host):
            url = f"{services.settings.qstash_url}/v2/schedules/{schedule_id}"
            message = f"The schedule {schedule_id} belongs to another deployment, {owner}."
            fix = f'If that is gone: curl -X DELETE -H "Authorization: Bearer $QSTASH_TOKEN" {url}'
            yield Check("leftover schedules", "warning", message, fix)


def _redis(services: Services) -> Iterator[Check]:
    services.cache.check_writable()
    yield Check("redis", "ok", "Redis answers and takes writes.")
    megabytes = services.queue.estimate_pending_bytes() / 1e6
    if megabytes > PENDING_WARNING_MB:
        message = f"The list {PENDING_KEY} holds about {megabytes:.0f} MB; Upstash takes no more pushes at 100 MB."
        yield Check("pending actions", "warning", message, "See in /api/status why it isn't drained.")


def _postgres(services: Services) -> Iterator[Check]:
    with services.database.transaction() as connection:
        version, vector, available = server_versions(connection)
        yield Check("postgres", "ok", f"Postgres {version} answers.")
        if vector is None:
            fix = "As an owner run: CREATE EXTENSION vector;" if available else "Use a Postgres that has pgvector."
            yield Check("pgvector", "error", "The extension pgvector is not installed in this database.", fix)
            return
        yield Check("pgvector", "ok", f"pgvector {vector} is installed.")
        if not is_current(connection):
            fix = "Open /api/init, or run scripts/migrate with an owner's DATABASE_URL."
            yield Check("schema", "error", "The tables are missing or out of date.", fix)
            return
        problems = column_problems(connection)
        for relation, problem in problems:
            fix = f"Change {relation} so that it has the columns of lib/adapters/schema.sql (a view may cast them)."
            yield Check("schema", "error", f"{relation} isn't as expected: {problem}.", fix)
        if not problems:
            yield Check("schema", "ok", "The tables are in place.")


def _cost(services: Services) -> Iterator[Check]:
    if _is_on_this_machine(services.settings.qstash_url):
        return
    cost = monthly_cost(services.settings.actions_interval_seconds)
    message = (
        f"The schedules take {cost['messages_a_day']:,} QStash messages a day (${cost['qstash_dollars_a_month']:.2f} "
        f"a month) and {cost['redis_commands_a_month']:,} Redis commands a month when idle."
    )
    fits = cost["messages_a_day"] <= FREE_MESSAGES_A_DAY and cost["redis_commands_a_month"] <= FREE_COMMANDS_A_MONTH
    fix = (
        "That is more than the free plans hold (1,000 messages a day, 500,000 commands a month): pay as you go, or set "
        "ACTIONS_INTERVAL_SECONDS=120 and open /api/init again."
    )
    yield Check("cost", "ok" if fits else "warning", message, "" if fits else fix)


def _is_on_this_machine(url: str) -> bool:
    return urlsplit(url).hostname in LOOPBACK_HOSTS


def _wanted(services: Services) -> tuple[Schedule, ...]:
    settings = services.settings
    return wanted_schedules(settings.app_url, interval_seconds=settings.actions_interval_seconds)


def _is_in_place(wanted: Schedule, in_place: dict[str, QStashSchedule]) -> bool:
    """The body tells whether the call publishes ticks: its cron is the same for five seconds and for a minute."""
    schedule = in_place.get(wanted.schedule_id, {})
    try:
        body = json.loads(schedule.get("body") or "null")
    except ValueError:
        body = None
    found = (schedule.get("cron"), schedule.get("destination"), body)
    return found == (wanted.cron, wanted.destination, wanted.body)


def _rows(services: Services, found: list[QStashSchedule]) -> Iterator[ScheduleRow]:
    if not services.settings.app_url:
        return
    in_place = {schedule["scheduleId"]: schedule for schedule in found}
    for wanted in _wanted(services):
        schedule = in_place.get(wanted.schedule_id)
        if schedule is not None:
            yield ScheduleRow(
                id=wanted.schedule_id,
                cron=schedule["cron"],
                destination=schedule["destination"],
                body=schedule.get("body") or "",
                every=wanted.every,
                next_run=_iso(schedule.get("nextScheduleTime")),
                paused=bool(schedule.get("isPaused")),
            )


def _iso(milliseconds: int | None) -> str | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat() if milliseconds else None
