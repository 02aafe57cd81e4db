"""Publishing, reading and cancelling messages."""

from collections.abc import Mapping
from typing import Any

from local.qstash.engine import Engine
from local.qstash.errors import Refused, bad_request
from local.qstash.messages import draft_message
from local.qstash.requests import Answer, Request, read_destination, read_ids, read_json
from local.qstash.views import message_view


def publish(engine: Engine, request: Request, destination: str) -> Answer:
    if "upstash-cron" in request.headers:
        raise bad_request("upstash-cron: schedules are made with POST /v2/schedules")
    url = read_destination(destination)
    value = _publish_one(engine, url, request.headers, request.body, request.caller_ip)
    return Answer(202 if "deduplicated" in value else 200, value)


def batch(engine: Engine, request: Request) -> Answer:
    items = read_json(request.body)
    if not isinstance(items, list):
        raise bad_request("the body of a batch is a JSON array")
    return Answer(200, [_publish_item(engine, item, request.caller_ip) for item in items])


def get_message(engine: Engine, request: Request, message_id: str) -> Answer:
    return Answer(200, message_view(engine.state.message(message_id)))


def cancel_message(engine: Engine, request: Request, message_id: str) -> Answer:
    engine.state.cancel(message_id, engine.clock())
    return Answer(202, {})


def cancel_messages(engine: Engine, request: Request) -> Answer:
    """Cancels the messages that are named, or all; a filter that is not understood must not mean all."""
    if request.query:
        raise bad_request("the local QStash cancels by messageIds in the body, or all; it has no filters")
    existing = engine.state.message_ids()
    named = set(read_ids(request.body, "messageIds")) if request.body else set(existing)
    doomed = [message_id for message_id in existing if message_id in named]
    for message_id in doomed:
        engine.state.cancel(message_id, engine.clock())
    return Answer(200, {"cancelled": len(doomed)})


def _publish_one(engine: Engine, url: str, headers: Mapping[str, str], body: bytes, caller_ip: str) -> dict[str, Any]:
    draft = draft_message(url, headers, body, caller_ip)
    message_id, duplicate = engine.state.publish(draft, engine.clock())
    return {"messageId": message_id} | ({"deduplicated": True} if duplicate else {})


def _publish_item(engine: Engine, item: Any, caller_ip: str) -> dict[str, Any]:
    """A refused item answers its error; the others are published nevertheless. A used up quota refuses the batch."""
    try:
        url, headers, body = _read_item(item)
        return _publish_one(engine, url, headers, body, caller_ip)
    except Refused as refusal:
        if refusal.status == 429:
            raise
        return {"error": refusal.message}


def _read_item(item: Any) -> tuple[str, dict[str, str], bytes]:
    """Destination, headers and body of an item such as `{"destination": ..., "headers": {...}, "body": "..."}`."""
    if not isinstance(item, dict) or not isinstance(item.get("destination"), str):
        raise bad_request("an item of a batch is an object with a destination")
    if item.get("queue"):
        raise bad_request("queues are not supported by the local QStash")
    given = {name: value for name, value in item.items() if value is not None}
    headers, body = given.get("headers", {}), given.get("body", "")
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise bad_request("the headers of an item are an object of strings")
    if not isinstance(body, str):
        raise bad_request("the body of an item is a string")
    return item["destination"], headers, body.encode()
