"""What some users have read and seen, by numbers, and what the neighbours of their reads make candidates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lib.adapters.database import Connection
from lib.adapters.item_store import StoredRows, read_reads
from lib.core.ranker.log import Indices, starts_of
from lib.core.ranker.neighbours import Rows
from lib.core.ranker.personal_pool import personal_pool, profile_sums
from lib.core.ranker.profiles import profiles_of
from lib.core.ranker.site import UserReads

_USERS_AT_ONCE = 16  # whose sums stay in the processor's cache


@dataclass(frozen=True)
class GatheredReads:
    """What users acted on, by numbers of `user_ids` and `content_ids` (both ascending): what they read, and all that
    they have seen (m,), by user."""

    user_ids: list[str]
    content_ids: list[str]
    reads: UserReads
    seen_users: Indices
    seen_contents: Indices

    def latest(self) -> list[str]:
        """The ids of what is in the users' profiles, without repeats."""
        is_latest = np.zeros(len(self.content_ids), bool)
        is_latest[profiles_of(self.reads, np.arange(len(self.user_ids))).items] = True
        return [self.content_ids[number] for number in np.flatnonzero(is_latest).tolist()]

    def numbered(self, index_of: Indices, *, unknown: int = 0) -> tuple[UserReads, Indices, Indices]:
        """The reads by other numbers of the contents, -1 where one has none, and what each user has seen of those that
        have one (starts, items).

        Reads beyond the profiles need no number, for only how many they are is asked of them: they get `unknown`.
        """
        items = index_of[self.reads.items]
        items[items < 0] = unknown
        seen = index_of[self.seen_contents]
        counts = np.bincount(self.seen_users[seen >= 0], minlength=len(self.user_ids))
        by_user = UserReads(self.reads.users, items, self.reads.times, self.reads.ends)
        return by_user, starts_of(counts), seen[seen >= 0]


def gather_reads(connection: Connection, user_ids: Sequence[str], *, counted: Sequence[str]) -> GatheredReads:
    """Of those of `user_ids` of whom the log knows anything."""
    rows = read_reads(connection, user_ids, counted=counted)
    known, contents = sorted({user_id for user_id, _, _ in rows}), sorted({content_id for _, content_id, _ in rows})
    user_number, content_number = ({id_: number for number, id_ in enumerate(ids)} for ids in (known, contents))
    users = np.array([user_number[row[0]] for row in rows], np.intp)
    items = np.array([content_number[row[1]] for row in rows], np.intp)
    times = np.array([np.nan if row[2] is None else row[2] for row in rows], np.float64)
    order = np.lexsort((items, times, users))  # equal times are in the order of ids, as in training
    users, items, times = users[order], items[order], times[order]
    is_read = ~np.isnan(times)
    ends = np.cumsum(np.bincount(users[is_read], minlength=len(known)))
    return GatheredReads(known, contents, UserReads(users[is_read], items[is_read], times[is_read], ends), users, items)


def personal_candidates(reads: GatheredReads, neighbours: StoredRows) -> Indices:
    """The positions of the items that the neighbours of what users read lately make candidates, ascending."""
    number_of = {content_id: number for number, content_id in enumerate(neighbours.content_ids)}
    # What the model doesn't know has a row without neighbours, the last one.
    unknown = len(number_of)
    by_row, _, _ = reads.numbered(
        np.array([number_of.get(id_, -1) for id_ in reads.content_ids], np.intp), unknown=unknown
    )
    rows = Rows(
        np.append(neighbours.rows.starts, neighbours.rows.starts[-1]), neighbours.rows.items, neighbours.rows.values
    )
    idf = np.append(neighbours.idf, 0.0)
    chosen = np.zeros(1 + int(rows.items.max(initial=-1)), bool)
    for first in range(0, len(reads.user_ids), _USERS_AT_ONCE):
        users = np.arange(first, min(first + _USERS_AT_ONCE, len(reads.user_ids)))
        sums = profile_sums(profiles_of(by_row, users), rows, idf)
        chosen[sums.items[personal_pool(sums)]] = True
    return np.flatnonzero(chosen)
