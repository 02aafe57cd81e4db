"""Keeps the stored popularity equal to what the log says, inside the transaction that changes the log.

The caller holds the log's lock.
"""

import numpy as np

from lib.adapters.action_log import LogChange, delete_unpopular, read_popularity, write_popularity
from lib.adapters.contender_store import add_contenders, read_begun, read_chosen
from lib.adapters.database import Connection
from lib.core.contenders import touched
from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.popularity import decayed_sums, first_action_changes, merge

_NOTHING = (-np.inf, [0.0] * len(HALF_LIVES_HOURS), None)


def add_popularity(connection: Connection, change: LogChange) -> None:
    """Counts the events that came into the log."""
    _change(connection, change, sign=1.0)


def take_back_popularity(connection: Connection, change: LogChange) -> None:
    """Makes the events that went from the log count as if they had never come."""
    _change(connection, change, sign=-1.0)
    delete_unpopular(connection, sorted(set(change.content_ids)))


def _change(connection: Connection, change: LogChange, *, sign: float) -> None:
    """A loss is the same change as a gain, the other way round."""
    pairs, times, signs = first_action_changes(np.arange(len(change.content_ids)), change.earliest, change.others)
    if not len(pairs):
        return
    names, group = np.unique(np.array(change.content_ids)[pairs], return_inverse=True)
    content_ids = names.tolist()
    as_of, sums = decayed_sums(times, sign * signs, group, len(content_ids))
    stored = read_popularity(connection, content_ids)
    before = [stored.get(content_id, _NOTHING) for content_id in content_ids]
    as_of, sums = merge(np.array([row[0] for row in before]), np.array([row[1] for row in before]), as_of, sums)
    write_popularity(connection, content_ids, as_of, sums)
    generation = read_begun(connection)
    if generation is not None:
        is_new = np.array([row is _NOTHING for row in before])
        chosen = read_chosen(connection)
        bounds = None if chosen is None or chosen.generation != generation else chosen.bounds
        contenders = touched(sums, as_of, [row[2] for row in before], is_new, bounds)
        add_contenders(connection, generation, [(pool, content_ids[row]) for pool, row in contenders])
