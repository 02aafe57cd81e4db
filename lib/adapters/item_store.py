"""What a model knows of each item, packed into rows: statistics, vectors and neighbours.

numpy is imported by whoever asks for these rows; the rest of the adapters does without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from lib.adapters.database import QUERIES, Connection
from lib.core.defaults import CO_READ_SIZE, HALF_LIVES_HOURS, TEXT_SIZE
from lib.core.diversity import Topics, topics_of
from lib.core.ranker.items import Items
from lib.core.ranker.log import Floats, Indices, Mask, Vectors, starts_of
from lib.core.ranker.neighbours import CHANNELS, Rows
from lib.core.ranker.statistics import UNMET, pack_statistics


@dataclass(frozen=True)
class StoredItems:
    """Items (n,) as they are stored. `statistics` (n, S), `vectors` (n, d) and `circles` (n, c) are as of the model's
    building; of an item that the model doesn't know, whose position is -1, they are UNMET and zeros. `sums` (n,
    half-lives) are as of `as_of`: zeros and -inf where nobody has met the item."""

    content_ids: list[str]
    positions: Indices
    statistics: Floats
    vectors: Vectors
    circles: Vectors
    as_of: Floats
    sums: Floats
    topics: list[Topics]
    available: Mask

    @property
    def is_met(self) -> Mask:
        """Whether anybody has acted on each; what has only been disliked has no popularity."""
        return np.isfinite(self.as_of) | np.isfinite(self.statistics[:, 0])


@dataclass(frozen=True)
class StoredRows:
    """The neighbours of some items: `rows` (n of them) lead to positions. `idf` (n,) is of the items themselves."""

    content_ids: list[str]
    idf: Floats
    rows: Rows


def add_items(
    connection: Connection,
    version: int,
    content_ids: Sequence[str],
    items: Items,
    rows: Rows,
    circles: NDArray[np.float32],
) -> None:
    """Stores all items of a model with their neighbours; an item's position is its index in `content_ids`."""
    statistics = pack_statistics(items)
    vectors = np.concatenate([np.zeros((len(content_ids), 0), np.float32), *items.vectors], axis=1, dtype=np.float32)
    with connection.cursor().copy(QUERIES["copy_items"]) as copy:
        copy.set_types(["int8", "int4", "text", "float8[]", "bytea", "bytea", "bytea", "bytea"])
        for position, content_id in enumerate(content_ids):
            row = slice(rows.starts[position], rows.starts[position + 1])
            packed = (
                vectors[position].tobytes(),
                _pack(circles[position], np.float32),
                _pack(rows.items[row], np.int32),
                _pack(rows.values[row], np.float32),
            )
            copy.write_row((version, position, content_id, statistics[position].tolist(), *packed))


def read_neighbours(connection: Connection, version: int | None, content_ids: Sequence[str]) -> StoredRows:
    """Of those of `content_ids` that the model knows, in any order."""
    parameters = {"version": version, "content_ids": list(content_ids)}
    rows = connection.cursor(binary=True).execute(QUERIES["neighbours"], parameters).fetchall()
    found, idf, neighbours, values = zip(*rows, strict=True) if rows else ((), (), (), ())
    return StoredRows(
        list(found),
        np.array(idf, np.float64),
        Rows(
            starts_of(np.array([len(packed) for packed in neighbours], np.intp) // np.dtype(np.int32).itemsize),
            np.frombuffer(b"".join(neighbours), np.int32),
            np.frombuffer(b"".join(values), np.float32).reshape(-1, len(CHANNELS)),
        ),
    )


def read_items(
    connection: Connection,
    version: int | None,
    *,
    content_ids: Sequence[str],
    positions: Sequence[int] = (),
    language: str | None = None,
) -> StoredItems:
    """The items of these ids and of these positions, in the order of ids; `available` also says whether it is of the
    language."""
    parameters = {
        "version": version,
        "content_ids": list(content_ids),
        "positions": list(positions),
        "language": language,
    }
    rows = connection.cursor(binary=True).execute(QUERIES["items"], parameters).fetchall()
    found, places, statistics, vectors, circles, as_of, sums, topics, available = (
        zip(*rows, strict=True) if rows else ((),) * 9
    )
    return StoredItems(
        list(found),
        np.array([-1 if position is None else position for position in places], np.intp),
        _numbers(statistics, absent=UNMET),
        _unpacked(vectors, width=CO_READ_SIZE + TEXT_SIZE),
        _unpacked(circles, width=TEXT_SIZE),
        np.array([-np.inf if time is None else time for time in as_of], np.float64),
        _numbers(sums, absent=np.zeros(len(HALF_LIVES_HOURS))),
        [topics_of(some) for some in topics],
        np.array(available, bool),
    )


def read_reads(
    connection: Connection, user_ids: Sequence[str], *, counted: Sequence[str]
) -> list[tuple[str, str, float | None]]:
    """(user_id, content_id, unix seconds of the first action that counts, or None) of all that the users acted on."""
    parameters = {"user_ids": list(user_ids), "counted": list(counted)}
    return connection.execute(QUERIES["reads"], parameters).fetchall()


def read_new_items(
    connection: Connection, content_ids: Sequence[str], *, since: datetime
) -> dict[str, tuple[float, float, list[str]]]:
    """(first and last action in unix seconds, every action) of these items since then."""
    rows = connection.execute(QUERIES["new_items"], {"content_ids": list(content_ids), "since": since})
    return {content_id: (first, last, actions) for content_id, first, last, actions in rows}


def _numbers(rows: Sequence[list[float] | None], *, absent: Floats) -> Floats:
    """Rows of numbers as a matrix (n, ·)."""
    nothing = absent.tolist()
    numbers: Floats = np.array([nothing if row is None else row for row in rows], np.float64)
    return numbers.reshape(len(rows), len(absent))


def _unpacked(rows: Sequence[bytes | None], *, width: int) -> Vectors:
    """Packed vectors as a matrix (n, width), zeros where there is none."""
    vectors = np.zeros((len(rows), width), np.float32)
    present = [row for row in rows if row is not None]
    vectors[[row is not None for row in rows]] = np.frombuffer(b"".join(present), np.float32).reshape(-1, width)
    return vectors


def _pack(values: NDArray[np.generic], kind: type[np.generic]) -> bytes:
    return np.ascontiguousarray(values, dtype=kind).tobytes()
