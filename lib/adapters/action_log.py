"""The log of user actions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.adapters.database import QUERIES, Connection, array_literal
from lib.core.actions import Action

# An event gets its received_at before its commit, and no transaction lasts that long.
RECEIPT_OVERLAP = timedelta(minutes=5)


@dataclass(frozen=True)
class LogChange:
    """How many events came or went, how many did not come because their users are forgotten, and the pairs of user and
    content that got or lost a counted action, with the earliest of those (unix seconds)."""

    events: int
    forgotten: int
    user_ids: list[str]
    content_ids: list[str]
    earliest: NDArray[np.float64]


def insert_actions(connection: Connection, actions: Sequence[Action], *, counted: Sequence[str]) -> LogChange:
    """Inserts the events that the log doesn't hold yet, and whose users aren't forgotten. From now on, until the
    transaction ends, nobody deletes from the log."""
    parameters = {
        "event_ids": array_literal([action.event_id for action in actions]),
        "user_ids": array_literal([action.user_id for action in actions]),
        "content_ids": array_literal([action.content_id for action in actions]),
        "actions": array_literal([action.action for action in actions]),
        "values": [action.value for action in actions],
        "occurred_at": [action.occurred_at for action in actions],
        "counted": list(counted),
    }
    with connection.pipeline():
        connection.execute(QUERIES["share_log"])
        rows = connection.execute(QUERIES["insert_actions"], parameters, binary=True)
    return _log_change(rows.fetchone())


def prune_actions(connection: Connection, *, before: datetime, limit: int, counted: Sequence[str]) -> LogChange:
    """Deletes at most `limit` events that were received before then. Call `lock_log` first."""
    parameters = {"before": before, "limit": limit, "counted": list(counted)}
    return _log_change(connection.execute(QUERIES["prune_actions"], parameters).fetchone())


def forget_actions(connection: Connection, *, user_id: str, limit: int, counted: Sequence[str]) -> LogChange:
    """Deletes at most `limit` events of one user. Call `lock_log` first."""
    parameters = {"user_id": user_id, "limit": limit, "counted": list(counted)}
    return _log_change(connection.execute(QUERIES["forget_actions"], parameters).fetchone())


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


def delete_orphaned_embeddings(connection: Connection) -> None:
    connection.execute(QUERIES["delete_orphans"])


def lock_log(connection: Connection) -> None:
    """Until the transaction ends nobody else writes the log or popularity, drains included."""
    connection.execute(QUERIES["lock_log"])


def _log_change(row: tuple[Any, ...] | None) -> LogChange:
    assert row is not None
    events, forgotten, user_ids, content_ids, earliest = row
    return LogChange(events, forgotten, user_ids, content_ids, np.array(earliest, dtype=float))
