"""The page for a person who wonders why a webhook failed. It shows no keys, no tokens and no long bodies."""

import base64
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from local.qstash.journal import Record
from local.qstash.schedules import Schedule

MAX_MESSAGES = 200
MAX_BODY_CHARACTERS = 500


def render_page(events: Iterable[Record], schedules: Iterable[Schedule]) -> str:
    """HTML of the schedules and the latest messages; `events` come newest first."""
    return _TEMPLATE.render(messages=latest_messages(events), schedules=list(schedules))


def latest_messages(events: Iterable[Record]) -> list[dict[str, Any]]:
    """A row a message, the one with the newest event first: its state, and its last attempt's outcome."""
    rows: dict[str, dict[str, Any]] = {}
    for event in events:
        row = rows.get(event["messageId"])
        if row is None:
            if len(rows) == MAX_MESSAGES:
                continue
            row = rows[event["messageId"]] = dict(event)
        if "durationMs" not in row and "durationMs" in event:
            row |= {name: event[name] for name in _OUTCOME if name in event}
    return list(rows.values())


_OUTCOME = ("responseStatus", "responseBody", "error", "durationMs")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _excerpt(encoded: str) -> str:
    return base64.b64decode(encoded).decode(errors="replace")[:MAX_BODY_CHARACTERS]


_ENVIRONMENT = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
_ENVIRONMENT.filters |= {"time": _time, "excerpt": _excerpt}
_TEMPLATE = _ENVIRONMENT.get_template("page.html")
