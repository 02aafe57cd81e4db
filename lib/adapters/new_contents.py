"""Content that nobody has met, by what it says of itself: kept as vectors, so that each user gets what suits him out of
all of it and not of the newest alone.

The vectors lie on the axes of a model's projection of the app's vectors, and rows say on which: models share axes
(lib/jobs/gather_training.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING

from lib.adapters.database import QUERIES, Connection
from lib.adapters.embedding_store import read_state, write_state
from lib.core.defaults import LEARNED_SIZE, TEXT_SIZE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lib.core.embeddings import TextProjection

COUNT = "new_contents"  # of recs_state: how many there are
EXACT_UP_TO = 10_000  # vectors: fewer are looked through as quickly as the index is searched (docs/decisions.md)
CANDIDATES = 200  # that a search follows: of the first 20 it finds .98, and with 100 .95
LOOKED_AT = 40  # of a user: some have been met or withdrawn since they came in
FITTING = 20  # of a user that become candidates


def axes_of(projection: TextProjection) -> int:
    """What names the axes, within 63 bits."""
    digest = blake2b(projection.centre.tobytes() + projection.axes.tobytes(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def read_fitting(
    connection: Connection,
    version: int,
    axes: int,
    user_ids: Sequence[str],
    *,
    language: str | None,
    by_index: bool,
    n: int = FITTING,
) -> dict[str, list[str]]:
    """The `n` that suit each user best by his embedding of that version, best first; of users who have one."""
    parameters = {
        "axes": axes,
        "version": version,
        "user_ids": list(user_ids),
        "language": language,
        "first": LEARNED_SIZE + 1,
        "size": TEXT_SIZE,
        "looked_at": max(LOOKED_AT, n),
    }
    if by_index:
        connection.execute(QUERIES["search_widely"], {"candidates": CANDIDATES})
    query = QUERIES["fitting_by_index"] if by_index else QUERIES["fitting_exactly"]
    rows = connection.execute(query, parameters)
    found: dict[str, list[str]] = {}
    for user_id, content_id in rows:
        theirs = found.setdefault(user_id, [])
        if len(theirs) < n:
            theirs.append(content_id)
    return found


def count_new_contents(connection: Connection) -> int:
    """As of the latest filling."""
    return int(read_state(connection, COUNT) or 0)


def write_count(connection: Connection) -> None:
    row = connection.execute(QUERIES["count_new_contents"]).fetchone()
    write_state(connection, COUNT, str(row[0] if row else 0))


def delete_no_longer_new(connection: Connection, *, axes: int, since: datetime) -> None:
    """What was published before `since` is old."""
    connection.execute(QUERIES["delete_new_contents"], {"axes": axes, "since": since})


def read_missing(connection: Connection, *, size: int, since: datetime, limit: int) -> list[str]:
    """The ids of those that are to come in and have a vector of that size, the newest first."""
    parameters = {"size": size, "since": since, "limit": limit}
    return [content_id for (content_id,) in connection.execute(QUERIES["missing_new_contents"], parameters)]


def add_new_contents(
    connection: Connection, axes: int, content_ids: Sequence[str], vectors: NDArray[np.float32]
) -> None:
    """Vectors (n, TEXT_SIZE) on these axes; what is there stays."""
    from pgvector import Vector

    parameters = {"axes": axes, "content_ids": list(content_ids), "vectors": [Vector(vector) for vector in vectors]}
    connection.execute(QUERIES["add_new_contents"], parameters)
