"""A database that keeps what a job executes, so that it can be done again without the job."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from lib.adapters.database import STATEMENT_SECONDS, Connection, Database

Statement = tuple[bytes, Any]
Transaction = list[Statement]


class RecordingDatabase(Database):
    """`transactions`: the statements of each, in order, with their parameters."""

    def __init__(self, url: str, *, max_connections: int) -> None:
        super().__init__(url, max_connections=max_connections)
        self.transactions: list[Transaction] = []

    @contextmanager
    def transaction(self, *, seconds: float = STATEMENT_SECONDS, vectors: bool = False) -> Iterator[Connection]:
        statements: Transaction = []
        with super().transaction(seconds=seconds, vectors=vectors) as connection:
            yield cast(Connection, _Recorder(connection, statements))
        self.transactions.append(statements)


class _Recorder:
    """Passes everything on to a connection, and keeps what it executes."""

    def __init__(self, connection: Connection, statements: Transaction) -> None:
        self._connection = connection
        self._statements = statements

    def execute(self, query: bytes, parameters: Any = None, **how: Any) -> Any:
        self._statements.append((query, parameters))
        return self._connection.execute(query, parameters, **how)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)
