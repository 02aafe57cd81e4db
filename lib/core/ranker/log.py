"""The log of actions as arrays in order of time, and sparse groupings of it. Times are unix seconds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]
Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
Mask = NDArray[np.bool_]

DAY = 86_400.0
HOUR = 3_600.0


@dataclass(frozen=True)
class Log:
    """Actions (m,) in order of time. Users and items are indices below n_users and n_items."""

    users: Indices
    items: Indices
    times: Floats
    weights: Floats
    positive: Mask
    n_users: int
    n_items: int

    def __len__(self) -> int:
        return len(self.times)

    def take(self, rows: Indices | slice | Mask) -> "Log":
        """The same log with these rows only; they keep the order of time if `rows` does."""
        return Log(
            self.users[rows],
            self.items[rows],
            self.times[rows],
            self.weights[rows],
            self.positive[rows],
            self.n_users,
            self.n_items,
        )

    def before(self, time: float) -> "Log":
        """What had happened before `time`: views, no copies."""
        return self.take(slice(0, int(np.searchsorted(self.times, time))))

    def between(self, start: float, end: float) -> "Log":
        """What happened in [start, end)."""
        first, last = np.searchsorted(self.times, [start, end])
        return self.take(slice(int(first), int(last)))


@dataclass(frozen=True)
class Groups:
    """Rows grouped by a key: those of group g are `rows[starts[g]:starts[g + 1]]`, in their old order."""

    rows: Indices
    starts: Indices

    def sizes(self) -> Indices:
        return np.diff(self.starts)


def make_log(
    users: Indices, items: Indices, times: Floats, weights: Floats, positive: Mask, n_users: int, n_items: int
) -> Log:
    """A log out of actions (m,) in any order: equal times are ordered by all else, so the result is unique."""
    order = np.lexsort((positive, weights, items, users, times))
    return Log(users[order], items[order], times[order], weights[order], positive[order], n_users, n_items)


def first_reads(log: Log) -> Log:
    """Each user's first positive action on each item, in order of time. A prefix of the log gives a prefix."""
    rows = np.flatnonzero(log.positive)
    keys = log.users[rows] * log.n_items + log.items[rows]
    _, first = np.unique(keys, return_index=True)
    return log.take(rows[np.sort(first)])


def group_by(keys: Indices, n_groups: int) -> Groups:
    """Groups the rows (m,) by their key, stable."""
    return Groups(np.argsort(keys, kind="stable"), starts_of(np.bincount(keys, minlength=n_groups)))


def starts_of(counts: Indices) -> Indices:
    """Where each of the groups of these sizes begins, and one past the last (n + 1,)."""
    return np.concatenate([np.zeros(1, np.intp), np.cumsum(counts)])


def ranges(starts: Indices, lengths: Indices) -> Indices:
    """start, start + 1, …, start + length - 1 of each range, one after the other."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)


def decay(ages: Floats, half_life: float) -> Floats:
    """2^(-age/half-life); both in the same unit, the half-life may be infinite."""
    worth: Floats = np.exp2(-ages / half_life)
    return worth
