"""Keeps the stored popularity equal to what the log says, inside the transaction that changes the log.

Drains do so at the same time. What they do to the same content they do one after the other: whoever has locked its row
sees what those before him have committed, of the log too, and decides by that which action of a user is the first.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lib.adapters.action_log import LogChange
from lib.adapters.contender_store import Chosen, add_contenders, read_latest
from lib.adapters.database import Connection
from lib.adapters.popularity_store import (
    Floats,
    Popularity,
    delete_unpopular,
    lock_popularity,
    read_earliest_others,
    write_popularity,
)
from lib.core.contenders import touched
from lib.core.popularity import decayed_sums, first_action_changes, merge


def add_popularity(connection: Connection, change: LogChange, *, counted: Sequence[str]) -> None:
    """Counts the events that came into the log."""
    _change(connection, change, counted=counted, sign=1.0)


def take_back_popularity(connection: Connection, change: LogChange, *, counted: Sequence[str]) -> None:
    """Makes the events that went from the log count as if they had never come. The caller holds the log's lock."""
    _change(connection, change, counted=counted, sign=-1.0)
    delete_unpopular(connection, sorted(set(change.content_ids)))


def _change(connection: Connection, change: LogChange, *, counted: Sequence[str], sign: float) -> None:
    """A loss is the same change as a gain, the other way round. Two round trips."""
    if not change.content_ids:
        return
    with connection.pipeline():
        lock = lock_popularity(connection, sorted(set(change.content_ids)))
        others = read_earliest_others(connection, change, counted=counted)
        latest = read_latest(connection)
    before = lock()
    rows, as_of, sums = _changed(before, change, others(), sign=sign)
    with connection.pipeline():
        write_popularity(connection, before.ids_of(rows), as_of, sums)
        if unused := before.ids_of(np.flatnonzero(_without(before.is_new, rows))):
            delete_unpopular(connection, unused)
        _add_contenders(connection, latest(), before, rows, as_of, sums)


def _changed(
    before: Popularity, change: LogChange, others: Floats, *, sign: float
) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Which rows of `before` change, ascending, and their times and sums afterwards."""
    row_of = {content_id: row for row, content_id in enumerate(before.content_ids)}
    pairs, times, signs = first_action_changes(np.arange(len(others)), change.earliest, others)
    contents = np.array([row_of[content_id] for content_id in change.content_ids])
    rows, groups = np.unique(contents[pairs], return_inverse=True)
    gained = decayed_sums(times, sign * signs, groups, len(rows))
    return rows, *merge(before.as_of[rows], before.sums[rows], *gained)


def _without(chosen: NDArray[np.bool_], rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """What is chosen but for those rows. numpy's difference of sets would import its masked arrays for that."""
    left = chosen.copy()
    left[rows] = False
    return left


def _add_contenders(
    connection: Connection,
    latest: tuple[int | None, Chosen | None],
    before: Popularity,
    rows: NDArray[np.intp],
    as_of: Floats,
    sums: Floats,
) -> None:
    generation, chosen = latest
    if generation is None:
        return
    content_ids, languages = before.ids_of(rows), [before.languages[row] for row in rows.tolist()]
    bounds = None if chosen is None or chosen.generation != generation else chosen.bounds
    contenders = touched(sums, as_of, languages, before.is_new[rows], bounds)
    add_contenders(connection, generation, sorted((pool, content_ids[row]) for pool, row in contenders))
