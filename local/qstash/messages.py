"""What is delivered (Draft, Message), what came back (Reply), and what follows from it (judge)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from local.qstash.durations import parse_wait
from local.qstash.errors import Refused
from local.qstash.expressions import evaluate
from local.qstash.options import Options, check_url, read_options

MAX_BODY_BYTES = 1024 * 1024
MAX_RETRY_WAIT_SECONDS = 86400.0

_NON_RETRYABLE_STATUS = 489
_NON_RETRYABLE_HEADER = "Upstash-Nonretryable-Error"
_WAIT_HEADERS = ("Retry-After", "X-Ratelimit-Reset", "X-Ratelimit-Reset-Requests", "X-Ratelimit-Reset-Tokens")


@dataclass(frozen=True)
class Draft:
    """A delivery that has been asked for: of one message, or of each that a schedule makes."""

    url: str
    body: bytes
    options: Options
    caller_ip: str


@dataclass
class Message:
    """A message until it is delivered, has failed or was cancelled. Times are unix seconds."""

    id: str
    draft: Draft
    created_at: float
    not_before: float
    schedule_id: str | None = None
    retried: int = 0
    cancelled: bool = False


@dataclass(frozen=True)
class Reply:
    """The outcome of one attempt. Where it is no success `error` says why; without any answer `status` is 0.

    Header names have their usual capitals.
    """

    status: int
    error: str = ""
    headers: Mapping[str, list[str]] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0

    @property
    def delivered(self) -> bool:
        return 200 <= self.status < 300


class Verdict(StrEnum):
    DELIVERED = "DELIVERED"
    RETRY = "RETRY"
    FAILED = "FAILED"


def draft_message(url: str, headers: Mapping[str, str], body: bytes, caller_ip: str) -> Draft:
    """A draft from a request's parts; Refused (400, 413) where one of them makes no sense."""
    if len(body) > MAX_BODY_BYTES:
        raise Refused(413, f"the body has {len(body)} bytes, {MAX_BODY_BYTES} are allowed")
    return Draft(check_url(url, "destination url"), body, read_options(headers), caller_ip)


def judge(reply: Reply, retried: int, options: Options) -> Verdict:
    """What becomes of a message whose attempt number `retried` (the first is 0) had this reply."""
    if reply.delivered:
        return Verdict.DELIVERED
    final = reply.status == _NON_RETRYABLE_STATUS and _first(reply, _NON_RETRYABLE_HEADER).lower() == "true"
    return Verdict.FAILED if final or retried >= options.retries else Verdict.RETRY


def retry_wait(reply: Reply, retried: int, options: Options, now: float) -> float:
    """Seconds until the next attempt: what the endpoint asks for, else the expression, else the back-off."""
    for name in _WAIT_HEADERS:
        asked = parse_wait(_first(reply, name), now)
        if asked is not None and asked <= MAX_RETRY_WAIT_SECONDS:
            return asked
    return back_off(retried) if options.retry_delay is None else _expressed_wait(options.retry_delay, retried)


def back_off(retried: int) -> float:
    """Seconds before retry number `retried` + 1: e to the power of 2.5 n, a day at most."""
    return min(MAX_RETRY_WAIT_SECONDS, math.exp(min(2.5 * (retried + 1), 100.0)))


def _expressed_wait(expression: str, retried: int) -> float:
    try:
        seconds = evaluate(expression, retried) / 1000
    except ValueError:
        return back_off(retried)
    return min(MAX_RETRY_WAIT_SECONDS, max(0.0, seconds))


def _first(reply: Reply, name: str) -> str:
    return next(iter(reply.headers.get(name, ())), "")
