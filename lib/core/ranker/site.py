"""Everything that ranking needs to know of a site at one time, from nothing but what happened before.

Training builds it here from the log. Production builds one of a few thousand items out of what is stored: the items
of the users' profiles, the shared pool, and what `personal_pool` finds. Rows of items in no profile may be missing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lib.core.ranker.items import (
    N_HALF_LIVES,
    Items,
    decayed_counts,
    mean_weights,
    popularity_of,
    seen_between,
    unique_shares,
)
from lib.core.ranker.log import Floats, Indices, Log, Mask, Vectors, first_reads, group_by
from lib.core.ranker.neighbours import Rows, neighbour_rows
from lib.core.ranker.reads import COHORT_HALF_LIVES_DAYS, Reads, UserReads, prepare

__all__ = [
    "NEIGHBOURS",
    "Items",
    "MakeVectors",
    "Site",
    "UserReads",
    "everybodys_candidates",
    "pool_sizes",
    "shared_pool",
    "site_at",
]

MakeVectors = Callable[[Log, float], Vectors]  # unit rows or zeros (n_items, d) from the reads before a time
NEIGHBOURS = 200  # of an item; half as many lose .001 NDCG, more gain nothing
_PER_HALF_LIFE, _NEWEST = 100, 50


@dataclass(frozen=True)
class Site:
    """A site at `now` (unix seconds). Items are indices into `items`, users into `reads.ends`."""

    now: float
    items: Items
    rows: Rows
    reads: UserReads
    seen_starts: Indices  # what each user has acted on: seen_items[seen_starts[u]:seen_starts[u + 1]]
    seen_items: Indices
    pool: Mask  # (n,) candidates for everybody
    n_readers: int  # users who have read anything


def site_at(
    log: Log, now: float, vectors: Sequence[MakeVectors], *, users: Indices | None = None, size: int = NEIGHBOURS
) -> Site:
    """The site at `now` by the actions before it. With `users`, rows are made for what these have read alone."""
    log = log.before(now)
    first = first_reads(log)
    reads = prepare(first, now)
    items = _items(log, first, reads, now, vectors)
    seen = group_by(log.users, log.n_users)
    return Site(
        now=now,
        items=items,
        rows=neighbour_rows(reads, _sources(reads.by_user, users), size=size),
        reads=reads.by_user,
        seen_starts=seen.starts,
        seen_items=log.items[seen.rows],
        pool=shared_pool(items),
        n_readers=int(np.count_nonzero(np.bincount(first.users))),
    )


def shared_pool(items: Items) -> Mask:
    """What is a candidate for everybody (n,): of what has been met and may be shown the most popular at each half-life,
    and the newest. (What nobody has met has no place in a log; lib/core/exploration.py chooses from it.)"""
    pool = np.zeros(len(items), bool)
    known = np.flatnonzero(items.available & items.met)
    pool[known[everybodys_candidates(items.popularity[known], items.first_seen[known])]] = True
    return pool


def pool_sizes() -> list[int]:
    """How many candidates for everybody each half-life gives, and how many newness."""
    return [_PER_HALF_LIFE] * N_HALF_LIVES + [_NEWEST]


def everybodys_candidates(popularity: Floats, first_seen: Floats) -> Mask:
    """The most popular of some items (n,) at each half-life, and the newest; the lower index first among equals."""
    chosen = np.zeros(len(first_seen), bool)
    for column in popularity.T:
        chosen[np.argsort(-column, kind="stable")[:_PER_HALF_LIFE]] = True
    chosen[np.argsort(-first_seen, kind="stable")[:_NEWEST]] = True
    return chosen


def _items(log: Log, first: Log, reads: Reads, now: float, vectors: Sequence[MakeVectors]) -> Items:
    first_seen, last_seen = seen_between(log)
    return Items(
        popularity=popularity_of(first, now),
        first_seen=first_seen,
        last_seen=last_seen,
        readers=reads.readers,
        mean_weight=mean_weights(log),
        unique_share=unique_shares(log, reads.readers),
        idf=reads.idf,
        reach=reads.reach,
        cohort_popularity=_cohort_popularity(first, now),
        vectors=tuple(make(first, now) for make in vectors),
        available=np.isfinite(first_seen),
    )


def _cohort_popularity(reads: Log, now: float) -> Vectors:
    columns: list[Floats] = [decayed_counts(reads, now, days) for days in COHORT_HALF_LIVES_DAYS]
    return np.stack(columns, axis=1).astype(np.float32)


def _sources(reads: UserReads, users: Indices | None) -> Indices:
    """The items (ascending) that all users, or these, have read."""
    if users is None:
        return np.unique(reads.items)
    wanted = np.zeros(len(reads.ends), bool)
    wanted[users] = True
    return np.unique(reads.items[wanted[reads.users]])
