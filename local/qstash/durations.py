"""Lengths of time as QStash writes them: `1d10h30m` in its headers, three forms in an endpoint's Retry-After."""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def parse_duration(text: str) -> float | None:
    """Seconds in a duration such as `50s` or `1d10h30m`; None where it is none (a number without a unit too)."""
    if not _WHOLE.fullmatch(text):
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def parse_wait(text: str, now: float) -> float | None:
    """Seconds from `now` (unix seconds) that a Retry-After asks for: a number, a duration or an HTTP date."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    duration = parse_duration(text)
    return _until(text, now) if duration is None else duration


def _until(date: str, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, aware.timestamp() - now)
