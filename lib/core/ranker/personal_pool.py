"""What the rows of neighbours of a user's profile add up to, and the candidates that they give.

Production calls it before it builds a site, to know which items to fetch: then profiles point into the rows of their
items alone, and rows may number their neighbours in any way that keeps the order of the items.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib.core.ranker.log import Floats, Indices, Mask, Vectors, ranges
from lib.core.ranker.neighbours import CHANNELS, N_COHORTS, Rows
from lib.core.ranker.profiles import Profiles
from lib.core.ranking import largest

_PER_CHANNEL = 100  # with 40 the tail loses .001 of NDCG
_POOLED = (0, 1, N_COHORTS, N_COHORTS + 1)  # but for the longest cohort, which finds what kNN finds
MOST_PERSONAL = _PER_CHANNEL * len(_POOLED)  # candidates of a user
_FOLLOW_READS = 10  # of a profile, that say what is read next


@dataclass(frozen=True)
class Sums:
    """Distinct pairs (user's number, item) in order, with what the user's profile adds up to (k, channels)."""

    users: Indices
    items: Indices
    values: Vectors

    def of(self, users: Indices, items: Indices) -> Vectors:
        """The values (n, channels) of pairs (n,), zeros where a pair has none."""
        if len(self.users) == 0:
            return np.zeros((len(users), len(CHANNELS)), np.float32)
        n_items = int(max(self.items.max(), items.max(initial=0))) + 1
        keys, wanted = self.users * n_items + self.items, users * n_items + items
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where((keys[places] == wanted)[:, None], self.values[places], np.float32(0.0))


def profile_sums(profiles: Profiles, rows: Rows, idf: Floats) -> Sums:
    """The rows of what users read, weighted and added up. `profiles.items` point into `rows.starts` and `idf`."""
    lengths = np.diff(rows.starts)[profiles.items]
    entries = ranges(rows.starts[:-1][profiles.items], lengths)
    items = rows.items[entries].astype(np.intp)
    n_items = int(items.max(initial=0)) + 1
    cells, cell = _distinct(np.repeat(profiles.users, lengths) * n_items + items, profiles.n_users * n_items)
    values = np.empty((len(CHANNELS), len(cells)), np.float32)
    weights, worths = channel_weights(profiles, idf), rows.values[entries]
    for channel in range(len(CHANNELS)):
        worth = np.repeat(weights[:, channel], lengths) * worths[:, channel]
        values[channel] = np.bincount(cell, worth, len(cells))
    ends = np.searchsorted(cells, n_items * np.arange(1, profiles.n_users + 1))
    users = np.repeat(np.arange(profiles.n_users), np.diff(ends, prepend=0))
    return Sums(users, cells - n_items * users, values.T)


def _distinct(keys: Indices, end: int) -> tuple[Indices, NDArray[np.int32]]:
    """The distinct ones of keys (m,) below `end`, ascending, and which of these each is: np.unique without sorting."""
    is_there = np.zeros(end, bool)
    is_there[keys] = True
    distinct: Indices = np.flatnonzero(is_there)
    number = np.empty(end, np.int32)
    number[distinct] = np.arange(len(distinct))
    return distinct, number[keys]


def personal_pool(sums: Sums) -> Mask:
    """Which pairs (k,) are candidates: each user's best by two cohorts, kNN and follows; the lower item of equals."""
    chosen = np.zeros(len(sums.users), bool)
    starts = np.flatnonzero(np.diff(sums.users, prepend=-1))
    for start, size in zip(starts, np.diff(starts, append=len(chosen)), strict=True):
        for channel in _POOLED:
            values = sums.values[start : start + size, channel]
            chosen[start : start + size] |= largest(values, _PER_CHANNEL) & (values > 0)
    return chosen


def profile_norms(profiles: Profiles, idf: Floats) -> Floats:
    """|u| of each user (n_users,): the length of his profile's idf-weighted reads."""
    squares = (profiles.weights * idf[profiles.items]) ** 2
    norms: Floats = np.sqrt(np.maximum(np.bincount(profiles.users, squares, profiles.n_users), 1e-12))
    return norms


def channel_weights(profiles: Profiles, idf: Floats) -> Floats:
    """What each read of a profile weighs in each channel (m, channels)."""
    cohort = profiles.weights * idf[profiles.items] ** 2 / profile_norms(profiles, idf)[profiles.users]
    follows = np.where(profiles.ranks < _FOLLOW_READS, profiles.weights, 0.0)
    return np.column_stack([*[cohort] * N_COHORTS, profiles.weights, follows])
