"""The log of user actions, and the popularity that follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.adapters.database import QUERIES, Connection
from lib.core.actions import Action

# An event gets its received_at before its commit, and no transaction lasts that long.
RECEIPT_OVERLAP = timedelta(minutes=5)


@dataclass(frozen=True)
class LogChange:
    """How many events came or went, how many did not come because their users are forgotten, and for each pair of
    user and content that got or lost a counted action its content, the earliest of those (unix seconds), and the
    earliest of the pair's others (NaN for none)."""

    events: int
    forgotten: int
    content_ids: list[str]
    earliest: NDArray[np.float64]
    others: NDArray[np.float64]


def insert_actions(connection: Connection, actions: Sequence[Action], *, counted: Sequence[str]) -> LogChange:
    """Inserts the events that the log doesn't hold yet, and whose users aren't forgotten. Call `lock_log` first."""
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


def forget_actions(connection: Connection, *, user_id: str, limit: int, counted: Sequence[str]) -> LogChange:
    """Deletes at most `limit` events of one user. Call `lock_log` first."""
    parameters = {"user_id": user_id, "limit": limit, "counted": list(counted)}
    return _log_change(connection.execute(QUERIES["forget_actions"], parameters).fetchall())


def put_forgotten(connection: Connection, user_id: str) -> None:
    """From now on no event of this user from before this moment goes into the log. Call `lock_log` first."""
    connection.execute(QUERIES["put_forgotten"], {"user_id": user_id})


def delete_forgotten(connection: Connection, *, before: datetime) -> None:
    """Forgets who was forgotten before then."""
    connection.execute(QUERIES["delete_forgotten"], {"before": before})


def lock_forgetting(connection: Connection) -> None:
    """For whoever forgets a user: until the transaction ends nobody writes embeddings."""
    connection.execute(QUERIES["lock_forgetting"])


def share_forgetting(connection: Connection) -> None:
    """For whoever writes embeddings, before he reads: until the transaction ends nobody is forgotten."""
    connection.execute(QUERIES["share_forgetting"])


def delete_unpopular(connection: Connection, content_ids: Sequence[str]) -> None:
    """Deletes the popularity of those contents of which the log holds no counted action any more."""
    connection.execute(QUERIES["delete_unpopular"], {"content_ids": list(content_ids)})


def delete_orphaned_embeddings(connection: Connection) -> None:
    connection.execute(QUERIES["delete_orphans"])


def lock_log(connection: Connection) -> None:
    """Until the transaction ends nobody else writes the log or popularity."""
    connection.execute(QUERIES["lock_log"])


def read_popularity(
    connection: Connection, content_ids: Sequence[str]
) -> dict[str, tuple[float, list[float], str | None]]:
    """content_id -> (as_of in unix seconds, a decayed sum for each half-life, the language that was noted)."""
    rows = connection.execute(QUERIES["popularity_of"], {"content_ids": list(content_ids)})
    return {content_id: (as_of, sums, language) for content_id, as_of, sums, language in rows}


def write_popularity(
    connection: Connection, content_ids: Sequence[str], as_of: NDArray[np.float64], sums: NDArray[np.float64]
) -> None:
    """Puts rows of (m,) times and (m, half-lives) sums in place of those that are there."""
    rows = zip(content_ids, as_of.tolist(), sums.tolist(), strict=True)
    with connection.cursor() as cursor:
        cursor.executemany(QUERIES["put_popularity"], list(rows))


def _log_change(rows: Sequence[tuple[Any, ...]]) -> LogChange:
    events, forgotten, *_ = rows[0]
    pairs = [row[2:] for row in rows if row[2] is not None]
    return LogChange(
        events=events,
        forgotten=forgotten,
        content_ids=[content_id for content_id, _, _ in pairs],
        earliest=np.array([earliest for _, earliest, _ in pairs], dtype=float),
        others=np.array([np.nan if other is None else other for _, _, other in pairs], dtype=float),
    )
