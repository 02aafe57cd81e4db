"""Vectors of items as one version has them: of those that are asked for, for a large catalogue has too many to hold."""

from collections.abc import Sequence
from itertools import islice
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from lib.adapters.database import QUERIES, Connection
from lib.core.defaults import EMBEDDING_SIZE
from lib.core.embeddings import Indices, Vectors

_ITEMS_AT_ONCE = 20_000  # 15 MB
_MOST_KEPT = 50_000  # items: 38 MB


class ItemVectors:
    """Those that were asked for lately, so that what many users read is fetched once. Threads may share them."""

    def __init__(self, version: int, *, most: int = _MOST_KEPT) -> None:
        self._version, self._most = version, most
        self._row_of = _Numbers()
        self._vectors: Vectors = np.zeros((0, EMBEDDING_SIZE), np.float32)
        self._lock = Lock()

    def of(self, connection: Connection, content_ids: Sequence[str]) -> tuple[Indices, Vectors]:
        """Of each id (m,) the row of its vector in (k, d), where what the version doesn't know has zeros."""
        with self._lock:
            if len(self._row_of) > self._most:
                self._row_of.clear()
                self._vectors = self._vectors[:0]
            rows = np.fromiter(map(self._row_of.__getitem__, content_ids), np.intp, len(content_ids))
            if missing := list(islice(self._row_of, len(self._vectors), None)):
                self._vectors = np.concatenate([self._vectors, read_item_vectors(connection, self._version, missing)])
            return rows, self._vectors


class _Numbers(dict[str, int]):
    """Numbers names in the order in which they are first asked for."""

    def __missing__(self, name: str) -> int:
        number = self[name] = len(self)
        return number


def read_item_vectors(connection: Connection, version: int, content_ids: Sequence[str]) -> Vectors:
    """The vectors of these items (n, d); zeros where the version doesn't know one."""
    vectors = np.zeros((len(content_ids), EMBEDDING_SIZE), np.float32)
    for start in range(0, len(content_ids), _ITEMS_AT_ONCE):
        part = slice(start, start + _ITEMS_AT_ONCE)
        parameters = {"version": version, "content_ids": list(content_ids[part])}
        row = connection.execute(QUERIES["item_vectors"], parameters, binary=True).fetchone()
        if row is not None and row[0] is not None:
            numbers, sent = row
            vectors[part][np.array(numbers) - 1] = _as_sent(sent)
    return vectors


def _as_sent(sent: bytes) -> NDArray[np.floating]:
    """Vectors (n, d) in pgvector's binary form: twice two bytes, the size and nothing, and big-endian numbers."""
    record = np.dtype([("size", ">i2"), ("unused", ">i2"), ("values", ">f4", EMBEDDING_SIZE)])
    vectors: NDArray[np.floating] = np.frombuffer(sent, record)["values"]
    return vectors
