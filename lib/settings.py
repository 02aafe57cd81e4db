"""The environment, parsed once into a frozen object. Nothing raises here: every missing or bad variable becomes
a Problem, so that /api/init can show all of them at once; `require` raises for those that a job can't do without.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from lib.core.defaults import AUTHOR_SHARE, HISTORY_LENGTH, NEW_PER_PAGE, TOPIC_SHARE
from lib.core.half_lives import position_of
from lib.errors import SettingsError
from lib.setting_fixes import how_to_set
from lib.setting_values import (
    DEFAULT_WEIGHTS,
    LOOPBACK_HOSTS,
    TUNABLES,
    app_url_problem,
    database_url_problem,
    http_url_problem,
    key_problem,
    redis_url_problem,
    token_problem,
)
from lib.text import Text

CLOCK_LEEWAY_SECONDS = 60  # by which this machine's clock and QStash's may differ


@dataclass(frozen=True)
class Problem:
    """What is wrong with one variable, as the rest of a sentence, and how to mend it."""

    variable: str
    message: Text
    fix: Text

    @property
    def sentence(self) -> Text:
        return Text("{variable} {problem}.", variable=self.variable, problem=self.message)


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
    is_vercel_dev: bool = False

    actions_interval_seconds: int = 5
    actions_time_budget_seconds: float = 25.0
    job_time_budget_seconds: float = 240.0
    embeddings_time_budget_seconds: float = 50.0
    claim_max_elements: int = 5_000
    claim_lease_seconds: float = 60
    dead_letters_max: int = 10_000
    database_max_connections: int = 4
    fan_out_parallelism: int = 4
    warm_shard_users: int = 2_000
    embeddings_shard_users: int = 40_000
    action_weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    history_length: int = HISTORY_LENGTH
    interest_half_life_days: float | None = None  # None: as it was learned
    popularity_half_life_hours: float | None = None  # None: chosen by replaying the log
    model_max_age_hours: float = 12.0
    model_max_actions: int = 1_000_000
    new_content_max_age_days: float = 30.0
    new_items_per_page: int = NEW_PER_PAGE
    topic_share: float = TOPIC_SHARE
    author_share: float = AUTHOR_SHARE
    active_user_days: float = 7.0
    cache_ttl_seconds: int = 7_200
    retention_days: int = 365
    problems: tuple[Problem, ...] = ()

    @property
    def positive_actions(self) -> list[str]:
        """The actions that count towards popularity and co-reads."""
        return sorted(name for name, weight in self.action_weights.items() if weight > 0)

    @property
    def popularity_position(self) -> float | None:
        """The half-life that is set, as lib/core/half_lives.py counts; None where it is learned."""
        hours = self.popularity_half_life_hours
        return None if hours is None else position_of(hours)

    @property
    def is_deployed(self) -> bool:
        return self.vercel_env not in ("", "development")

    @property
    def is_preview(self) -> bool:
        return self.vercel_env == "preview"

    @property
    def may_hide_a_tunnel(self) -> bool:
        """`vercel dev` says in every forwarding header that a call comes from this machine, whoever has sent it. A
        public address for the app tells that there is a tunnel."""
        return self.is_vercel_dev and urlsplit(self.app_url).hostname not in LOOPBACK_HOSTS

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
                raise SettingsError(problem.sentence, fix=problem.fix)

    def _problem_of(self, variable: str) -> Problem | None:
        return next((problem for problem in self.problems if problem.variable == variable), None)


def parse_settings(environ: Mapping[str, str]) -> Settings:
    """Reads every variable. The names and units are in .env.example."""
    reader = _Reader(environ)
    values: dict[str, Any] = {
        "qstash_token": reader.text("QSTASH_TOKEN", token_problem),
        "qstash_current_signing_key": reader.text("QSTASH_CURRENT_SIGNING_KEY", token_problem),
        "qstash_next_signing_key": reader.text("QSTASH_NEXT_SIGNING_KEY", token_problem),
        "redis_url": reader.text("UPSTASH_REDIS_REST_URL", redis_url_problem, "KV_REST_API_URL").rstrip("/"),
        "redis_token": reader.text("UPSTASH_REDIS_REST_TOKEN", token_problem, "KV_REST_API_TOKEN"),
        "database_url": reader.text("DATABASE_URL", database_url_problem, "POSTGRES_URL"),
        "admin_api_key": reader.optional("ADMIN_API_KEY", key_problem),
        "bypass_secret": reader.optional("VERCEL_AUTOMATION_BYPASS_SECRET", token_problem),
        "vercel_env": reader.get("VERCEL_ENV"),
        "is_vercel_dev": reader.get("VERCEL_REGION") == "dev1",
        "allow_unsigned_local": reader.flag("ALLOW_UNSIGNED_LOCAL"),
    }
    values |= reader.app_url()
    if qstash_url := reader.optional("QSTASH_URL", http_url_problem):
        values["qstash_url"] = qstash_url.rstrip("/")
    for name, check in TUNABLES.items():
        if reader.get(name):
            values[name.lower()] = reader.tunable(name, check)
    return Settings(**values, problems=tuple(reader.problems))


class _Reader:
    """Collects a Problem for each variable that can't be used, and goes on."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[Problem] = []

    def get(self, name: str) -> str:
        return self._environ.get(name, "").strip()

    def text(self, name: str, check: Callable[[str], Text | None], other_name: str = "") -> str:
        value, used = self.get(name), name
        if not value and other_name:
            value, used = self.get(other_name), other_name
        if not value:
            absent = Text("is not set (nor is {other_name})", other_name=other_name)
            self._add(name, absent if other_name else Text("is not set"), how_to_set(name))
        elif value[0] in "'\"" and value[-1] == value[0]:
            self._add(name, Text("has quotes around its value (in {used})", used=used), Text("Remove the quotes."))
        elif value.startswith(f"{used}="):
            problem = Text("holds its own name (in {used})", used=used)
            self._add(name, problem, Text("Leave out everything up to the first =."))
        elif found := check(value):
            other = Text("{problem} (in {used})", problem=found, used=used)
            self._add(name, other if used != name else found, how_to_set(name))
        return value

    def optional(self, name: str, check: Callable[[str], Text | None]) -> str:
        return self.text(name, check) if self.get(name) else ""

    def flag(self, name: str) -> bool:
        value = self.get(name)
        if value not in ("", "0", "1"):
            fix = Text("Set it to 1 on your own machine only; elsewhere leave it out.")
            self._add(name, Text("must be 1 or 0"), fix)
        return value == "1"

    def app_url(self) -> dict[str, object]:
        name = "NEXT_PUBLIC_APP_URL"
        production = self.get("VERCEL_PROJECT_PRODUCTION_URL")
        if not self.get(name) and production:
            return {"app_url": f"https://{production}", "app_url_is_guessed": True}
        return {"app_url": self.text(name, app_url_problem).rstrip("/")}

    def tunable(self, name: str, check: Callable[[str], Any]) -> Any:
        default = Settings.__dataclass_fields__[name.lower()]
        try:
            return check(self.get(name))
        except ValueError as error:
            fix = Text("Correct it, or leave it out for the default (see .env.example).")
            self._add(name, Text.of(error.args[0]), fix)
            return DEFAULT_WEIGHTS if name == "ACTION_WEIGHTS" else default.default

    def _add(self, variable: str, message: Text, fix: Text) -> None:
        self.problems.append(Problem(variable, message, fix))
