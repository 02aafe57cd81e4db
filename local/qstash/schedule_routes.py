"""Making, reading, pausing and deleting schedules."""

from local.qstash.engine import Engine
from local.qstash.errors import bad_request
from local.qstash.messages import draft_message
from local.qstash.requests import Answer, Request, read_destination
from local.qstash.views import schedule_view


def put_schedule(engine: Engine, request: Request, destination: str) -> Answer:
    cron = request.headers.get("upstash-cron")
    if cron is None:
        raise bad_request("upstash-cron is missing")
    draft = draft_message(read_destination(destination), request.headers, request.body, request.caller_ip)
    schedule_id = request.headers.get("upstash-schedule-id")
    schedule = engine.state.schedules.put(schedule_id, cron, draft, engine.clock())
    return Answer(200, {"scheduleId": schedule.id})


def list_schedules(engine: Engine, request: Request) -> Answer:
    return Answer(200, [schedule_view(schedule) for schedule in engine.state.schedules.all()])


def get_schedule(engine: Engine, request: Request, schedule_id: str) -> Answer:
    return Answer(200, schedule_view(engine.state.schedules.get(schedule_id)))


def delete_schedule(engine: Engine, request: Request, schedule_id: str) -> Answer:
    engine.state.schedules.delete(schedule_id)
    return Answer(200, {})


def pause_schedule(engine: Engine, request: Request, schedule_id: str) -> Answer:
    engine.state.schedules.get(schedule_id).paused = True
    return Answer(200, {})


def resume_schedule(engine: Engine, request: Request, schedule_id: str) -> Answer:
    engine.state.schedules.get(schedule_id).paused = False
    return Answer(200, {})
