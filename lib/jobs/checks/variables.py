"""The environment: what is missing, what makes no sense, and what was put into the wrong variable."""

from collections.abc import Iterator

from lib.adapters.services import Services
from lib.jobs.checks.check import Check
from lib.setting_fixes import KEYS_FIX, how_to_set
from lib.settings import Settings
from lib.text import Text

REQUIRED = (
    "QSTASH_TOKEN",
    "QSTASH_CURRENT_SIGNING_KEY",
    "QSTASH_NEXT_SIGNING_KEY",
    "NEXT_PUBLIC_APP_URL",
    "UPSTASH_REDIS_REST_URL",
    "UPSTASH_REDIS_REST_TOKEN",
    "DATABASE_URL",
)


def check_variables(services: Services) -> Iterator[Check]:
    settings = services.settings
    for problem in settings.problems:
        yield Check(problem.variable, "error", problem.sentence, problem.fix)
    mixed_up = list(_mix_ups(settings))
    yield from mixed_up
    said = {problem.variable for problem in settings.problems} | {check.name for check in mixed_up}
    for name in REQUIRED:
        if name not in said and not (name == "NEXT_PUBLIC_APP_URL" and settings.app_url_is_guessed):
            yield Check(name, "ok", Text("{variable} is set.", variable=name))
    if settings.app_url_is_guessed:
        message = Text("NEXT_PUBLIC_APP_URL is not set; {url} is used, which Vercel names.", url=settings.app_url)
        yield Check("NEXT_PUBLIC_APP_URL", "warning", message, how_to_set("NEXT_PUBLIC_APP_URL"))
    if not settings.admin_api_key:
        message = Text(
            "ADMIN_API_KEY is not set: only this machine can open /api/init, /api/status and /api/recommend."
        )
        status = "warning" if settings.allow_unsigned_local else "error"
        yield Check("ADMIN_API_KEY", status, message, how_to_set("ADMIN_API_KEY"))  # type: ignore[arg-type]


def _mix_ups(settings: Settings) -> Iterator[Check]:
    """Values in the wrong place, as far as they can be told by their looks: the services then say no more than no."""
    token, redis = settings.qstash_token, settings.redis_token
    keys = {
        "QSTASH_CURRENT_SIGNING_KEY": settings.qstash_current_signing_key,
        "QSTASH_NEXT_SIGNING_KEY": settings.qstash_next_signing_key,
    }
    if token.startswith("sig_"):
        message = Text("QSTASH_TOKEN holds a signing key, not the token.")
        yield Check("QSTASH_TOKEN", "error", message, how_to_set("QSTASH_TOKEN"))
    for name, key in keys.items():
        if key and key in (token, redis):
            message = Text("{variable} holds a token, not a signing key.", variable=name)
            yield Check(name, "error", message, how_to_set(name))
    if token and token == redis:
        # QStash's own begin like this, being JSON in base64.
        name = "UPSTASH_REDIS_REST_TOKEN" if token.startswith("eyJ") else "QSTASH_TOKEN"
        message = Text("QSTASH_TOKEN and UPSTASH_REDIS_REST_TOKEN hold the same token.")
        yield Check(name, "error", message, how_to_set(name))
    elif redis.startswith("eyJ") and not token.startswith("eyJ"):
        message = Text("UPSTASH_REDIS_REST_TOKEN holds a token of QStash, as if the two were swapped.")
        yield Check("UPSTASH_REDIS_REST_TOKEN", "error", message, how_to_set("UPSTASH_REDIS_REST_TOKEN"))
    current, following = keys.values()
    if current and current == following:
        message = Text("QSTASH_CURRENT_SIGNING_KEY and QSTASH_NEXT_SIGNING_KEY hold the same key.")
        yield Check("QSTASH_NEXT_SIGNING_KEY", "error", message, KEYS_FIX)
