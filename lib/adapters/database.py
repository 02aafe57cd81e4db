"""Postgres: a few lazily made connections, transactions bounded in time, errors in our words."""

import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import psycopg
from psycopg import errors, generators
from psycopg.abc import RV, PQGen, PQGenConn
from psycopg.pq import Escaping, ExecStatus
from psycopg.types import TypeInfo

from lib.adapters.postgres_errors import REFUSALS, translated_errors
from lib.errors import OutOfTime, PostgresUnavailable, SchemaMissing
from lib.text import Text
from lib.time_limit import seconds_left, time_limit

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 20.0  # a tick's transaction takes well under one
KEPT_SECONDS = 3.0  # for a kept connection to prove that it lives: after a failover nobody answers on it any more
GRACE_SECONDS = 0.5  # the server ends a statement itself, with a better message; where it hangs, we do after this
# A function frozen inside a transaction must not hold its locks: the server ends it after this.
IDLE_SECONDS = 20

R = TypeVar("R")

# Each goes to the server at once with what it bounds, in one round trip. Poolers in transaction mode let that through,
# and keep none of it: what is set ends with the transaction, and several statements sent at once are one.
_BEGIN = b"""
BEGIN; SET LOCAL statement_timeout = %d; SET LOCAL idle_in_transaction_session_timeout = %d"""
_BOUND = b"SET LOCAL statement_timeout = %d;\n"


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


def array_literal(texts: Sequence[str]) -> str:
    """A text[] as Postgres reads it: as a parameter cheaper than a list, each of whose elements the client looks at."""
    if not texts:
        return "{}"
    joined = '","'.join(texts)
    if "\\" in joined or joined.count('"') > 2 * (len(texts) - 1):
        joined = '","'.join(text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return '{"' + joined + '"}'


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
        self._answered_at = -math.inf  # of time.monotonic

    @contextmanager
    def transaction(self, *, seconds: float = STATEMENT_SECONDS, vectors: bool = False) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back on an error. No statement outlives `seconds`.

        With `vectors` the connection reads and writes pgvector's type.
        """
        with self._permit(seconds), translated_errors():
            connection, _ = self._start(_begin, seconds)
            try:
                if vectors:
                    _register_vectors(connection)
                yield connection
                connection.commit()
            except REFUSALS:
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

    def read_texts(self, query: bytes, texts: Mapping[str, str], *, seconds: float = STATEMENT_SECONDS) -> list[str]:
        """The one column, of texts, that a statement answers which changes nothing, in one round trip.

        It doesn't outlive `seconds` from when a connection is free, and may run twice: what isn't answered on a kept
        connection is asked on a new one.
        """
        with self._permit(seconds), time_limit(seconds), translated_errors():
            connection, found = self._start(partial(_read_texts, query, texts), seconds)
            self._put_back(connection)
            return found

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    @contextmanager
    def _permit(self, seconds: float) -> Iterator[None]:
        """To use one of the connections. Waits on past `seconds` while Postgres answers those who are before."""
        while not self._free.acquire(timeout=(patience := seconds_left(seconds))):
            if patience < seconds or time.monotonic() - self._answered_at > seconds:
                raise PostgresUnavailable(Text("Every database connection of this process is busy."))
        try:
            yield
        finally:
            self._free.release()

    def _start(self, work: Callable[[Connection, float], R], seconds: float) -> tuple[Connection, R]:
        """A connection, and what the first work on it came to. A kept one may have died since: then a new one is made,
        and the work done there."""
        if (kept := self._take_idle()) is not None:
            kept.patience = min(KEPT_SECONDS, seconds_left(seconds) / 2)
            try:
                return _done(kept, work, seconds)
            except errors.QueryCanceled:
                raise  # which the server has said: it lives
            except (psycopg.OperationalError, psycopg.InternalError):
                self.close()  # a failover has left the other kept ones behind too
        made = self._connect()
        made.patience = seconds  # a pooler lets whoever has logged in wait for a server connection
        return _done(made, work, seconds)

    def _connect(self) -> Connection:
        try:
            return Connection.connect(
                self._url,
                autocommit=True,  # a transaction is begun by its own statement, with its bounds
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
            self._answered_at = time.monotonic()
            with self._lock:
                self._idle.append(connection)


def _done(connection: Connection, work: Callable[[Connection, float], R], seconds: float) -> tuple[Connection, R]:
    try:
        answer = work(connection, seconds)
    except BaseException:
        connection.close()
        raise
    connection.patience = seconds
    return connection, answer


def _begin(connection: Connection, seconds: float) -> None:
    """Begins a transaction whose statements the server ends after `seconds`, or when the caller's time is spent."""
    connection.execute(_BEGIN % (_milliseconds(seconds), IDLE_SECONDS * 1000))


def _read_texts(query: bytes, texts: Mapping[str, str], connection: Connection, seconds: float) -> list[str]:
    """Past psycopg's cursors, which take as long as the server does. A literal, because the server takes no parameters
    for two statements at once."""
    escaping, encoding = Escaping(connection.pgconn), connection.info.encoding
    literals = {name.encode(): escaping.escape_literal(text.encode(encoding)) for name, text in texts.items()}
    statement = re.sub(rb"%\((\w+)\)s", lambda match: literals[match[1]], query)
    connection.pgconn.send_query(_BOUND % _milliseconds(seconds) + statement)
    result = connection.wait(generators.execute(connection.pgconn))[-1]
    if result.status != ExecStatus.TUPLES_OK:
        raise errors.error_from_result(result, encoding)
    return [(result.get_value(row, 0) or b"").decode(encoding) for row in range(result.ntuples)]


def _milliseconds(seconds: float) -> int:
    """Of what is left; never 0, which would mean no bound at all."""
    return math.ceil(seconds_left(seconds) * 1000)


def _register_vectors(connection: Connection) -> None:
    """Once for each connection. Imported here because a connection that reads no vectors does without.

    pgvector's own way asks for four types, in three round trips each.
    """
    if connection.adapters.types.get("vector") is None:
        from pgvector.psycopg.vector import register_vector_info

        found = connection.execute(QUERIES["vector_type"]).fetchone()
        if found is None:
            message = Text("The database has no type `vector`: pgvector is missing.")
            raise SchemaMissing(message, fix=Text("Open /api/init."))
        register_vector_info(connection, TypeInfo("vector", *found, regtype="vector"))
