"""Cron as QStash reads it: five fields, no step finer than a minute, UTC unless a CRON_TZ= prefix names a zone."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import croniter

from local.qstash.errors import bad_request

_ZONE_PREFIX = re.compile(r"(?:CRON_TZ|TZ)=(\S+)\s+(.*)", re.DOTALL)
_CHARACTERS = re.compile(r"[\d*/,?A-Za-z-]+", re.ASCII)
_SUNDAY_AS_SEVEN = re.compile(r"(?<![/\d])7")
# The cron library knows more letters (L, W, H, R) than QStash's parser does.
_MONTHS = {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
_NAMES = _MONTHS | {"sun", "mon", "tue", "wed", "thu", "fri", "sat"}


def next_run(cron: str, after: float) -> float:
    """Unix seconds of the first run later than `after`; Refused (400) where the cron can't be read or never runs."""
    expression, zone = _split(cron)
    try:
        start = datetime.fromtimestamp(after, zone)
        return float(croniter(expression, start).get_next(float))
    except ValueError as error:
        raise bad_request(f"invalid cron: {error}") from error


def _split(cron: str) -> tuple[str, ZoneInfo]:
    prefixed = _ZONE_PREFIX.fullmatch(cron.strip())
    zone, expression = prefixed.groups() if prefixed else ("UTC", cron)
    fields = expression.split()
    if len(fields) != 5:
        raise bad_request(f"invalid cron: expected exactly 5 fields, found {len(fields)}: {fields}")
    for field in fields:
        _check_field(field)
    if _SUNDAY_AS_SEVEN.search(fields[4]):
        raise bad_request("invalid cron: days of the week are 0 to 6, Sunday is 0")
    return " ".join(fields), _zone(zone)


def _check_field(field: str) -> None:
    names = {name.lower() for name in re.findall(r"[A-Za-z]+", field)}
    if not _CHARACTERS.fullmatch(field) or not names <= _NAMES:
        raise bad_request(f"invalid cron: can't read the field {field!r}")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise bad_request(f"invalid cron: unknown time zone {name!r}") from error
