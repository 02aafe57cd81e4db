"""Parts of a log that learning from it needs."""

from dataclasses import replace

import numpy as np

from lib.core.defaults import HISTORY_LENGTH
from lib.core.embeddings import latest_per_user
from lib.core.ranker.log import Indices, Log, Mask


def latest_rows(log: Log) -> Indices:
    """Rows (k,), ascending, of each user's last actions: those of which a user's vectors are made."""
    return np.sort(latest_per_user(log.users, log.items, log.times, limit=HISTORY_LENGTH))


def is_first_read(log: Log) -> Mask:
    """Which actions (m,) are what `first_reads` takes: the first positive one of their user on their item."""
    rows = np.flatnonzero(log.positive)
    _, first = np.unique(log.users[rows] * log.n_items + log.items[rows], return_index=True)
    chosen = np.zeros(len(log), bool)
    chosen[rows[first]] = True
    return chosen


def of_users(log: Log, users: Indices) -> Log:
    """What `users` (u,), each named once, did; they number from 0 then."""
    number = np.full(log.n_users, -1)
    number[users] = np.arange(len(users))
    theirs = log.take(number[log.users] >= 0)
    return replace(theirs, users=number[theirs.users], n_users=len(users))


def sample_users(log: Log, *, max_actions: int) -> Log:
    """Every k-th user with all that he did, so that about `max_actions` actions are left."""
    step = -(-len(log) // max_actions)
    return log if step <= 1 else log.take(log.users % step == 0)


def time_of_share(log: Log, share: float) -> float:
    """The time by which that share of the positive actions was done, of which there is one at least."""
    return float(np.quantile(log.times[log.positive], share))
