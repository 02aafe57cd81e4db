"""The Upstash- headers of a publish or a schedule, read into one frozen object; each bad value is refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from local.qstash.durations import parse_duration
from local.qstash.errors import bad_request
from local.qstash.expressions import evaluate
from local.qstash.flow import FlowLimits, read_flow_limits

DEFAULT_RETRIES = 3
# The longest response and the longest delay of the vendor's free and paid plans.
MAX_TIMEOUT_SECONDS = 15 * 60.0
MAX_DELAY_SECONDS = 365 * 86400.0

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_UNSUPPORTED = ("upstash-queue-name", "upstash-redact-fields")
_FORWARD = "upstash-forward-"
# These belong to the connection that carries the delivery.
_NOT_FORWARDED = frozenset({"host", "connection", "content-length", "transfer-encoding"})
_CALLBACK_OPTIONS = frozenset({"method", "timeout", "retries", "retry-delay", "delay", "label"})
_UNSAFE_IN_HEADER = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
_UNSAFE_IN_URL = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True)
class Callback:
    """Where an attempt, or the final failure, is reported, and how."""

    url: str
    options: Options


@dataclass(frozen=True)
class Options:
    """How a message is delivered. Times are seconds; `not_before` is unix seconds; `forward` holds the headers."""

    method: str
    forward: Mapping[str, str]
    retries: int
    retry_delay: str | None
    delay: float
    not_before: float | None
    deduplication_id: str | None
    content_based_deduplication: bool
    timeout: float
    label: str | None
    flow: FlowLimits | None
    callback: Callback | None
    failure_callback: Callback | None


def read_options(headers: Mapping[str, str], default_retries: int = DEFAULT_RETRIES) -> Options:
    """Options from a request's headers, whose names are read without regard to case."""
    given = {name.lower(): _checked(name, value) for name, value in headers.items()}
    for name in _UNSUPPORTED:
        if name in given:
            raise bad_request(f"{name} is not supported by the local QStash")
    retries = _whole(given, "upstash-retries", default_retries)
    return Options(
        method=_method(given.get("upstash-method", "POST")),
        forward=_forwarded(given),
        retries=retries,
        retry_delay=_expression(given.get("upstash-retry-delay")),
        delay=_duration(given, "upstash-delay", 0.0, MAX_DELAY_SECONDS),
        not_before=float(_whole(given, "upstash-not-before", 0)) or None,
        deduplication_id=_deduplication_id(given.get("upstash-deduplication-id")),
        content_based_deduplication=given.get("upstash-content-based-deduplication", "").lower() == "true",
        timeout=min(_duration(given, "upstash-timeout", MAX_TIMEOUT_SECONDS), MAX_TIMEOUT_SECONDS),
        label=given.get("upstash-label"),
        flow=read_flow_limits(given.get("upstash-flow-control-key"), given.get("upstash-flow-control-value")),
        callback=_callback(given, "upstash-callback", retries),
        failure_callback=_callback(given, "upstash-failure-callback", retries),
    )


def check_url(url: str, what: str) -> str:
    """The URL itself, where something can be sent to it."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or _UNSAFE_IN_URL.search(url):
        raise bad_request(f"invalid {what} {url!r}: it must be a URL that begins with http:// or https://")
    return url


def canonical_name(header: str) -> str:
    """A header's name in its usual capitals."""
    return "-".join(word.capitalize() for word in header.split("-"))


def _checked(name: str, value: str) -> str:
    if _UNSAFE_IN_HEADER.search(value):
        raise bad_request(f"the header {name} holds a character that can't be sent")
    return value.strip()


def _method(text: str) -> str:
    if text.upper() not in _METHODS:
        raise bad_request(f"upstash-method: {text!r} is none of {', '.join(sorted(_METHODS))}")
    return text.upper()


def _forwarded(given: Mapping[str, str]) -> dict[str, str]:
    """Headers to send along, their names in the usual capitals, so that each stands there once."""
    names = {"content-type": "content-type"} | {n: n.removeprefix(_FORWARD) for n in given if n.startswith(_FORWARD)}
    return {
        canonical_name(sent_as): given[name]
        for name, sent_as in names.items()
        if name in given and sent_as and sent_as not in _NOT_FORWARDED
    }


def _whole(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 15:
        raise bad_request(f"{name}: {text!r} is not a whole number")
    return int(text)


def _duration(given: Mapping[str, str], name: str, default: float, most: float = float("inf")) -> float:
    text = given.get(name)
    if text is None:
        return default
    seconds = parse_duration(text)
    if seconds is None or seconds > most:
        raise bad_request(f"{name}: {text!r} is not a duration such as 10s, 5m or 1d2h (a year at most)")
    return seconds


def _expression(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        evaluate(text, retried=0)
    except ValueError as error:
        raise bad_request(f"upstash-retry-delay: {text!r} can't be computed: {error}") from error
    return text


def _deduplication_id(text: str | None) -> str | None:
    if text is not None and ":" in text:
        raise bad_request(f"upstash-deduplication-id: {text!r} must not contain ':'")
    return text or None


def _callback(given: Mapping[str, str], name: str, retries: int) -> Callback | None:
    if name not in given:
        return None
    own = {"content-type": "application/json"}
    for header, value in given.items():
        if header.startswith(f"{name}-"):
            option = header.removeprefix(f"{name}-").removeprefix("forward-")
            plain = option in _CALLBACK_OPTIONS and not header.startswith(f"{name}-forward-")
            own[f"upstash-{option}" if plain else f"{_FORWARD}{option}"] = value
    return Callback(check_url(given[name], name), read_options(own, retries))
