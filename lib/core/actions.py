"""Reads what producers push: a raw element of the list becomes actions, or a dead letter with its reason."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

ACTION_NAMES = ("view", "click", "like", "save", "share", "comment", "purchase", "dwell", "skip", "dislike", "hide")
MAX_ID_LENGTH = 256  # two ids of 4-byte characters stay under the 2,704 bytes of a Postgres index row
MAX_AHEAD = timedelta(minutes=5)  # one action from the future would make all later ones weigh nothing
FIRST_MILLISECONDS = 1e11  # as seconds the year 5138, as milliseconds 1973: above this, milliseconds are meant
_HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")
MAX_NESTING = 3  # JSON inside a JSON string, holding an array of actions


class Action(NamedTuple):
    """One thing that a user did. `event_id` makes it count once. A tuple, for many are made."""

    event_id: str
    user_id: str
    content_id: str
    action: str
    value: float | None
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What can't be read, as it was pushed, and why."""

    raw: str
    reason: str


def as_element(action: Action) -> str:
    """An element that reads as this very action again, its event id included."""
    fields = {
        "id": action.event_id,
        "user_id": action.user_id,
        "content_id": action.content_id,
        "action": action.action,
        "value": action.value,
        "timestamp": action.occurred_at.isoformat(),
    }
    return json.dumps(fields, ensure_ascii=False)


def names_user(raw: str, user_id: str) -> bool:
    """Whether what was pushed speaks of this user, as far as that can be told of something that can't be read."""
    try:
        return _holds_user(json.loads(raw), user_id, nesting=0)
    except (ValueError, RecursionError):
        written = {user_id, json.dumps(user_id)[1:-1], json.dumps(user_id, ensure_ascii=False)[1:-1]}
        return any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", raw) for name in written)


def _holds_user(value: Any, user_id: str, *, nesting: int) -> bool:
    if nesting > MAX_NESTING:
        raise ValueError  # parse_element gives up here too
    if isinstance(value, list):
        return any(_holds_user(inner, user_id, nesting=nesting + 1) for inner in value)
    if isinstance(value, str):  # JSON inside a JSON string
        return value.lstrip(" \t\n\r").startswith(("{", "[", '"')) and names_user(value, user_id)
    if not isinstance(value, dict):
        return False
    names = (value.get("user_id"), value.get("userId"))
    return any(type(name) in (str, int) and str(name) == user_id for name in names)


class _Unreadable(Exception):
    """Carries the reason to parse_element."""


def parse_element(raw: str, *, received_at: datetime, fallback_id: str) -> Iterator[Action | DeadLetter]:
    """Yields the actions of one list element.

    An element is one JSON action, an array of actions, or either inside a JSON string. An action without an
    id of its own gets one made of `fallback_id`, which must be the same whenever this element is read again.
    A missing timestamp becomes `received_at`.
    """
    try:
        value = _load(raw)
        values = [value] if isinstance(value, dict) else list(_flatten(value, nesting=0))
    except _Unreadable as error:
        yield DeadLetter(raw, str(error))
        return
    for position, value in enumerate(values):
        try:
            yield _action(value, received_at=received_at, fallback_id=f"{fallback_id}.{position}")
        except _Unreadable as error:
            yield DeadLetter(raw if len(values) == 1 else json.dumps(value), str(error))


def _load(raw: str) -> Any:
    try:
        return _DECODER.decode(raw)
    except _Unreadable:
        raise
    except RecursionError:
        raise _Unreadable("it is nested too deeply") from None
    except ValueError as error:
        raise _Unreadable(f"it is not JSON: {error}") from None


def _refuse_constant(name: str) -> None:
    raise _Unreadable(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # made once: json.loads makes one for each element


def _flatten(value: Any, *, nesting: int) -> Iterator[Any]:
    if nesting > MAX_NESTING:
        raise _Unreadable("it is nested too deeply")
    if isinstance(value, str):
        yield from _flatten(_load(value), nesting=nesting + 1)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, list | str):
                yield from _flatten(inner, nesting=nesting + 1)
            else:
                yield inner
    else:
        yield value


def _action(fields: Any, *, received_at: datetime, fallback_id: str) -> Action:
    if not isinstance(fields, dict):
        raise _Unreadable(f"it is {_kind(fields)}, not an object with user_id, content_id and action")
    name = fields.get("action")
    if name not in ACTION_NAMES:
        raise _Unreadable(f"action is {_shown(name)}; it must be one of {', '.join(ACTION_NAMES)}")
    event_id = fields.get("id")
    return Action(
        event_id=fallback_id if event_id in (None, "") else _identifier(event_id, "id"),
        user_id=_either(fields, "user_id", "userId"),
        content_id=_either(fields, "content_id", "contentId"),
        action=name,
        value=_number(fields.get("value")),
        occurred_at=_timestamp(fields.get("timestamp"), received_at=received_at),
    )


def _either(fields: dict[str, Any], name: str, camel_case: str) -> str:
    value = fields.get(name)
    return _identifier(fields.get(camel_case) if value is None else value, name)


def _identifier(value: Any, name: str) -> str:
    if type(value) is int:
        value = str(value)
    if type(value) is not str or not value:
        raise _Unreadable(f"{name} is {_shown(value)}; it must be a string or a whole number")
    problem = identifier_problem(value)
    if problem:
        raise _Unreadable(f"{name} {problem}")
    return value


def identifier_problem(value: str) -> str:
    """Why `value` can't be an id, as the rest of a sentence; empty where it can."""
    if not value:
        return "is empty"
    if len(value) > MAX_ID_LENGTH:
        return f"is longer than {MAX_ID_LENGTH} characters"
    if "\0" in value:
        return "holds a NUL character, which Postgres can't store"
    if not value.isascii() and _HALF_OF_A_PAIR.search(value):
        return "holds half of a surrogate pair, which is no character"
    return ""


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unreadable(f"value is {_shown(value)}; it must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Unreadable("value is too large")
    return number


def _timestamp(value: Any, *, received_at: datetime) -> datetime:
    if value is None:
        return received_at
    moment = _moment(value)
    if moment > received_at + MAX_AHEAD:
        raise _Unreadable(f"timestamp {moment.isoformat()} is more than 5 minutes ahead")
    return moment


def _moment(value: Any) -> datetime:
    if isinstance(value, str):
        if value[4:5] == "-" and value[:4].isdigit():  # no number: nearly all are written so, and failing takes time
            return _iso_moment(value)
        try:
            value = float(value)
        except ValueError:
            return _iso_moment(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unreadable(f"timestamp is {_shown(value)}; it must be ISO 8601, epoch seconds or epoch milliseconds")
    try:
        seconds = value / 1000 if value >= FIRST_MILLISECONDS else value
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None or value < 0:
        raise _Unreadable(f"timestamp {_shown(value)} is out of range")
    return moment


def _iso_moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _Unreadable(
            f"timestamp {_shown(text)} is neither ISO 8601, epoch seconds nor epoch milliseconds"
        ) from None
    raise _Unreadable(f"timestamp {_shown(text)} has no time zone; end it with Z or an offset such as +08:00")


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):  # one that is nested as deeply as json can just read, it can't write again
        return _kind(value)
    return "missing" if value is None else json.dumps(value)[:60]
