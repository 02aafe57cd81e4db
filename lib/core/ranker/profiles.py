"""What is known of users: their latest reads, newest first, as sparse profiles, and a few attributes of them."""

from dataclasses import dataclass

import numpy as np

from lib.core.embeddings import unit_rows, weighted_row_sums
from lib.core.ranker.items import Items
from lib.core.ranker.log import DAY, Floats, Indices, Vectors, ranges
from lib.core.ranker.reads import UserReads

READS_IN_PROFILE = 50
ATTRIBUTE_NAMES = ("reads_new", "reads_popular", "n_reads", "absent")
_RANK_HALF_LIFE = 8.0  # reads
_SHORTEST = 1e-6  # of a user's vector; below, what he read cancels out


@dataclass(frozen=True)
class Profiles:
    """Entries (m,) by user, the newest read last: weight 2^(-rank/8) of the item that was the user's rank-th last."""

    users: Indices
    items: Indices
    times: Floats
    ranks: Indices
    weights: Floats
    n_reads: Floats  # (n_users,), with those beyond the profile

    @property
    def n_users(self) -> int:
        return len(self.n_reads)


def profiles_of(reads: UserReads, users: Indices) -> Profiles:
    """The profiles of `users` (n,), which entries number from 0."""
    ends = reads.ends[users]
    begins = np.where(users > 0, reads.ends[users - 1], 0)
    lengths = np.minimum(ends - begins, READS_IN_PROFILE)
    rows = ranges(ends - lengths, lengths)
    owner = np.repeat(np.arange(len(users)), lengths)
    ranks = np.repeat(ends, lengths) - 1 - rows
    n_reads = (ends - begins).astype(np.float64)
    return Profiles(owner, reads.items[rows], reads.times[rows], ranks, np.exp2(-ranks / _RANK_HALF_LIFE), n_reads)


def attributes(profiles: Profiles, items: Items, now: float) -> Vectors:
    """(n_users, attributes) as in ATTRIBUTE_NAMES: how new and how popular what he reads, how much, how long ago."""
    popular = np.log1p(items.readers[profiles.items])
    latest = np.full(profiles.n_users, -np.inf)
    np.maximum.at(latest, profiles.users, profiles.times)
    absent = np.log1p(np.where(np.isfinite(latest), now - latest, 0.0) / DAY)
    means = [weighted_mean(profiles, values) for values in (ages_when_read(profiles, items), popular)]
    return np.column_stack([*means, np.log1p(profiles.n_reads), absent]).astype(np.float32)


def ages_when_read(profiles: Profiles, items: Items) -> Floats:
    """log(1 + days that each item of a profile (m,) had been known for when the user read it)."""
    ages: Floats = np.log1p(np.maximum(profiles.times - items.first_seen[profiles.items], 0.0) / DAY)
    return ages


def weighted_mean(profiles: Profiles, values: Floats) -> Floats:
    """The mean of `values` (m,) of the entries of each user (n_users,), by weight; 0 where he has none."""
    sums = np.bincount(profiles.users, profiles.weights * values, profiles.n_users).astype(np.float64)
    weights = np.bincount(profiles.users, profiles.weights, profiles.n_users)
    means: Floats = np.divide(sums, weights, out=np.zeros_like(sums), where=weights > 0)
    return means


def user_vectors(profiles: Profiles, item_vectors: Vectors) -> Vectors:
    """The weighted sums of the vectors of what users read, at unit length or zero (n_users, d)."""
    sums = weighted_row_sums(profiles.users, profiles.items, profiles.weights, item_vectors, n_rows=profiles.n_users)
    return unit_rows(sums, noise=_SHORTEST)
