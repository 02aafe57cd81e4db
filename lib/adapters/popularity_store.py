"""The popularity that follows from the log, as it is stored. Its rows are what drains at the same time wait for.

What is read within a pipeline can be told once that has ended.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib.adapters.action_log import LogChange
from lib.adapters.database import QUERIES, Connection, array_literal
from lib.core.defaults import HALF_LIVES_HOURS

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Popularity:
    """Of contents (m,), sorted: unix seconds, (m, half-lives) decayed sums, the language that was noted, and whether
    it was met for the first time: then -inf, zeros and None."""

    content_ids: list[str]
    as_of: Floats
    sums: Floats
    languages: list[str | None]
    is_new: NDArray[np.bool_]

    def ids_of(self, rows: NDArray[np.intp]) -> list[str]:
        return [self.content_ids[row] for row in rows.tolist()]


def lock_popularity(connection: Connection, content_ids: Sequence[str]) -> Callable[[], Popularity]:
    """Locks the rows of these contents until the transaction ends, and makes those that aren't there."""
    wanted = {"content_ids": array_literal(content_ids), "nothing": [0.0] * len(HALF_LIVES_HOURS)}
    made = connection.execute(QUERIES["add_popularity_rows"], wanted)
    locked = connection.execute(QUERIES["lock_popularity"], wanted, binary=True)

    def popularity() -> Popularity:
        new, rows = {content_id for (content_id,) in made}, locked.fetchall()
        return Popularity(
            content_ids=[row[0] for row in rows],
            as_of=np.array([row[1] for row in rows]),
            sums=np.array([row[2] for row in rows]),
            languages=[row[3] for row in rows],
            is_new=np.array([row[0] in new for row in rows]),
        )

    return popularity


def read_earliest_others(connection: Connection, change: LogChange, *, counted: Sequence[str]) -> Callable[[], Floats]:
    """When each pair of `change` was first counted by an action that is not part of it (unix seconds, NaN for none).

    Drains write the same pair at once; so it is asked once the pair's content is locked, and then sees what the others
    have committed.
    """
    pairs = {
        "user_ids": array_literal(change.user_ids),
        "content_ids": array_literal(change.content_ids),
        "counted": list(counted),
    }
    rows = connection.execute(QUERIES["earliest_others"], pairs, binary=True)

    def earliest() -> Floats:
        [(times,)] = rows.fetchall()
        return np.array(times or [], dtype=float)

    return earliest


def write_popularity(connection: Connection, content_ids: Sequence[str], as_of: Floats, sums: Floats) -> None:
    """Puts rows of (m,) times and (m, half-lives) sums in place of those that are there."""
    parameters = {
        "content_ids": array_literal(content_ids),
        "as_of": as_of.tolist(),
        "sums": sums.ravel().tolist(),
        "half_lives": len(HALF_LIVES_HOURS),
    }
    connection.execute(QUERIES["put_popularity"], parameters)


def delete_unpopular(connection: Connection, content_ids: Sequence[str]) -> None:
    """Deletes the popularity of those contents of which the log holds no counted action any more."""
    connection.execute(QUERIES["delete_unpopular"], {"content_ids": list(content_ids)})
