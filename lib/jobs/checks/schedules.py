"""The four schedules as QStash holds them, what others have left behind, and what they cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lib.adapters.qstash import is_as_wanted
from lib.adapters.services import Services
from lib.core.schedules import Schedule, host_of, monthly_cost, owner_of, wanted_schedules
from lib.jobs.checks.check import Check
from lib.jobs.checks.qstash import QStashSchedule, is_on_this_machine
from lib.text import Text


@dataclass(frozen=True)
class ScheduleRow:
    """A schedule of this deployment as QStash holds it.

    Times are ISO 8601 or None; `last_result` is QStash's word for the last run, SUCCESS, FAIL or IN_PROGRESS, or None.
    """

    id: str
    cron: str
    destination: str
    body: str
    every: Text
    next_run: str | None
    paused: bool
    title: Text
    last_run: str | None
    last_result: str | None
    messages_a_day: int


@dataclass(frozen=True)
class Cost:
    """What the schedules cost in 30 days at an interval, and whether the free plans hold it."""

    interval_seconds: int
    messages_a_day: int
    qstash_dollars_a_month: float
    redis_commands_a_month: int
    fits_free_plans: bool


FREE_MESSAGES_A_DAY = 1_000  # QStash's free plan
FREE_COMMANDS_A_MONTH = 500_000  # Upstash Redis's free plan
OTHER_INTERVALS = (60, 120)  # to compare with


def check_schedules(services: Services, found: Sequence[QStashSchedule]) -> Iterator[Check]:
    services.settings.require("QSTASH_TOKEN", "NEXT_PUBLIC_APP_URL")
    wanted = _wanted(services)
    yield Check("existing schedules", "ok", Text("Found {n} existing schedule(s)", n=len(found)))
    in_place = {schedule["scheduleId"]: schedule for schedule in found}
    wrong = [
        schedule.schedule_id
        for schedule in wanted
        if not is_as_wanted(schedule, in_place.get(schedule.schedule_id, {}))
    ]
    if wrong:
        message = Text(
            "{n} of the four schedules are missing or out of date: {ids}.", n=len(wrong), ids=", ".join(wrong)
        )
        fix = Text("Open /api/init of the deployment: it makes them.")
        yield Check("schedules", "error", message, fix)
    else:
        yield Check("schedules", "ok", Text("All four schedules are in place."))
    for schedule in wanted:
        if in_place.get(schedule.schedule_id, {}).get("isPaused"):
            message = Text("The schedule {id} is paused: nothing is delivered.", id=schedule.schedule_id)
            yield Check("schedules", "warning", message, Text("Resume it at https://console.upstash.com/qstash."))
    yield from _leftovers(services, found)


def _leftovers(services: Services, found: Sequence[QStashSchedule]) -> Iterator[Check]:
    """Schedules of ours under another host: a changed domain leaves them behind, and each delivery costs."""
    host = host_of(services.settings.app_url)
    by_owner: dict[str, list[str]] = {}
    for schedule_id in sorted(schedule["scheduleId"] for schedule in found):
        owner = owner_of(schedule_id)
        if owner not in (None, host):
            url = f"{services.settings.qstash_url}/v2/schedules/{schedule_id}"
            command = f'curl -X DELETE -H "Authorization: Bearer $QSTASH_TOKEN" {url}'
            by_owner.setdefault(str(owner), []).append(command)
    for owner, commands in by_owner.items():
        message = Text("{n} schedule(s) belong to another deployment, {owner}.", n=len(commands), owner=owner)
        fix = Text("If that is gone, delete what it has left:\n{commands}", commands="\n".join(commands))
        yield Check("leftover schedules", "warning", message, fix)


def check_cost(services: Services) -> Iterator[Check]:
    if is_on_this_machine(services.settings.qstash_url):
        return
    cost = cost_of(services.settings.actions_interval_seconds)
    message = Text(
        "The schedules take {messages:,} QStash messages a day (${dollars:.2f} a month) and {commands:,} Redis "
        "commands a month when idle.",
        messages=cost.messages_a_day,
        dollars=cost.qstash_dollars_a_month,
        commands=cost.redis_commands_a_month,
    )
    fix = Text(
        "That is more than the free plans hold (1,000 messages a day, 500,000 commands a month): pay as you go, or set "
        "this and open /api/init again:\nACTIONS_INTERVAL_SECONDS=120"
    )
    yield Check("cost", "ok", message) if cost.fits_free_plans else Check("cost", "warning", message, fix)


def cost_of(interval_seconds: int) -> Cost:
    figures = monthly_cost(interval_seconds)
    messages, commands = int(figures["messages_a_day"]), int(figures["redis_commands_a_month"])
    fits = messages <= FREE_MESSAGES_A_DAY and commands <= FREE_COMMANDS_A_MONTH
    return Cost(interval_seconds, messages, figures["qstash_dollars_a_month"], commands, fits)


def costs(services: Services) -> tuple[Cost, ...]:
    """Of the interval that is set, and of others to compare it with."""
    intervals = dict.fromkeys((services.settings.actions_interval_seconds, *OTHER_INTERVALS))
    return tuple(cost_of(seconds) for seconds in intervals)


def schedule_rows(services: Services, found: Sequence[QStashSchedule]) -> Iterator[ScheduleRow]:
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
                title=wanted.title,
                last_run=_iso(schedule.get("lastScheduleTime")),
                last_result=next(iter((schedule.get("lastScheduleStates") or {}).values()), None),
                messages_a_day=wanted.messages_a_day,
            )


def _wanted(services: Services) -> tuple[Schedule, ...]:
    settings = services.settings
    return wanted_schedules(settings.app_url, interval_seconds=settings.actions_interval_seconds)


def _iso(milliseconds: int | None) -> str | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat() if milliseconds else None
