"""What each variable may hold. A `..._problem` says what is wrong as the rest of a sentence, None where nothing is;
a check of TUNABLES answers the parsed value or raises ValueError with that sentence.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from lib.core.actions import ACTION_NAMES
from lib.core.defaults import MOST_NEW_PER_PAGE
from lib.core.schedules import interval_problem
from lib.text import Text

DEFAULT_WEIGHTS = {
    "view": 1.0,
    "click": 1.0,
    "dwell": 1.0,
    "comment": 2.0,
    "like": 3.0,
    "save": 3.0,
    "share": 3.0,
    "purchase": 4.0,
    "skip": -0.5,
    "dislike": -2.0,
    "hide": -2.0,
}
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")


def key_problem(value: str) -> Text | None:
    return Text("holds a space or a line break") if re.search(r"\s", value) else None


def token_problem(value: str) -> Text | None:
    """One that travels in a header."""
    return key_problem(value) or (None if value.isascii() else Text("holds a character that no token has, such as …"))


def http_url_problem(value: str) -> Text | None:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    return None if usable and not re.search(r"\s", value) else Text("is no http(s) URL")


def redis_url_problem(value: str) -> Text | None:
    if value.startswith(("redis://", "rediss://")):
        return Text("is the address for the Redis protocol; the one needed is for REST and begins with https://")
    problem = http_url_problem(value)
    if problem is None and re.fullmatch(r"qstash[a-z0-9-]*\.upstash\.io", urlsplit(value).hostname or ""):
        return Text("is the address of QStash, not of a Redis database")
    return problem


def app_url_problem(value: str) -> Text | None:
    problem = http_url_problem(value)
    if problem is not None:
        return problem
    parts = urlsplit(value)
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        return Text("must be a bare address, without a path, query or user name")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS:
        return Text("begins with http://; a public app must use https://, and redirects count as failed deliveries")
    return None


def database_url_problem(value: str) -> Text | None:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("postgres", "postgresql") and bool(parts.hostname or "host=" in parts.query)
        usable = usable and parts.port != 0
    except ValueError:
        usable = False
    if usable and parts.netloc.count("@") > 1:
        return Text("holds an @ in its user name or password; write that one as %40")
    return None if usable else Text("is no Postgres URL (postgresql://user:password@host/database)")


def _whole(low: int, high: int) -> Callable[[str], int]:
    def check(value: str) -> int:
        if not re.fullmatch(r"\d{1,12}", value) or not low <= int(value) <= high:
            raise ValueError(
                Text(
                    "must be a whole number from {low} to {high}, not {value}",
                    low=low,
                    high=high,
                    value=repr(value[:40]),
                )
            )
        return int(value)

    return check


def _number(low: float, high: float) -> Callable[[str], float]:
    def check(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise ValueError(
                Text(
                    "must be a number from {low:g} to {high:g}, not {value}", low=low, high=high, value=repr(value[:40])
                )
            )
        return number

    return check


def _interval(value: str) -> int:
    seconds = _whole(1, 1800)(value)
    if problem := interval_problem(seconds):
        raise ValueError(problem)
    return seconds


def _weights(value: str) -> dict[str, float]:
    weights = dict(DEFAULT_WEIGHTS)
    for part in value.split(","):
        name, _, weight = (piece.strip() for piece in part.partition("="))
        if name not in ACTION_NAMES:
            raise ValueError(
                Text("names {name}; the actions are {actions}", name=repr(name[:40]), actions=", ".join(ACTION_NAMES))
            )
        weights[name] = _number(-100, 100)(weight)
    return weights


TUNABLES: dict[str, Callable[[str], Any]] = {
    "ACTIONS_INTERVAL_SECONDS": _interval,
    "ACTIONS_TIME_BUDGET_SECONDS": _number(1, 780),
    "JOB_TIME_BUDGET_SECONDS": _number(1, 780),
    "EMBEDDINGS_TIME_BUDGET_SECONDS": _number(1, 780),
    "CLAIM_MAX_ELEMENTS": _whole(1, 20_000),
    "CLAIM_LEASE_SECONDS": _whole(5, 3_600),
    "DEAD_LETTERS_MAX": _whole(1, 1_000_000),
    "DATABASE_MAX_CONNECTIONS": _whole(1, 100),
    "FAN_OUT_PARALLELISM": _whole(1, 1_000),
    "WARM_SHARD_USERS": _whole(1, 1_000_000),
    "EMBEDDINGS_SHARD_USERS": _whole(1, 1_000_000),
    "ACTION_WEIGHTS": _weights,
    "HISTORY_LENGTH": _whole(1, 5_000),
    "INTEREST_HALF_LIFE_DAYS": _number(0.01, 3_650),
    "POPULARITY_HALF_LIFE_HOURS": _number(1, 10_000),
    "MODEL_MAX_AGE_HOURS": _number(0, 8_760),
    "MODEL_MAX_ACTIONS": _whole(1_000, 20_000_000),
    "NEW_CONTENT_MAX_AGE_DAYS": _number(0.01, 36_500),
    "NEW_ITEMS_PER_PAGE": _whole(0, MOST_NEW_PER_PAGE),
    "TOPIC_SHARE": _number(0.05, 1),
    "AUTHOR_SHARE": _number(0.05, 1),
    "ACTIVE_USER_DAYS": _number(0.01, 3_650),
    "CACHE_TTL_SECONDS": _whole(10, 604_800),
    "RETENTION_DAYS": _whole(1, 36_500),
}
