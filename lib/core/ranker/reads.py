"""First positive reads sorted by user and then time, with what neighbours are computed from."""

from dataclasses import dataclass

import numpy as np

from lib.core.ranker.log import DAY, Floats, Groups, Indices, Log, decay, group_by, starts_of

COHORT_HALF_LIVES_DAYS = (0.5, 3.0, 30.0)
FOLLOW_HALF_LIFE_DAYS = 7.0
_READS_PER_USER = 100  # the latest; a reader of everything says little about an item, and costs its square


@dataclass(frozen=True)
class UserReads:
    """Users' first positive reads (m,) sorted by user, then time; `ends` (n_users,) is one past each user's last."""

    users: Indices
    items: Indices
    times: Floats
    ends: Indices


@dataclass(frozen=True)
class Reads:
    """The reads (m,) and what is the same for all rows of neighbours: see `prepare`."""

    by_user: UserReads
    begins: Indices  # (n_users,) each user's oldest read that counts
    by_item: Groups  # rows of the above, the latest of an item last
    decays: Floats  # (m, cohort half-lives + 1)
    inverse_norms: Floats  # (n_users,) 1/|v|, see neighbours.py
    idf: Floats  # (n_items,)
    readers: Floats  # (n_items,)
    reach: Floats  # (n_items,) sum of 1/|v| over the readers v


def user_reads(reads: Log) -> UserReads:
    """First reads (in order of time), user by user."""
    grouped = group_by(reads.users, reads.n_users)
    by_user = reads.take(grouped.rows)
    return UserReads(by_user.users, by_user.items, by_user.times, grouped.starts[1:])


def prepare(reads: Log, now: float) -> Reads:
    """Sorts first reads (in order of time) and computes what is the same for all rows."""
    by_user = user_reads(reads)
    counts = np.bincount(by_user.items, minlength=reads.n_items)
    sizes = np.diff(by_user.ends, prepend=0)
    idf: Floats = np.log1p(np.count_nonzero(sizes) / (counts + 1.0))
    begins = by_user.ends - np.minimum(sizes, _READS_PER_USER)
    inverse = _inverse_norms(by_user, begins, idf)
    ages = (now - by_user.times) / DAY
    return Reads(
        by_user=by_user,
        begins=begins,
        by_item=Groups(np.lexsort((-ages, by_user.items)), starts_of(counts)),
        decays=np.stack([decay(ages, h) for h in (*COHORT_HALF_LIVES_DAYS, FOLLOW_HALF_LIFE_DAYS)], axis=1),
        inverse_norms=inverse,
        idf=idf,
        readers=counts.astype(np.float64),
        reach=np.bincount(by_user.items, inverse[by_user.users], reads.n_items).astype(np.float64),
    )


def _inverse_norms(reads: UserReads, begins: Indices, idf: Floats) -> Floats:
    counted = np.arange(len(reads.users)) >= begins[reads.users]
    norms = np.sqrt(np.bincount(reads.users, counted * idf[reads.items] ** 2, len(reads.ends)))
    inverse: Floats = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return inverse
