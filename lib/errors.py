"""One small tree of errors. A class's docstring is its default message; web/edge.py alone chooses HTTP statuses.

What a page may show (settings, services that are away) is raised with Texts, which it can translate.
"""

from lib.text import Text


class RecommenderError(Exception):
    """Something went wrong."""

    code = "error"

    def __init__(self, message: str = "", *, fix: str = "") -> None:
        self.message = Text.of(message) if message else Text((type(self).__doc__ or "").strip())
        self.fix = Text.of(fix)
        super().__init__(self.message)


class SettingsError(RecommenderError):
    """An environment variable is missing or makes no sense."""

    code = "settings"


class InvalidInput(RecommenderError):
    """The request can't be understood."""

    code = "invalid_input"


class PayloadTooLarge(RecommenderError):
    """The request's body is too large."""

    code = "payload_too_large"


class Unauthenticated(RecommenderError):
    """The call carries no valid signature or key."""

    code = "unauthenticated"


class SignatureRejected(Unauthenticated):
    """The call carries no valid QStash signature."""

    def __init__(self, reason: str) -> None:
        super().__init__(fix="Only QStash may call this. Open /api/init to check the signing keys and the app's URL.")
        self.reason = reason  # for the log alone: a caller who guesses learns nothing


class ImpossibleJob(RecommenderError):
    """The message's body can never work, however often it is delivered."""

    code = "impossible_job"


class ServiceUnavailable(RecommenderError):
    """A service that this needs is away."""

    code = "unavailable"


class OutOfTime(ServiceUnavailable):
    """The time that this call may take is spent."""

    code = "out_of_time"


class RedisUnavailable(ServiceUnavailable):
    """Redis doesn't answer."""

    code = "redis_unavailable"


class PostgresUnavailable(ServiceUnavailable):
    """Postgres doesn't answer."""

    code = "postgres_unavailable"


class DatabaseRefuses(ServiceUnavailable):
    """Postgres refuses the rows that were to be written."""

    code = "postgres_refuses"


class DatabaseForbids(ServiceUnavailable):
    """The database role lacks a right."""

    code = "forbidden"


class SchemaMissing(ServiceUnavailable):
    """The database's tables are missing or out of date."""

    code = "schema_missing"


class QStashUnavailable(ServiceUnavailable):
    """QStash doesn't answer, or refuses."""

    code = "qstash_unavailable"
