"""Postgres: a few lazily made connections, transactions bounded in time, errors in our words."""

import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg import errors
from psycopg.abc import RV, PQGen, PQGenConn

from lib.errors import DatabaseForbids, DatabaseRefuses, OutOfTime, PostgresUnavailable, SchemaMissing
from lib.setting_fixes import how_to_set
from lib.text import Text
from lib.time_limit import seconds_left

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 20.0  # a tick's transaction takes well under one
KEPT_SECONDS = 3.0  # for a kept connection to prove that it lives: after a failover nobody answers on it any more
GRACE_SECONDS = 0.5  # the server ends a statement itself, with a better message; where it hangs, we do after this
# A function frozen inside a transaction must not hold its locks: the server ends it after this.
IDLE_SECONDS = 20

_SET_TIMEOUTS = """
SELECT set_config('statement_timeout', %(statement)s, true),
       set_config('idle_in_transaction_session_timeout', %(idle)s, true)
"""


def load_queries(path: Path) -> dict[str, bytes]:
    """The named blocks of a .sql file: `-- name: what_it_is`, then the statement; {name} puts an earlier one in.

    Bytes, because psycopg takes a str only where the type checker can see that nobody's input is in it.
    """
    parts = re.split(r"^-- name: (\w+)\s*$", path.read_text(), flags=re.MULTILINE)
    blocks: dict[str, str] = {}
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        blocks[name] = re.sub(r"\{(\w+)\}", lambda match: blocks[match[1]], text.strip())
    return {name: text.encode() for name, text in blocks.items()}


QUERIES = load_queries(Path(__file__).with_name("queries.sql"))

# Refusals of rows: the connection is as good as before.
_REFUSALS = (psycopg.DataError, psycopg.IntegrityError, errors.RaiseException)


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """Waits for no statement longer than `patience` or than its caller has time, though the server be frozen."""

    patience = STATEMENT_SECONDS

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn[Self]:
        """The client gives each address of a server a time of its own, and never less than two seconds."""
        attempt = super()._connect_gen(conninfo)
        try:
            waits_for = next(attempt)
            while True:
                ready = yield waits_for
                seconds_left(CONNECT_SECONDS)
                waits_for = attempt.send(ready)
        except OutOfTime:
            raise errors.ConnectionTimeout("no connection in time") from None
        except StopIteration as end:
            connection: Self = end.value
            return connection

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        return super().wait(gen, interval, seconds_left(self.patience) + GRACE_SECONDS)


class Database:
    """Connections of one process, shared by its threads; at most `max_connections`, kept between requests."""

    def __init__(self, url: str, *, max_connections: int) -> None:
        self._url = url
        self._free = threading.BoundedSemaphore(max_connections)
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    @contextmanager
    def transaction(self, *, seconds: float = STATEMENT_SECONDS, vectors: bool = False) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back on an error. No statement outlives `seconds`.

        With `vectors` the connection reads and writes pgvector's type.
        """
        if not self._free.acquire(timeout=seconds_left(seconds)):
            raise PostgresUnavailable(Text("Every database connection of this process is busy."))
        try:
            with translated_errors():
                connection = self._begin(seconds)
                try:
                    if vectors:
                        _register_vectors(connection)
                    yield connection
                    connection.commit()
                except _REFUSALS:
                    self._roll_back(connection)
                    raise
                except psycopg.Error:
                    connection.close()  # which rolls back; the next one may reach a server that does better
                    raise
                except BaseException:
                    self._roll_back(connection)
                    raise
                finally:
                    self._put_back(connection)
        finally:
            self._free.release()

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def _begin(self, seconds: float) -> Connection:
        """A connection whose transaction has begun. A kept one may have died since: then a new one is made."""
        if (kept := self._take_idle()) is not None:
            kept.patience = min(KEPT_SECONDS, seconds_left(seconds) / 2)
            try:
                return _bounded(kept, seconds)
            except (psycopg.OperationalError, psycopg.InternalError):
                self.close()  # a failover has left the other kept ones behind too
        made = self._connect()
        made.patience = seconds  # a pooler lets whoever has logged in wait for a server connection
        return _bounded(made, seconds)

    def _connect(self) -> Connection:
        try:
            return Connection.connect(
                self._url,
                connect_timeout=math.ceil(seconds_left(CONNECT_SECONDS)),
                prepare_threshold=None,  # poolers in transaction mode know no prepared statements
                application_name="recommendations",
                keepalives_idle=10,
                tcp_user_timeout=15_000,  # milliseconds
            )
        except psycopg.ProgrammingError:
            # Its message would quote the URL, password included.
            raise PostgresUnavailable(
                Text("DATABASE_URL can't be read as a connection string."),
                fix=Text(
                    "Copy it again from your Postgres's console, without options of other libraries (?pgbouncer=true)."
                ),
            ) from None

    def _take_idle(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _roll_back(self, connection: Connection) -> None:
        try:
            connection.rollback()
        except (psycopg.Error, OutOfTime):
            connection.close()

    def _put_back(self, connection: Connection) -> None:
        if not connection.closed:
            with self._lock:
                self._idle.append(connection)


def _bounded(connection: Connection, seconds: float) -> Connection:
    """Begins a transaction whose statements the server ends after `seconds`, or when the caller's time is spent."""
    try:
        statement_ms = math.ceil(seconds_left(seconds) * 1000)  # never 0, which would mean no bound at all
        connection.execute(_SET_TIMEOUTS, {"statement": f"{statement_ms}ms", "idle": f"{IDLE_SECONDS}s"})
    except BaseException:
        connection.close()
        raise
    connection.patience = seconds
    return connection


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
    except _REFUSALS as error:
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


def _register_vectors(connection: Connection) -> None:
    """Once for each connection. Imported here because a connection that reads no vectors does without."""
    if connection.adapters.types.get("vector") is None:
        from pgvector.psycopg import register_vector

        try:
            register_vector(connection)
        except psycopg.ProgrammingError:
            message = Text("The database has no type `vector`: pgvector is missing.")
            raise SchemaMissing(message, fix=Text("Open /api/init.")) from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
