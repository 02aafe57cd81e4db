"""Brings the stored popularity of some content up to date, inside the transaction that changes the log."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lib.adapters.action_log import read_popularity, write_popularity
from lib.adapters.database import Connection
from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.popularity import decayed_sums, merge

_NOTHING = (-np.inf, [0.0] * len(HALF_LIVES_HOURS))


def change_popularity(
    connection: Connection,
    content_of_pair: Sequence[str],
    pairs: NDArray[np.intp],
    times: NDArray[np.float64],
    signs: NDArray[np.float64],
) -> None:
    """Adds (sign +1) or takes back (-1) a first action at each of `times` (m,), of the pair `pairs` (m,) says.

    `content_of_pair` names the content of each pair of user and content. The caller holds the log's lock.
    """
    if not len(pairs):
        return
    names, group = np.unique(np.array(content_of_pair)[pairs], return_inverse=True)
    content_ids = names.tolist()
    as_of, sums = decayed_sums(times, signs, group, len(content_ids))
    stored = read_popularity(connection, content_ids)
    before = [stored.get(content_id, _NOTHING) for content_id in content_ids]
    as_of, sums = merge(np.array([row[0] for row in before]), np.array([row[1] for row in before]), as_of, sums)
    write_popularity(connection, content_ids, as_of, sums)
