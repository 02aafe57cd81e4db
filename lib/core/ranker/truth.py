"""What users went on to read after a time in the past."""

from dataclasses import dataclass

import numpy as np

from lib.core.ranker.log import DAY, Floats, Indices, Log, Mask

_SLICES = 40
_FEWEST_SLICES = 4  # a ranker is checked on the latest, and fitted to those that don't overlap with it
_EVENTS = 4_000_000  # that all slices look at together: on a long log fewer slices are enough
_WARM_UP_DAYS = 20.0  # of log before the first slice: earlier ones are about a site that knew nothing


@dataclass(frozen=True)
class Truth:
    """What each of `users` (n,) read for the first time in a window: pairs (user's number, item), and how many."""

    users: Indices
    owner: Indices
    items: Indices
    counts: Indices


def slice_times(log: Log, now: float, window_seconds: float) -> Floats:
    """The times to replay, the latest first: windows end before `now` and begin where there is something to learn."""
    begin = float(log.times[0]) if len(log) else now
    warm_up = min(_WARM_UP_DAYS * DAY, (now - begin) / 4)
    limit = min(_SLICES, max(_FEWEST_SLICES, _EVENTS // max(len(log), 1)))
    times = now - window_seconds - np.arange(limit, dtype=np.float64) * max(window_seconds / 2, DAY)
    return times[times >= begin + warm_up]


def truth_at(log: Log, reads: Log, time: float, window_seconds: float) -> Truth:
    """First reads in the window of items that existed at `time` and that the user had never acted on."""
    before, after = log.before(time), reads.between(time, time + window_seconds)
    known = np.zeros(log.n_items, bool)
    known[before.items] = True
    after = after.take(known[after.items])
    reads_on = np.zeros(log.n_users, bool)
    reads_on[after.users] = True
    before = before.take(reads_on[before.users])
    acted = before.users * log.n_items + before.items
    fresh = after.take(~np.isin(after.users * log.n_items + after.items, acted))
    users, owner = np.unique(fresh.users, return_inverse=True)
    return Truth(users, owner, fresh.items, np.bincount(owner, minlength=len(users)))


def with_history(truth: Truth, reads: Log, time: float) -> Mask:
    """Which of the users (n,) had read anything before `time`."""
    return np.isin(truth.users, reads.before(time).users)


def choose(truth: Truth, chosen: Mask) -> Truth:
    """The truth of some of the users (mask (n,))."""
    number = np.cumsum(chosen) - 1
    kept = chosen[truth.owner]
    return Truth(truth.users[chosen], number[truth.owner[kept]], truth.items[kept], truth.counts[chosen])


def sample(truth: Truth, limit: int, *, seed: int) -> Truth:
    """At most `limit` users, drawn at random."""
    chosen = np.zeros(len(truth.users), bool)
    chosen[np.random.default_rng(seed).permutation(len(chosen))[:limit]] = True
    return choose(truth, chosen)
