"""What a whole site says about its items: decayed counts, ages, weights. One value an item, at one time."""

from dataclasses import dataclass

import numpy as np

from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.ranker.log import DAY, HOUR, Floats, Log, Mask, Vectors, decay

HALF_LIVES_DAYS = tuple(hours / 24 for hours in HALF_LIVES_HOURS)
GLOBAL_NAMES = (*(f"pop{days:g}d" for days in HALF_LIVES_DAYS), "age", "idle", "weight", "unique_share", "trend")
N_HALF_LIVES = len(HALF_LIVES_DAYS)
_FLOOR = 0.05  # decayed reads; how far nothing at all lies below a little
PRIOR_ACTIONS = 5.0  # actions of mean weight that every item's mean weight begins with
_DAYS, _WEEKS = HALF_LIVES_HOURS.index(36.0), HALF_LIVES_HOURS.index(288.0)
_TREND_FLOOR = 0.1  # reads a day


@dataclass(frozen=True)
class Items:
    """What is known of each item (n,) at one time. Reads are users' first positive actions on an item."""

    popularity: Floats  # (n, HALF_LIVES_HOURS) reads, each worth 2^(-age/half-life)
    first_seen: Floats  # unix seconds of the first action of any kind; inf: never
    last_seen: Floats  # unix seconds of the last one; -inf: never
    readers: Floats
    mean_weight: Floats  # of all actions, shrunk to the site's mean
    unique_share: Floats  # (readers + 1) / (positive actions + 1)
    idf: Floats  # log(1 + users who read anything / (readers + 1))
    reach: Floats  # sum of 1/|v| over the readers v, see neighbours.py
    cohort_popularity: Vectors  # (n, cohort half-lives), as `popularity`
    vectors: tuple[Vectors, ...]  # (n, d) each, unit rows or zeros
    available: Mask  # may be shown

    def __len__(self) -> int:
        return len(self.first_seen)

    @property
    def met(self) -> Mask:
        """Which items (n,) anybody has acted on."""
        return np.isfinite(self.first_seen)


def decayed_counts(reads: Log, now: float, half_life_days: float) -> Floats:
    """Readers of each item (n_items,), each worth 2^(-age/half-life)."""
    worth = decay((now - reads.times) / DAY, half_life_days)
    counts: Floats = np.bincount(reads.items, worth, reads.n_items).astype(np.float64)  # of none they are whole
    return counts


def popularity_of(reads: Log, now: float) -> Floats:
    """The decayed counts of first reads at every half-life that the product keeps (n_items, half-lives)."""
    return np.stack([decayed_counts(reads, now, days) for days in HALF_LIVES_DAYS], axis=1)


def log_popularity(popularity: Floats) -> Floats:
    """How differences in popularity are felt: by their ratio, and hardly at all near zero."""
    # Sums that contributions were taken back from can end a rounding error below zero.
    felt: Floats = np.log(np.maximum(popularity, 0.0) + _FLOOR)
    return felt


def seen_between(log: Log) -> tuple[Floats, Floats]:
    """First and last action on each item (n_items,), inf and -inf where there is none."""
    first, last = np.full(log.n_items, np.inf), np.full(log.n_items, -np.inf)
    np.minimum.at(first, log.items, log.times)
    np.maximum.at(last, log.items, log.times)
    return first, last


def mean_weights(log: Log) -> Floats:
    """The mean weight of the actions on each item (n_items,), shrunk to that of all actions."""
    actions = np.bincount(log.items, minlength=log.n_items)
    prior = float(log.weights.mean()) if len(log) else 0.0
    sums = np.bincount(log.items, log.weights, log.n_items) + PRIOR_ACTIONS * prior
    means: Floats = sums / (actions + PRIOR_ACTIONS)
    return means


def unique_shares(log: Log, readers: Floats) -> Floats:
    """How much of an item's positive actions (n_items,) were first ones: low where few come back again and again."""
    positive = np.bincount(log.items, log.positive, log.n_items)
    shares: Floats = (readers + 1) / (positive + 1)
    return shares


def ages_days(items: Items, now: float) -> Floats:
    """Days since anybody first met each item (n,), 0 where nobody has."""
    ages: Floats = np.where(items.met, (now - items.first_seen) / DAY, 0.0)
    return ages


def global_features(items: Items, now: float) -> Vectors:
    """What speaks for an item whoever reads it (n, features), in the order of GLOBAL_NAMES."""
    idle_hours = np.where(items.met, now - items.last_seen, 0.0) / HOUR
    rates = np.maximum(items.popularity[:, [_DAYS, _WEEKS]], 0.0) / [HALF_LIVES_DAYS[_DAYS], HALF_LIVES_DAYS[_WEEKS]]
    columns = [
        np.log1p(ages_days(items, now)),
        np.log1p(idle_hours),
        items.mean_weight,
        np.log(items.unique_share),
        np.log((rates[:, 0] + _TREND_FLOOR) / (rates[:, 1] + _TREND_FLOOR)),
    ]
    return np.column_stack([log_popularity(items.popularity), *columns]).astype(np.float32)
