"""Postgres's errors, and its poolers', in our words."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from lib.errors import DatabaseForbids, DatabaseRefuses, PostgresUnavailable, SchemaMissing
from lib.setting_fixes import how_to_set
from lib.text import Text

# Refusals of rows: the connection is as good as before.
REFUSALS = (psycopg.DataError, psycopg.IntegrityError, errors.RaiseException)

# What else may be wrong with a Postgres that answers.
_TROUBLES: dict[type[psycopg.Error], tuple[Text, Text]] = {
    errors.ReadOnlySqlTransaction: (
        Text("Postgres takes no writes"),
        Text("Wait for its failover to end, or point DATABASE_URL at the primary."),
    ),
    errors.DiskFull: (Text("Postgres's disk is full"), Text("Enlarge it, or lower RETENTION_DAYS.")),
    errors.TooManyConnections: (
        Text("Postgres takes no more connections"),
        Text("Use its pooler's address as DATABASE_URL, or lower DATABASE_MAX_CONNECTIONS."),
    ),
    errors.QueryCanceled: (
        Text("Postgres took too long"),
        Text("See what else keeps the database busy, or holds its locks."),
    ),
    errors.IdleInTransactionSessionTimeout: (
        Text("The function stood still within a transaction, which Postgres ended"),
        Text("It is tried again by itself."),
    ),
}
_AWAY = (
    Text("Postgres doesn't answer"),
    Text("Check the host and port in DATABASE_URL, and that the database is running."),
)
_POOLER_FULL = (
    Text("Postgres's pooler is full"),
    Text("Enlarge its pool or its limit of clients, or lower DATABASE_MAX_CONNECTIONS."),
)
# Refused logins, by Postgres's words: they have no type of their own.
_LOGINS = (
    (
        re.compile('password authentication failed|role "[^"]*" does not exist|no password supplied'),
        Text("Postgres refuses the user or the password in DATABASE_URL"),
    ),
    (re.compile('database "[^"]*" does not exist'), Text("Postgres has no database of the name in DATABASE_URL")),
    (
        re.compile("does not support SSL|no pg_hba.conf entry|SSL/TLS required|connection is insecure"),
        Text("Postgres and DATABASE_URL disagree about encryption"),
    ),
)
# PgBouncer's words, then Supavisor's (Supabase).
_SAYS_FULL = re.compile(
    "no more connections allowed|query_wait_timeout"
    "|max clients reached|max client connections reached|pool checkout timeout|unable to check out process",
    re.IGNORECASE,
)
# Supavisor speaks of itself under the SQLSTATE of a defect within Postgres.
_SAYS_SUPAVISOR = re.compile(r"\(E[A-Z]+\) |Unable to check out process|DbHandler exited")


@contextmanager
def translated_errors() -> Iterator[None]:
    """Lets psycopg's errors out as ours; what is left is a defect of ours and stays as it is."""
    try:
        yield
    except (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedObject, errors.UndefinedFunction) as error:
        raise SchemaMissing(
            Text("The database's tables are missing or out of date: {reason}", reason=_first_line(error)),
            fix=Text("Open /api/init once."),
        ) from error
    except errors.InsufficientPrivilege as error:
        raise DatabaseForbids(
            Text("The database role may not do this: {reason}", reason=_first_line(error)),
            fix=Text("Grant it, or run scripts/migrate with an owner's DATABASE_URL."),
        ) from error
    except (errors.FeatureNotSupported, errors.UndefinedFile) as error:
        raise PostgresUnavailable(
            Text("This Postgres lacks something: {reason}", reason=_first_line(error)),
            fix=Text("Use a Postgres that has pgvector, such as Neon."),
        ) from error
    except REFUSALS as error:
        raise DatabaseRefuses(
            Text("Postgres refuses a row: {reason}", reason=_first_line(error)),
            fix=Text("See which constraint or trigger of yours says so."),
        ) from error
    except (
        psycopg.OperationalError,
        psycopg.InterfaceError,
        errors.ReadOnlySqlTransaction,
        errors.IdleInTransactionSessionTimeout,
    ) as error:
        raise _unavailable(error) from error
    except psycopg.InternalError as error:
        if not _SAYS_SUPAVISOR.match(str(error)):
            raise
        raise _unavailable(error) from error


def _unavailable(error: psycopg.Error) -> PostgresUnavailable:
    """A refused login and a pooler's refusals are known by their words: they have no type of their own."""
    is_full = re.search("too many (connections|clients)|remaining connection slots", str(error))
    trouble, fix = _TROUBLES.get(errors.TooManyConnections if is_full else type(error), _AWAY)
    if _SAYS_FULL.search(str(error)):
        trouble, fix = _POOLER_FULL
    for pattern, refusal in _LOGINS:
        if pattern.search(str(error)):
            trouble, fix = refusal, how_to_set("DATABASE_URL")
            break
    return PostgresUnavailable(Text("{trouble}: {reason}", trouble=trouble, reason=_first_line(error)), fix=fix)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
