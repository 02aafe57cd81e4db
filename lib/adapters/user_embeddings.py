"""The projection `user_embeddings`: written for many users at once."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from psycopg.adapt import Dumper
from psycopg.pq import Format

from lib.adapters.database import QUERIES, Connection
from lib.core.embeddings import Vectors


@dataclass(frozen=True)
class _Sent:
    """A value in Postgres's binary form."""

    data: bytes


class _SentDumper(Dumper):
    format = Format.BINARY

    def dump(self, value: _Sent) -> bytes:
        return value.data


def write_user_embeddings(
    connection: Connection, *, user_ids: Sequence[str], embeddings: Vectors, version: int, now: datetime
) -> None:
    """Puts the (n, d) embeddings in place. The connection knows vectors."""
    cursor = connection.cursor()
    cursor.adapters.register_dumper(_Sent, _SentDumper)
    vectors = _Sent(_array_of_vectors(connection, embeddings))
    cursor.execute(
        QUERIES["put_embeddings"],
        {"user_ids": list(user_ids), "embeddings": vectors, "now": now, "version": version},
    )


def _array_of_vectors(connection: Connection, embeddings: Vectors) -> bytes:
    """As pgvector's and Postgres's binary forms say, made in one go: psycopg would make each vector by itself."""
    known = connection.adapters.types.get("vector")
    assert known is not None
    count, size = embeddings.shape
    record = np.dtype([("length", ">i4"), ("size", ">i2"), ("unused", ">i2"), ("values", ">f4", size)])
    vectors = np.zeros(count, record)
    vectors["length"], vectors["size"], vectors["values"] = record.itemsize - 4, size, embeddings
    dimensions = 1 if count else 0
    header = struct.pack(">iii", dimensions, 0, known.oid) + struct.pack(">ii", count, 1) * dimensions
    return header + vectors.tobytes()
