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
from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.diversity import Topics, topics_of
from lib.core.ranker.items import Items
from lib.core.ranker.neighbours import CHANNELS, Rows
from lib.core.ranker.statistics import pack_statistics


@dataclass(frozen=True)
class StoredItem:
    """One item as it is stored. `statistics` (S,), `vectors` (d,) and `circle` (c,) are as of the model's building and
    None for an item that the model doesn't know; `sums` are as of `as_of`, None where nobody has met the item."""

    content_id: str
    position: int | None
    statistics: NDArray[np.float64] | None
    vectors: NDArray[np.float32] | None
    circle: NDArray[np.float32] | None
    as_of: float | None
    sums: NDArray[np.float64] | None
    topics: Topics
    available: bool

    @property
    def is_met(self) -> bool:
        """Whether anybody has acted on it; what has only been disliked has no popularity."""
        return self.as_of is not None or (self.statistics is not None and bool(np.isfinite(self.statistics[0])))


@dataclass(frozen=True)
class Neighbours:
    """The neighbours of one item: their positions (k,) and what each channel says (k, channels)."""

    idf: float
    positions: NDArray[np.int32]
    values: NDArray[np.float32]


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


def read_neighbours(connection: Connection, version: int | None, content_ids: Sequence[str]) -> dict[str, Neighbours]:
    parameters = {"version": version, "content_ids": list(content_ids)}
    rows = connection.cursor(binary=True).execute(QUERIES["neighbours"], parameters)
    return {
        content_id: Neighbours(
            idf, np.frombuffer(neighbours, np.int32), np.frombuffer(values, np.float32).reshape(-1, len(CHANNELS))
        )
        for content_id, idf, neighbours, values in rows
    }


def read_items(
    connection: Connection,
    version: int | None,
    *,
    content_ids: Sequence[str],
    positions: Sequence[int] = (),
    language: str | None = None,
) -> list[StoredItem]:
    """The items of these ids and of these positions, in the order of ids; `available` also says whether it is of the
    language."""
    parameters = {
        "version": version,
        "content_ids": list(content_ids),
        "positions": list(positions),
        "language": language,
    }
    rows = connection.cursor(binary=True).execute(QUERIES["items"], parameters)
    return [
        StoredItem(
            content_id,
            position,
            None if statistics is None else np.array(statistics, dtype=float),
            None if vectors is None else np.frombuffer(vectors, np.float32),
            None if circle is None else np.frombuffer(circle, np.float32),
            as_of,
            None if sums is None else np.array(sums, dtype=float),
            topics_of(topics),
            available,
        )
        for content_id, position, statistics, vectors, circle, as_of, sums, topics, available in rows
    ]


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


def sums_of(item: StoredItem) -> NDArray[np.float64]:
    return np.zeros(len(HALF_LIVES_HOURS)) if item.sums is None else item.sums


def _pack(values: NDArray[np.generic], kind: type[np.generic]) -> bytes:
    return np.ascontiguousarray(values, dtype=kind).tobytes()
