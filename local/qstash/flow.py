"""Flow control: how many deliveries with the same key may run at once, and how many may begin in a period."""

import math
from dataclasses import dataclass

from local.qstash.durations import parse_duration
from local.qstash.errors import bad_request

_MAX_PERIOD_SECONDS = 7 * 86400.0


@dataclass(frozen=True)
class FlowLimits:
    """What a message asks of its key; None is no limit."""

    key: str
    parallelism: int | None
    rate: int | None
    period_seconds: float = 1.0


@dataclass
class _Usage:
    active: int = 0
    begun: int = 0
    period_start: float = -math.inf


class FlowControl:
    """Counts deliveries for each key, in fixed periods that begin with a delivery."""

    def __init__(self) -> None:
        self._usage: dict[str, _Usage] = {}

    def admit(self, limits: FlowLimits, now: float) -> float | None:
        """None where a delivery may begin (it is counted); else when to ask again, infinite for "after a finish"."""
        usage = self._usage.setdefault(limits.key, _Usage())
        if limits.parallelism is not None and usage.active >= limits.parallelism:
            return math.inf
        period_end = usage.period_start + limits.period_seconds
        if now >= period_end:
            usage.period_start, usage.begun = now, 0
        elif limits.rate is not None and usage.begun >= limits.rate:
            return period_end
        usage.active += 1
        usage.begun += 1
        return None

    def release(self, key: str) -> None:
        """A delivery with this key is over."""
        self._usage[key].active -= 1


def read_flow_limits(key: str | None, value: str | None) -> FlowLimits | None:
    """The limits in Upstash-Flow-Control-Key and -Value (`parallelism=5, rate=10, period=1m`)."""
    if key is None:
        return None
    given = dict(_read_pair(pair) for pair in (value or "").split(",") if pair.strip())
    if not given.keys() & {"parallelism", "rate"}:
        raise bad_request("Upstash-Flow-Control-Value must hold parallelism=, rate= or both")
    return FlowLimits(key, _count(given, "parallelism"), _count(given, "rate"), _period(given.get("period", "1s")))


def _read_pair(pair: str) -> tuple[str, str]:
    name, _, value = (part.strip() for part in pair.partition("="))
    if name not in {"parallelism", "rate", "period"}:
        raise bad_request(f"Upstash-Flow-Control-Value: unknown field {name!r}")
    return name, value


def _count(given: dict[str, str], name: str) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise bad_request(f"Upstash-Flow-Control-Value: {name} must be a whole number above 0")
    return int(text)


def _period(text: str) -> float:
    seconds = float(text) if text.isdecimal() else parse_duration(text)
    if not seconds or seconds > _MAX_PERIOD_SECONDS:
        raise bad_request("Upstash-Flow-Control-Value: period must be a duration of at most 7 days, such as 10s")
    return seconds
