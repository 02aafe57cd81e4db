"""Users' last actions, many users' at once. As arrays: a million objects would take seconds to make."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from psycopg.adapt import Loader
from psycopg.pq import Format

from lib.adapters.database import QUERIES, Connection
from lib.core.embeddings import Floats, Indices

_ARRAY_OF_TIMES = 1185  # Postgres's number of timestamptz[]
_ARRAY_HEADER = 20  # bytes: dimensions, nulls, type, length, first index
_TIME = np.dtype([("length", ">i4"), ("microseconds", ">i8")])
_EPOCH = 946_684_800.0  # unix seconds of 2000-01-01, from which Postgres counts


@dataclass(frozen=True)
class Histories:
    """Actions (m,) of users in no particular order: `users` are places in the list that was asked for, times are unix
    seconds."""

    users: Indices
    content_ids: list[str]
    actions: list[str]
    times: Floats


class _Bytes(Loader):
    """Leaves a value as it was sent."""

    format = Format.BINARY

    def load(self, data: bytes | bytearray | memoryview) -> bytes:
        return bytes(data)


def read_histories(connection: Connection, *, user_ids: Sequence[str], length: int) -> Histories:
    """The users' `length` last actions, each one's own."""
    cursor = connection.cursor(binary=True)
    cursor.adapters.register_loader(_ARRAY_OF_TIMES, _Bytes)
    rows = cursor.execute(QUERIES["histories"], {"user_ids": list(user_ids), "length": length}).fetchall()
    numbers, times, content_ids, actions = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Histories(
        users=np.repeat(np.array(numbers, np.intp) - 1, [len(ids) for ids in content_ids]),
        content_ids=list(chain.from_iterable(content_ids)),
        actions=list(chain.from_iterable(names.split(",") for names in actions)),
        times=_seconds(b"".join(sent[_ARRAY_HEADER:] for sent in times)),
    )


def _seconds(sent: bytes) -> NDArray[np.float64]:
    return np.frombuffer(sent, _TIME)["microseconds"] / 1e6 + _EPOCH
