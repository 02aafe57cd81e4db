"""What may be shown, how popular it is, and who is to be shown it.

numpy and pgvector are imported where rows become arrays: a cached list is checked without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lib.adapters.database import QUERIES, Connection
from lib.core.defaults import HALF_LIVES_HOURS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Candidates:
    """Content with its signals: `personal` and `popularity` are (n,)."""

    content_ids: list[str]
    personal: NDArray[np.float64]
    popularity: NDArray[np.float64]


@dataclass(frozen=True)
class Catalogue:
    """Everything that may be shown, in the order of ids, and its decayed `popularity` (n,)."""

    content_ids: list[str]
    popularity: NDArray[np.float64]


def decay_parameters(now: float, half_life_hours: float) -> dict[str, Any]:
    """What the queries need to carry one of the kept sums to `now` (unix seconds)."""
    return {
        "now": now,
        "half_life_position": HALF_LIVES_HOURS.index(half_life_hours) + 1,  # SQL counts from 1
        "half_life_seconds": half_life_hours * 3600,
    }


def read_candidates(
    connection: Connection,
    *,
    user_id: str,
    user_vector: NDArray[np.float32] | None,
    version: int | None,
    language: str | None,
    pool_size: int,
    decay: dict[str, Any],
) -> Candidates:
    """The user's pool: the best by his vector and the best by popularity that he has not acted on.

    Nothing is personal where the vector is None or all zero.
    """
    import numpy as np
    from pgvector import Vector

    parameters = {
        "user_id": user_id,
        "user_vector": Vector(user_vector) if user_vector is not None and user_vector.any() else None,
        "version": version,
        "language": language,
        "pool_size": pool_size,
        **decay,
    }
    rows = connection.execute(QUERIES["candidates"], parameters).fetchall()
    return Candidates([row[0] for row in rows], np.array([row[1] for row in rows]), np.array([row[2] for row in rows]))


def read_popular(
    connection: Connection, *, n: int, language: str | None, decay: dict[str, Any]
) -> list[tuple[str, float]]:
    """The n most popular of now, with their decayed sums; the newest where nothing is popular."""
    parameters = {"n": n, "language": language, **decay}
    return connection.execute(QUERIES["popular"], parameters).fetchall()


def read_allowed(connection: Connection, content_ids: Sequence[str]) -> set[str]:
    """Those of `content_ids` that may be shown."""
    rows = connection.execute(QUERIES["allowed"], {"content_ids": list(content_ids)})
    return {content_id for (content_id,) in rows}


def read_catalogue(connection: Connection, *, decay: dict[str, Any]) -> Catalogue:
    import numpy as np

    rows = connection.execute(QUERIES["catalogue"], decay).fetchall()
    return Catalogue([row[0] for row in rows], np.array([row[1] for row in rows], dtype=float))


def read_active_users(connection: Connection, *, since: datetime) -> list[str]:
    """Who acted since then, the latest first."""
    return [user_id for (user_id,) in connection.execute(QUERIES["active_users"], {"since": since})]


def read_topic_counts(
    connection: Connection, *, recent_since: datetime, baseline_since: datetime, counted: Sequence[str]
) -> list[tuple[str, str | None, int, int]]:
    """(topic, language, users in the recent window, users in the baseline before it)."""
    parameters = {"recent_since": recent_since, "baseline_since": baseline_since, "counted": list(counted)}
    return connection.execute(QUERIES["topic_counts"], parameters).fetchall()
