"""Reading the log, the dead letters and the signing keys."""

from local.qstash.engine import Engine
from local.qstash.errors import not_found
from local.qstash.requests import Answer, Request, read_ids

# What one page holds at most, as the vendor's client says.
MAX_EVENTS = 1000
MAX_DEAD_LETTERS = 100


def get_keys(engine: Engine, request: Request) -> Answer:
    return Answer(200, {"current": engine.keys.current, "next": engine.keys.next})


def rotate_keys(engine: Engine, request: Request) -> Answer:
    engine.keys.rotate()
    return get_keys(engine, request)


def list_events(engine: Engine, request: Request) -> Answer:
    events, cursor = engine.state.events.page(request.query, MAX_EVENTS)
    return Answer(200, {"events": events} | ({"cursor": cursor} if cursor else {}))


def list_dead_letters(engine: Engine, request: Request) -> Answer:
    letters, cursor = engine.state.dead_letters.page(request.query, MAX_DEAD_LETTERS)
    return Answer(200, {"messages": letters} | ({"cursor": cursor} if cursor else {}))


def get_dead_letter(engine: Engine, request: Request, dlq_id: str) -> Answer:
    letters, _ = engine.state.dead_letters.page({"dlqIds": [dlq_id]}, 1)
    if not letters:
        raise not_found("dead letter", dlq_id)
    return Answer(200, letters[0])


def delete_dead_letter(engine: Engine, request: Request, dlq_id: str) -> Answer:
    if not engine.state.dead_letters.remove("dlqId", [dlq_id]):
        raise not_found("dead letter", dlq_id)
    return Answer(200, {})


def delete_dead_letters(engine: Engine, request: Request) -> Answer:
    return Answer(200, {"deleted": engine.state.dead_letters.remove("dlqId", read_ids(request.body, "dlqIds"))})
