"""The environment, parsed once into a frozen object. Nothing raises here: every missing or bad variable becomes
a Problem, so that /api/init can show all of them at once; `require` raises for those that a job can't do without.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from lib.core.actions import ACTION_NAMES
from lib.core.defaults import (
    HALF_LIVES_HOURS,
    HISTORY_LENGTH,
    INTEREST_HALF_LIFE_DAYS,
    POPULARITY_HALF_LIFE_HOURS,
    POPULARITY_WEIGHT,
)
from lib.core.schedules import interval_problem
from lib.errors import SettingsError

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


@dataclass(frozen=True)
class Problem:
    """What is wrong with one variable, and how to mend it."""

    variable: str
    message: str
    fix: str


@dataclass(frozen=True)
class Settings:
    """Everything that the environment says. Secrets stay out of `repr`."""

    qstash_token: str = field(default="", repr=False)
    qstash_current_signing_key: str = field(default="", repr=False)
    qstash_next_signing_key: str = field(default="", repr=False)
    qstash_url: str = "https://qstash.upstash.io"
    app_url: str = ""
    app_url_is_guessed: bool = False
    redis_url: str = ""
    redis_token: str = field(default="", repr=False)
    database_url: str = field(default="", repr=False)
    admin_api_key: str = field(default="", repr=False)
    bypass_secret: str = field(default="", repr=False)
    allow_unsigned_local: bool = False
    vercel_env: str = ""

    actions_interval_seconds: int = 5
    actions_time_budget_seconds: float = 25.0
    job_time_budget_seconds: float = 240.0
    claim_max_elements: int = 2_000
    claim_lease_seconds: int = 60
    dead_letters_max: int = 10_000
    database_max_connections: int = 4
    action_weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    history_length: int = HISTORY_LENGTH
    interest_half_life_days: float = INTEREST_HALF_LIFE_DAYS
    popularity_half_life_hours: float = POPULARITY_HALF_LIFE_HOURS
    popularity_weight: float = POPULARITY_WEIGHT
    model_max_age_hours: float = 24.0
    model_max_actions: int = 1_000_000
    active_user_days: float = 7.0
    cache_ttl_seconds: int = 7_200
    retention_days: int = 365
    problems: tuple[Problem, ...] = ()

    @property
    def positive_actions(self) -> list[str]:
        """The actions that count towards popularity and co-reads."""
        return sorted(name for name, weight in self.action_weights.items() if weight > 0)

    @property
    def is_deployed(self) -> bool:
        return self.vercel_env not in ("", "development")

    @property
    def is_preview(self) -> bool:
        return self.vercel_env == "preview"

    @property
    def secrets(self) -> list[str]:
        """Every value that must not appear in an answer, a page or a log line."""
        password = urlsplit(self.database_url).password if not self._problem_of("DATABASE_URL") else None
        values = [getattr(self, item.name) for item in dataclasses.fields(self) if not item.repr]
        return [value for value in [*values, password] if value]

    def redact(self, text: str) -> str:
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "[secret]")
        return text

    def require(self, *variables: str) -> None:
        """Raises SettingsError for the first of these variables, or the first tunable, that has a problem."""
        for problem in self.problems:
            if problem.variable in variables or problem.variable in TUNABLES:
                raise SettingsError(f"{problem.variable} {problem.message}.", fix=problem.fix)

    def _problem_of(self, variable: str) -> Problem | None:
        return next((problem for problem in self.problems if problem.variable == variable), None)


def parse_settings(environ: Mapping[str, str]) -> Settings:
    """Reads every variable. The names and units are in .env.example."""
    reader = _Reader(environ)
    values: dict[str, Any] = {
        "qstash_token": reader.text("QSTASH_TOKEN", _no_check, QSTASH_FIX),
        "qstash_current_signing_key": reader.text("QSTASH_CURRENT_SIGNING_KEY", _no_check, QSTASH_FIX),
        "qstash_next_signing_key": reader.text("QSTASH_NEXT_SIGNING_KEY", _no_check, QSTASH_FIX),
        "redis_url": reader.text("UPSTASH_REDIS_REST_URL", _redis_url, REDIS_FIX, "KV_REST_API_URL").rstrip("/"),
        "redis_token": reader.text("UPSTASH_REDIS_REST_TOKEN", _no_check, REDIS_FIX, "KV_REST_API_TOKEN"),
        "database_url": reader.text("DATABASE_URL", _database_url, DATABASE_FIX, "POSTGRES_URL"),
        "admin_api_key": reader.get("ADMIN_API_KEY"),
        "bypass_secret": reader.get("VERCEL_AUTOMATION_BYPASS_SECRET"),
        "vercel_env": reader.get("VERCEL_ENV"),
        "allow_unsigned_local": reader.flag("ALLOW_UNSIGNED_LOCAL"),
    }
    values |= reader.app_url()
    if reader.get("QSTASH_URL"):
        values["qstash_url"] = reader.text("QSTASH_URL", _http_url, "Leave it out, or copy it from QStash's console.")
    for name, check in TUNABLES.items():
        if reader.get(name):
            values[name.lower()] = reader.tunable(name, check)
    return Settings(**values, problems=tuple(reader.problems))


QSTASH_FIX = "Copy it from https://console.upstash.com/qstash into the environment and deploy again."
REDIS_FIX = "Copy it from the database's page at https://console.upstash.com/redis (section REST API)."
DATABASE_FIX = "Copy the connection string of your Postgres, for example from https://console.neon.tech."
APP_URL_FIX = "Set it to the public address of the app, for example https://shop.example.com, without a path."


class _Reader:
    """Collects a Problem for each variable that can't be used, and goes on."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[Problem] = []

    def get(self, name: str) -> str:
        return self._environ.get(name, "").strip()

    def text(self, name: str, check: Callable[[str], str], fix: str, other_name: str = "") -> str:
        value = self.get(name)
        used = name
        if not value and other_name:
            value, used = self.get(other_name), other_name
        if not value:
            self._add(name, "is not set" + (f" (nor is {other_name})" if other_name else ""), fix)
        elif value[0] in "'\"" and value[-1] == value[0]:
            self._add(name, f"has quotes around its value (in {used})", "Remove the quotes.")
        elif problem := check(value):
            self._add(name, f"{problem} (in {used})" if used != name else problem, fix)
        return value

    def flag(self, name: str) -> bool:
        value = self.get(name)
        if value not in ("", "0", "1"):
            self._add(name, "must be 1 or 0", "Set it to 1 on your own machine only; elsewhere leave it out.")
        return value == "1"

    def app_url(self) -> dict[str, object]:
        name = "NEXT_PUBLIC_APP_URL"
        production = self.get("VERCEL_PROJECT_PRODUCTION_URL")
        if not self.get(name) and production:
            return {"app_url": f"https://{production}", "app_url_is_guessed": True}
        return {"app_url": self.text(name, _app_url, APP_URL_FIX).rstrip("/")}

    def tunable(self, name: str, check: Callable[[str], Any]) -> Any:
        default = Settings.__dataclass_fields__[name.lower()]
        try:
            return check(self.get(name))
        except ValueError as error:
            self._add(name, str(error), "Correct it, or leave it out for the default (see .env.example).")
            return DEFAULT_WEIGHTS if name == "ACTION_WEIGHTS" else default.default

    def _add(self, variable: str, message: str, fix: str) -> None:
        self.problems.append(Problem(variable, message, fix))


def _no_check(value: str) -> str:
    return "holds a space or a line break" if re.search(r"\s", value) else ""


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    return "" if usable and not re.search(r"\s", value) else "is no http(s) URL"


def _redis_url(value: str) -> str:
    if value.startswith(("redis://", "rediss://")):
        return "is the address for the Redis protocol; the one needed is for REST and begins with https://"
    return _http_url(value)


def _app_url(value: str) -> str:
    problem = _http_url(value)
    if problem:
        return problem
    parts = urlsplit(value)
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        return "must be a bare address, without a path, query or user name"
    if parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS:
        return "begins with http://; a public app must use https://, and redirects count as failed deliveries"
    return ""


def _database_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("postgres", "postgresql") and bool(parts.hostname or "host=" in parts.query)
        usable = usable and parts.port != 0
    except ValueError:
        usable = False
    return "" if usable else "is no Postgres URL (postgresql://user:password@host/database)"


def _whole(low: int, high: int) -> Callable[[str], int]:
    def check(value: str) -> int:
        if not re.fullmatch(r"\d{1,12}", value) or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {value[:40]!r}")
        return int(value)

    return check


def _number(low: float, high: float) -> Callable[[str], float]:
    def check(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}, not {value[:40]!r}")
        return number

    return check


def _interval(value: str) -> int:
    seconds = _whole(1, 1800)(value)
    if problem := interval_problem(seconds):
        raise ValueError(problem)
    return seconds


def _half_life(value: str) -> float:
    hours = _number(0, 1e9)(value)
    finite = [half_life for half_life in HALF_LIVES_HOURS if half_life < float("inf")]
    if hours not in finite:
        raise ValueError(f"must be one of the half-lives that are kept: {', '.join(f'{h:g}' for h in finite)} hours")
    return hours


def _weights(value: str) -> dict[str, float]:
    weights = dict(DEFAULT_WEIGHTS)
    for part in value.split(","):
        name, _, weight = (piece.strip() for piece in part.partition("="))
        if name not in ACTION_NAMES:
            raise ValueError(f"names {name[:40]!r}; the actions are {', '.join(ACTION_NAMES)}")
        weights[name] = _number(-100, 100)(weight)
    return weights


TUNABLES: dict[str, Callable[[str], Any]] = {
    "ACTIONS_INTERVAL_SECONDS": _interval,
    "ACTIONS_TIME_BUDGET_SECONDS": _number(1, 780),
    "JOB_TIME_BUDGET_SECONDS": _number(1, 780),
    "CLAIM_MAX_ELEMENTS": _whole(1, 20_000),
    "CLAIM_LEASE_SECONDS": _whole(5, 3_600),
    "DEAD_LETTERS_MAX": _whole(1, 1_000_000),
    "DATABASE_MAX_CONNECTIONS": _whole(1, 100),
    "ACTION_WEIGHTS": _weights,
    "HISTORY_LENGTH": _whole(1, 5_000),
    "INTEREST_HALF_LIFE_DAYS": _number(0.01, 3_650),
    "POPULARITY_HALF_LIFE_HOURS": _half_life,
    "POPULARITY_WEIGHT": _number(0, 100),
    "MODEL_MAX_AGE_HOURS": _number(0, 8_760),
    "MODEL_MAX_ACTIONS": _whole(1_000, 20_000_000),
    "ACTIVE_USER_DAYS": _number(0.01, 3_650),
    "CACHE_TTL_SECONDS": _whole(10, 604_800),
    "RETENTION_DAYS": _whole(1, 36_500),
}
