"""Times as a person reads them."""

from datetime import datetime

from lib.text import Text

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def relative(then: datetime, now: datetime) -> Text:
    """How far a time is ahead or past, in its largest fitting unit."""
    seconds = round((then - now).total_seconds())
    return _ahead(seconds) if seconds > 0 else _past(-seconds)


def _ahead(seconds: int) -> Text:
    if seconds < 2 * _MINUTE:
        return Text("in {n} s", n=seconds)
    if seconds < 2 * _HOUR:
        return Text("in {n} min", n=seconds // _MINUTE)
    return Text("in {n} h", n=seconds // _HOUR) if seconds < 2 * _DAY else Text("in {n} days", n=seconds // _DAY)


def _past(seconds: int) -> Text:
    if seconds < 2 * _MINUTE:
        return Text("{n} s ago", n=seconds)
    if seconds < 2 * _HOUR:
        return Text("{n} min ago", n=seconds // _MINUTE)
    return Text("{n} h ago", n=seconds // _HOUR) if seconds < 2 * _DAY else Text("{n} days ago", n=seconds // _DAY)


def duration(milliseconds: int) -> Text:
    """How long something took, in its fitting unit."""
    if milliseconds < 1_000:
        return Text("{n} ms", n=milliseconds)
    if milliseconds < 100_000:
        return Text("{n:.1f} s", n=milliseconds / 1_000)
    return Text("{n:.1f} min", n=milliseconds / 60_000)
