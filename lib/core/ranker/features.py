"""Candidates of users and their features: the same functions for training and for serving."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib.core.ranker.items import GLOBAL_NAMES, ages_days, global_features
from lib.core.ranker.log import Floats, Indices, Mask, Vectors, ranges
from lib.core.ranker.neighbours import N_COHORTS
from lib.core.ranker.personal_pool import Sums, personal_pool, profile_norms, profile_sums
from lib.core.ranker.profiles import (
    Profiles,
    ages_when_read,
    attributes,
    profiles_of,
    user_vectors,
    weighted_mean,
)
from lib.core.ranker.reads import COHORT_HALF_LIVES_DAYS
from lib.core.ranker.site import Site

PERSONAL_NAMES = (*(f"lift{h:g}d" for h in COHORT_HALF_LIVES_DAYS), "knn", "follows", "age_gap")
_USERS_AT_ONCE = 16  # some 10 MB while they are worked on, most of which stays in the processor's cache
_PRIOR = 2.0  # readers of the user's mean similarity that every item's cohort begins with
_FLOOR = 0.02


@dataclass(frozen=True)
class Candidates:
    """Ragged: items (N,) and features (N, F) of one user after the other, who begins at starts[u]."""

    items: Indices
    features: Vectors
    starts: Indices
    attributes: Vectors  # (n_users, A)
    n_reads: Floats  # (n_users,) that the user's history holds

    def sizes(self) -> Indices:
        """How many candidates each user has (n_users,)."""
        return np.diff(self.starts, append=len(self.items))


def feature_names(n_vectors: int) -> tuple[str, ...]:
    """What the columns of features are; `n_vectors` is how many sets of item vectors there are."""
    return (*GLOBAL_NAMES, *PERSONAL_NAMES, *(f"cosine{k}" for k in range(n_vectors)))


def candidates_of(site: Site, users: Indices) -> Candidates:
    """The candidates of `users` with features: what may be shown to each and he hasn't seen, ascending. What nobody has
    met is none, for it has no features.

    A user who has seen everything gets none, and repeats a start.
    """
    everybody = global_features(site.items, site.now)
    firsts = range(0, len(users), _USERS_AT_ONCE)
    parts = [_part(site, users[k : k + _USERS_AT_ONCE], everybody) for k in firsts]
    counts = np.concatenate([np.empty(0, np.intp), *(part[0] for part in parts)])
    profiles = profiles_of(site.reads, users)
    no_features = np.empty((0, len(feature_names(len(site.items.vectors)))), np.float32)
    return Candidates(
        items=np.concatenate([np.empty(0, np.intp), *(part[1] for part in parts)]),
        features=np.concatenate([no_features, *(part[2] for part in parts)]),
        starts=np.cumsum(counts) - counts,
        attributes=attributes(profiles, site.items, site.now),
        n_reads=profiles.n_reads,
    )


def _part(site: Site, users: Indices, everybody: Vectors) -> tuple[Indices, Indices, Vectors]:
    """(number of candidates of each user, items, features) of a few users; `everybody` (n, ·) are global features."""
    profiles = profiles_of(site.reads, users)
    sums = profile_sums(profiles, site.rows, site.items.idf)
    pool = _pool(site, users, sums)
    owner, items = np.divmod(np.flatnonzero(pool), len(site.items))
    personal = _personal_features(site, profiles, sums.of(owner, items), owner, items)
    return pool.sum(axis=1), items, np.concatenate([everybody[items], personal], axis=1)


def _pool(site: Site, users: Indices, sums: Sums) -> Mask:
    """Whose candidate is what (n_users, n_items)."""
    may_be = site.items.available & site.items.met
    pool = np.tile(site.pool & may_be, (len(users), 1))
    found = personal_pool(sums)
    found[found] = may_be[sums.items[found]]
    pool[sums.users[found], sums.items[found]] = True
    lengths = np.diff(site.seen_starts)[users]
    seen = site.seen_items[ranges(site.seen_starts[:-1][users], lengths)]
    pool[np.repeat(np.arange(len(users)), lengths), seen] = False
    return pool


def _personal_features(site: Site, profiles: Profiles, sums: Vectors, owner: Indices, items: Indices) -> Vectors:
    """(N, personal features) of candidates `items` of users `owner`; `sums` (N, channels) are theirs."""
    usual = weighted_mean(profiles, ages_when_read(profiles, site.items))[owner]
    columns: list[NDArray[np.floating]] = [
        _lifts(site, profiles, sums, owner, items),
        sums[:, N_COHORTS],
        np.log1p(10 * sums[:, N_COHORTS + 1]),
        -np.abs(np.log1p(ages_days(site.items, site.now)[items]) - usual),
        *(_cosines(user_vectors(profiles, vectors), vectors, owner, items) for vectors in site.items.vectors),
    ]
    return np.column_stack(columns).astype(np.float32)


def _lifts(site: Site, profiles: Profiles, sums: Vectors, owner: Indices, items: Indices) -> Floats:
    """How much more the users like him read each candidate than all users did (N, cohort half-lives), as a log."""
    mean_similarity = _mean_similarities(site, profiles)[owner, None]
    expected = mean_similarity * (site.items.cohort_popularity[items] + _PRIOR) + _FLOOR
    lifts: Floats = np.log((sums[:, :N_COHORTS] + _PRIOR * mean_similarity + _FLOOR) / expected)
    return lifts


def _mean_similarities(site: Site, profiles: Profiles) -> Floats:
    """Each user's mean similarity to all readers (n_users,)."""
    items = profiles.items
    reached = profiles.weights * site.items.idf[items] ** 2 * site.items.reach[items]
    sums = np.bincount(profiles.users, reached, profiles.n_users)
    similarities: Floats = sums / profile_norms(profiles, site.items.idf) / max(site.n_readers, 1)
    return similarities


def _cosines(users: Vectors, vectors: Vectors, owner: Indices, items: Indices) -> Vectors:
    """The dot product of each candidate's vector with its user's (N,), user by user."""
    ends = np.searchsorted(owner, np.arange(len(users) + 1))
    own = [vectors[items[start:end]] @ user for user, start, end in zip(users, ends[:-1], ends[1:], strict=True)]
    return np.concatenate([np.empty(0, np.float32), *own])
