"""What /api/init does: bring the schema up to date, make the four schedules, publish the minute's ticks, then check.

Any number of calls end in the same state. Nothing that the caller sends has any influence on what is scheduled.
"""

from dataclasses import replace
from datetime import datetime

from lib.adapters.schema import SCHEMA_SQL, grants, migrate, missing_rights
from lib.adapters.services import Services
from lib.core.schedules import wanted_schedules
from lib.errors import RecommenderError
from lib.jobs.check_configuration import Inspection, inspect
from lib.jobs.checks.check import Check
from lib.jobs.checks.qstash import is_out_of_reach
from lib.jobs.publish_ticks import publish_ticks
from lib.log_lines import line, log
from lib.text import Text


def initialize(services: Services, now: datetime) -> Inspection:
    """On a preview deployment, which shares production's variables, it only looks."""
    if services.settings.is_preview:
        note = Check(
            "preview",
            "warning",
            Text("This is a preview deployment: nothing was made or changed, only looked at."),
            Text("Open /api/init of the production deployment."),
        )
        inspection = inspect(services, sends_ping=False)
        return replace(inspection, checks=(note, *inspection.checks))
    failures = [*_bring_schema_up_to_date(services), *_make_schedules(services, now)]
    inspection = inspect(services)
    said = {check.message for check in inspection.checks}
    return replace(inspection, checks=(*inspection.checks, *[one for one in failures if one.message not in said]))


def _bring_schema_up_to_date(services: Services) -> list[Check]:
    """What went wrong where the check that follows can't see it: that the role may not do it."""
    try:
        if migrate(services.database):
            log.info(line("database schema brought up to date"))
    except RecommenderError as error:
        if error.code == "forbidden":
            with services.database.transaction() as connection:
                if missing_rights(connection):
                    return []
                sql = SCHEMA_SQL + grants(connection)
            fix = Text("As an owner run this SQL (scripts/migrate runs all but the GRANTs):\n{sql}", sql=sql)
            return [Check("schema", "error", error.message.map(services.settings.redact), fix)]
    return []


def _make_schedules(services: Services, now: datetime) -> list[Check]:
    """Only where QStash's calls would be let in; the check that follows says what is missing otherwise."""
    settings = services.settings
    try:
        settings.require("QSTASH_TOKEN", "QSTASH_CURRENT_SIGNING_KEY", "QSTASH_NEXT_SIGNING_KEY", "NEXT_PUBLIC_APP_URL")
        if is_out_of_reach(services):
            return []
        wanted = wanted_schedules(settings.app_url, interval_seconds=settings.actions_interval_seconds)
        services.qstash.put_schedules(wanted)
        published = publish_ticks(services, now)
        log.info(line("QStash schedules in place", app=settings.app_url, ticks_published=published))
    except RecommenderError as error:
        message = error.message.map(settings.redact)
        log.warning(line("QStash schedules could not be made", error=message, code=error.code))
        return [] if error.code == "settings" else [Check("schedules", "error", message, error.fix)]
    return []
