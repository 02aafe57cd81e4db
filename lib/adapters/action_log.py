"""The log of user actions, and the popularity that follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.adapters.database import QUERIES, Connection
from lib.core.actions import Action


@dataclass(frozen=True)
class LogChange:
    """How many events came or went, and for each pair of user and content that got or lost a counted action its
    content, the earliest of those (unix seconds), and the earliest of the pair's others (NaN for none)."""

    events: int
    content_ids: list[str]
    earliest: NDArray[np.float64]
    others: NDArray[np.float64]


def insert_actions(connection: Connection, actions: Sequence[Action], *, counted: Sequence[str]) -> LogChange:
    """Inserts the events that the log doesn't hold yet. Call `lock_log` first."""
    parameters = {
        "event_ids": [action.event_id for action in actions],
        "user_ids": [action.user_id for action in actions],
        "content_ids": [action.content_id for action in actions],
        "actions": [action.action for action in actions],
        "values": [action.value for action in actions],
        "occurred_at": [action.occurred_at for action in actions],
        "counted": list(counted),
    }
    return _log_change(connection.execute(QUERIES["insert_actions"], parameters).fetchall())


def prune_actions(connection: Connection, *, before: datetime, limit: int, counted: Sequence[str]) -> LogChange:
    """Deletes at most `limit` events that were received before then. Call `lock_log` first."""
    parameters = {"before": before, "limit": limit, "counted": list(counted)}
    return _log_change(connection.execute(QUERIES["prune_actions"], parameters).fetchall())


def delete_orphaned_embeddings(connection: Connection) -> None:
    connection.execute(QUERIES["delete_orphans"])


def lock_log(connection: Connection) -> None:
    """Until the transaction ends nobody else writes the log or popularity."""
    connection.execute(QUERIES["lock_log"])


def read_popularity(connection: Connection, content_ids: Sequence[str]) -> dict[str, tuple[float, list[float]]]:
    """content_id -> (as_of in unix seconds, a decayed sum for each half-life)."""
    rows = connection.execute(QUERIES["popularity_of"], {"content_ids": list(content_ids)})
    return {content_id: (as_of, sums) for content_id, as_of, sums in rows}


def write_popularity(
    connection: Connection, content_ids: Sequence[str], as_of: NDArray[np.float64], sums: NDArray[np.float64]
) -> None:
    """Puts rows of (m,) times and (m, half-lives) sums in place of those that are there."""
    rows = zip(content_ids, as_of.tolist(), sums.tolist(), strict=True)
    with connection.cursor() as cursor:
        cursor.executemany(QUERIES["put_popularity"], list(rows))


def _log_change(rows: Sequence[tuple[Any, ...]]) -> LogChange:
    pairs = [row for row in rows if row[1] is not None]
    return LogChange(
        events=rows[0][0],
        content_ids=[row[1] for row in pairs],
        earliest=np.array([row[2] for row in pairs], dtype=float),
        others=np.array([np.nan if row[3] is None else row[3] for row in pairs], dtype=float),
    )
