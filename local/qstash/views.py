"""The JSON that the vendor's clients read: messages, schedules, log entries, dead letters and callbacks.

Times are unix milliseconds; a field without a value is left out.
"""

import base64
from typing import Any

from local.qstash.messages import Draft, Message, Reply
from local.qstash.schedules import Schedule

# Ten thousand log entries with bodies of a megabyte would fill the memory.
LOG_BODY_BYTES = 4096

View = dict[str, Any]


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def message_view(message: Message) -> View:
    return _present(
        messageId=message.id,
        url=message.draft.url,
        maxRetries=message.draft.options.retries,
        notBefore=milliseconds(message.not_before),
        createdAt=milliseconds(message.created_at),
        scheduleId=message.schedule_id,
        **_body_view("body", message.draft.body),
        **_draft_view(message.draft),
    )


def schedule_view(schedule: Schedule) -> View:
    options = schedule.draft.options
    return _present(
        scheduleId=schedule.id,
        cron=schedule.cron,
        destination=schedule.draft.url,
        createdAt=milliseconds(schedule.created_at),
        retries=options.retries,
        delay=round(options.delay) or None,
        timeout=round(options.timeout),
        isPaused=schedule.paused,
        nextScheduleTime=milliseconds(schedule.next_run),
        lastScheduleTime=None if schedule.last_run is None else milliseconds(schedule.last_run),
        lastScheduleStates=dict(schedule.last_states) or None,
        **_body_view("body", schedule.draft.body),
        **_draft_view(schedule.draft),
    )


def event_view(message: Message, state: str, now: float, reply: Reply | None, next_delivery: float | None) -> View:
    """A log entry. `retried` and `durationMs` are this server's own, for its page."""
    options = message.draft.options
    answer = _reply_view(reply) | {"durationMs": milliseconds(reply.seconds)} if reply else {}
    body = message.draft.body
    return _present(
        time=milliseconds(now),
        messageId=message.id,
        state=state,
        url=message.draft.url,
        scheduleId=message.schedule_id,
        nextDeliveryTime=None if next_delivery is None else milliseconds(next_delivery),
        maxRetries=options.retries,
        retried=message.retried,
        timeout=milliseconds(options.timeout),
        retryDelayExpr=options.retry_delay,
        body=_base64(body) if 0 < len(body) <= LOG_BODY_BYTES else None,
        **_draft_view(message.draft, callback_headers="Headers"),
        **answer,
    )


def dead_letter_view(message: Message, reply: Reply, dlq_id: str, now: float) -> View:
    return message_view(message) | _present(
        dlqId=dlq_id,
        time=milliseconds(now),
        responseStatus=reply.status,
        responseHeader=dict(reply.headers),
        error=reply.error,
        **_body_view("responseBody", reply.body),
    )


def callback_view(message: Message, reply: Reply, dlq_id: str | None) -> View:
    """What a callback is told of an attempt, and a failure callback of the last one."""
    draft = message.draft
    return _present(
        status=reply.status,
        header=dict(reply.headers),
        body=_base64(reply.body or reply.error.encode()),
        retried=message.retried,
        maxRetries=draft.options.retries,
        dlqId=dlq_id,
        sourceMessageId=message.id,
        url=draft.url,
        method=draft.options.method,
        sourceHeader=_listed(draft.options.forward),
        sourceBody=_base64(draft.body),
        notBefore=milliseconds(message.not_before),
        createdAt=milliseconds(message.created_at),
        scheduleId=message.schedule_id,
        callerIP=draft.caller_ip,
    )


def _draft_view(draft: Draft, callback_headers: str = "Header") -> View:
    """The log calls the headers of callbacks `callbackHeaders`, all else `callbackHeader`."""
    options, flow = draft.options, draft.options.flow
    callback, failure = options.callback, options.failure_callback
    return _present(
        method=options.method,
        header=_listed(options.forward),
        callback=callback and callback.url,
        failureCallback=failure and failure.url,
        callerIP=draft.caller_ip,
        label=options.label,
        retryDelayExpression=options.retry_delay,
        flowControlKey=flow and flow.key,
        parallelism=flow and flow.parallelism,
        rate=flow and flow.rate,
        period=flow and round(flow.period_seconds),
        **{
            f"callback{callback_headers}": callback and _listed(callback.options.forward),
            f"failureCallback{callback_headers}": failure and _listed(failure.options.forward),
        },
    )


def _reply_view(reply: Reply) -> View:
    return _present(
        responseStatus=reply.status,
        responseHeader=dict(reply.headers) or None,
        responseBody=_base64(reply.body[:LOG_BODY_BYTES]) if reply.body else None,
        error=reply.error or None,
    )


def _body_view(name: str, body: bytes) -> View:
    """The body as text where it is UTF-8, else as base64 under another name."""
    try:
        return {name: body.decode()} if body else {}
    except UnicodeDecodeError:
        return {f"{name}Base64": _base64(body)}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _listed(headers: Any) -> dict[str, list[str]]:
    return {name: [value] for name, value in headers.items()}


def _present(**fields: Any) -> View:
    return {name: value for name, value in fields.items() if value is not None}
