"""Versions of what is learned, whose embeddings are theirs, and how far that has come.

numpy and pgvector are imported where there are vectors: counting and looking up versions does without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lib.adapters.database import QUERIES, Connection
from lib.adapters.shard_store import Split, read_or_split
from lib.core.defaults import EMBEDDING_SIZE, MODEL_FORMAT, TEXT_SIZE

_UNFINISHED = "unfinished_model"  # of recs_state

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lib.core.embeddings import TextProjection


@dataclass(frozen=True)
class Model:
    """One version of what is learned. `skipped`: rows of content whose vector had another size than most. `position` is
    of lib/core/half_lives.py, `learned` JSON of lib/core/ranker/learned.py."""

    version: int
    built_at: datetime
    actions: int
    items: int
    skipped: int
    interest_half_life_days: float
    position: float
    learned: str


@dataclass(frozen=True)
class UnfinishedModel:
    """A version that has its item vectors; `learned` is None where nothing was learned of the ranking yet."""

    version: int
    built_at: datetime
    interest_half_life_days: float
    learned: str | None


def read_active_model(connection: Connection) -> Model | None:
    """None where there is none, or one that another release built, which may mean something else by all of it."""
    row = connection.execute(QUERIES["active_model"], {"size": EMBEDDING_SIZE, "format": MODEL_FORMAT}).fetchone()
    return Model(*row) if row else None


def count_actions(connection: Connection, *, limit: int) -> int:
    """How many events the log holds, counted no further than `limit`."""
    row = connection.execute(QUERIES["count_actions"], {"limit": limit}).fetchone()
    return int(row[0]) if row else 0


def read_unfinished_model(connection: Connection) -> UnfinishedModel | None:
    """The version that was begun last, unless it has become the active one."""
    parameters = {"size": EMBEDDING_SIZE, "format": MODEL_FORMAT, "name": _UNFINISHED}
    row = connection.execute(QUERIES["unfinished_model"], parameters).fetchone()
    return UnfinishedModel(*row) if row else None


def read_content_vectors_of(
    connection: Connection, content_ids: Sequence[str], *, size: int
) -> list[tuple[str, NDArray[np.float32]]]:
    """(content_id, vector) of those of `content_ids` that have one of that size."""
    parameters = {"content_ids": list(content_ids), "size": size}
    rows = connection.cursor(binary=True).execute(QUERIES["content_vectors_of"], parameters)
    return [(content_id, vector.to_numpy()) for content_id, vector in rows]


def add_model(
    connection: Connection,
    *,
    content_ids: Sequence[str],
    vectors: NDArray[np.float32],
    built_at: datetime,
    actions: int,
    skipped: int,
    interest_half_life_days: float,
    learned_map: NDArray[np.floating],
    text_projection: TextProjection | None,
) -> int:
    """Stores (n, d) vectors as a new version that nobody reads yet: the unfinished one. Answers its number."""
    import numpy as np
    from pgvector import Vector

    axes = None if text_projection is None else np.column_stack([text_projection.centre, text_projection.axes])
    parameters = {
        "built_at": built_at,
        "size": vectors.shape[1],
        "format": MODEL_FORMAT,
        "actions": actions,
        "items": len(content_ids),
        "skipped": skipped,
        "interest_half_life_days": interest_half_life_days,
        "learned_map": learned_map.astype("<f4").tobytes(),
        "text_projection": None if axes is None else axes.astype("<f4").tobytes(),
    }
    row = connection.execute(QUERIES["add_model"], parameters).fetchone()
    assert row is not None
    version = int(row[0])
    with connection.cursor().copy(QUERIES["copy_item_vectors"]) as copy:
        copy.set_types(["int8", "text", "vector"])
        for content_id, vector in zip(content_ids, vectors, strict=True):
            copy.write_row((version, content_id, Vector(vector)))
    write_state(connection, _UNFINISHED, str(version))
    return version


def write_learned(connection: Connection, version: int, *, position: float, learned: str) -> None:
    """Puts what was learned of the ranking to a version, unless that is active: what is served stays as it is."""
    connection.execute(QUERIES["put_learned"], {"version": version, "position": position, "learned": learned})


def claim_activation(connection: Connection, version: int) -> bool:
    """Whether this version may be finished: another run may have been first, with it or with a later one, or have
    deleted it. Until the transaction ends no other run gets an answer."""
    connection.execute(QUERIES["lock_models"])
    row = connection.execute(QUERIES["may_activate"], {"version": version}).fetchone()
    return bool(row and row[0])


def read_learned_map(connection: Connection, model: Model) -> NDArray[np.float64]:
    """The map (d, d) for users' vectors; the identity where the model has been deleted."""
    import numpy as np

    row = connection.execute(QUERIES["learned_map"], {"version": model.version}).fetchone()
    if row is None:
        return np.eye(EMBEDDING_SIZE)
    return np.frombuffer(row[0], "<f4").reshape(EMBEDDING_SIZE, EMBEDDING_SIZE).astype(np.float64)


def read_text_projection(connection: Connection, version: int) -> TextProjection | None:
    """None where the app had no vectors when the model was built."""
    import numpy as np

    from lib.core.embeddings import TextProjection

    row = connection.execute(QUERIES["text_projection"], {"version": version}, binary=True).fetchone()
    if row is None or row[0] is None:
        return None
    packed = np.frombuffer(row[0], "<f4").reshape(-1, 1 + TEXT_SIZE)
    return TextProjection(packed[:, 0], packed[:, 1:])


def activate_model(connection: Connection, version: int) -> None:
    """Every reader that begins after this transaction sees this version. Call `claim_activation` first."""
    connection.execute(QUERIES["retire_models"])
    connection.execute(QUERIES["activate_model"], {"version": version})


def delete_old_models(connection: Connection, *, before: datetime) -> None:
    connection.execute(QUERIES["delete_old_models"], {"before": before})


def read_users_to_update(
    connection: Connection, split: Split, *, since: datetime, overlap: timedelta, version: int
) -> list[str]:
    """Whose embedding is missing, of another version, or was written less than `overlap` after an action was received
    that it may therefore lack. Actions from before `since` don't count. Those who waited longest come first; none where
    they were split."""
    parameters = {"since": since, "overlap": overlap, "version": version}
    return read_or_split(connection, QUERIES["users_to_update"], split, parameters)


def delete_user_embeddings(connection: Connection, user_ids: Sequence[str]) -> None:
    connection.execute(QUERIES["delete_embeddings"], {"user_ids": list(user_ids)})


def read_state(connection: Connection, name: str) -> str | None:
    row = connection.execute(QUERIES["state"], {"name": name}).fetchone()
    return row[0] if row else None


def write_state(connection: Connection, name: str, value: str) -> None:
    connection.execute(QUERIES["put_state"], {"name": name, "value": value})


def count_embeddings(connection: Connection) -> tuple[int, float | None]:
    """How many users have one, and when the latest was written (unix seconds)."""
    row = connection.execute(QUERIES["embedding_counts"]).fetchone()
    assert row is not None
    return row[0], row[1]
