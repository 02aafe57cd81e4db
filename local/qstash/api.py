"""The routes under /v2, and the one place that takes the engine's lock for a request."""

import re
from collections.abc import Callable

from local.qstash import message_routes as messages
from local.qstash import record_routes as records
from local.qstash import schedule_routes as schedules
from local.qstash.engine import Engine
from local.qstash.errors import Refused
from local.qstash.requests import Answer, Request

Handler = Callable[..., Answer]

_MESSAGE = r"/v2/messages/(?P<message_id>[^/]+)"
_SCHEDULE = r"/v2/schedules/(?P<schedule_id>[\w.-]+)"
_DEAD_LETTER = r"/v2/dlq/(?P<dlq_id>[^/]+)"

_ROUTES: list[tuple[str, str, Handler]] = [
    ("POST", r"/v2/publish/(?P<destination>.+)", messages.publish),
    ("POST", r"/v2/batch", messages.batch),
    ("GET", _MESSAGE, messages.get_message),
    ("DELETE", _MESSAGE, messages.cancel_message),
    ("DELETE", r"/v2/messages", messages.cancel_messages),
    # The vendor's clients send PATCH, its API reference says POST.
    ("PATCH|POST", rf"{_SCHEDULE}/pause", schedules.pause_schedule),
    ("PATCH|POST", rf"{_SCHEDULE}/resume", schedules.resume_schedule),
    ("POST", r"/v2/schedules/(?P<destination>.+)", schedules.put_schedule),
    ("GET", r"/v2/schedules", schedules.list_schedules),
    ("GET", _SCHEDULE, schedules.get_schedule),
    ("DELETE", _SCHEDULE, schedules.delete_schedule),
    ("GET", r"/v2/keys", records.get_keys),
    ("POST", r"/v2/keys/rotate", records.rotate_keys),
    ("GET", r"/v2/events", records.list_events),
    ("GET", r"/v2/dlq", records.list_dead_letters),
    ("DELETE", r"/v2/dlq", records.delete_dead_letters),
    ("GET", _DEAD_LETTER, records.get_dead_letter),
    ("DELETE", _DEAD_LETTER, records.delete_dead_letter),
]
_PATTERNS = [(re.compile(rf"(?:{methods}) {path}"), handler) for methods, path, handler in _ROUTES]


def answer(engine: Engine, request: Request) -> Answer:
    """The answer to a request; what is refused becomes its status and `{"error": ...}`."""
    try:
        handler, names = _route(request)
        with engine.changed:
            # What was due before this request comes first, so that replacing a schedule loses no run of it.
            engine.state.fire_schedules(engine.clock())
            result = handler(engine, request, **names)
            engine.changed.notify_all()
            return result
    except Refused as refusal:
        return refused(refusal)


def refused(refusal: Refused) -> Answer:
    return Answer(refusal.status, {"error": refusal.message}, refusal.headers)


def _route(request: Request) -> tuple[Handler, dict[str, str]]:
    for pattern, handler in _PATTERNS:
        # A destination may hold a query of its own, which is no part of this request's.
        path = request.target if "destination" in pattern.groupindex else request.path
        match = pattern.fullmatch(f"{request.method} {path}")
        if match:
            return handler, match.groupdict()
    raise Refused(404, f"the local QStash has no {request.method} {request.path}")
