"""What some users have read and seen, by numbers, and what the neighbours of their reads make candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lib.adapters.database import Connection
from lib.adapters.item_store import Neighbours, read_reads
from lib.core.ranker.log import Indices, starts_of
from lib.core.ranker.neighbours import Rows
from lib.core.ranker.personal_pool import personal_pool, profile_sums
from lib.core.ranker.profiles import READS_IN_PROFILE, profiles_of
from lib.core.ranker.site import UserReads


@dataclass(frozen=True)
class GatheredReads:
    """What users acted on: (user's number, content_id, unix seconds of the first read or None), by user and time."""

    user_ids: list[str]
    rows: list[tuple[int, str, float | None]]

    def latest(self) -> list[str]:
        """The ids of what is in the users' profiles, without repeats."""
        kept: dict[str, None] = {}
        counts = [0] * len(self.user_ids)
        for user, content_id, at in reversed(self.rows):
            if at is not None and counts[user] < READS_IN_PROFILE:
                counts[user] += 1
                kept[content_id] = None
        return list(kept)

    def numbered(self, index_of: Mapping[str, int], *, unknown: int = 0) -> tuple[UserReads, Indices, Indices]:
        """The reads by the numbers of some items, and what each user has seen of them (starts, items).

        Reads beyond the profiles need no number, for only how many they are is asked of them: they get `unknown`.
        """
        read = [(user, index_of.get(content_id, unknown), at) for user, content_id, at in self.rows if at is not None]
        users = np.array([user for user, _, _ in read], dtype=np.intp)
        ends = np.cumsum(np.bincount(users, minlength=len(self.user_ids)))
        by_user = UserReads(
            users,
            np.array([item for _, item, _ in read], dtype=np.intp),
            np.array([at for _, _, at in read], dtype=float),
            ends,
        )
        seen = [(user, index_of[content_id]) for user, content_id, _ in self.rows if content_id in index_of]
        counts = np.bincount(np.array([user for user, _ in seen], dtype=np.intp), minlength=len(self.user_ids))
        return by_user, starts_of(counts), np.array([item for _, item in seen], dtype=np.intp)


def gather_reads(connection: Connection, user_ids: Sequence[str], *, counted: Sequence[str]) -> GatheredReads:
    """Of those of `user_ids` of whom the log knows anything."""
    rows = read_reads(connection, user_ids, counted=counted)
    known = sorted({user_id for user_id, _, _ in rows})
    number = {user_id: index for index, user_id in enumerate(known)}
    # What was never read comes first: it is in no profile. Equal times are in the order of ids, as in training.
    by_time = sorted(rows, key=lambda row: (number[row[0]], row[2] is not None, row[2] or 0.0, row[1]))
    return GatheredReads(known, [(number[user_id], content_id, at) for user_id, content_id, at in by_time])


def personal_candidates(reads: GatheredReads, neighbours: Mapping[str, Neighbours]) -> list[int]:
    """The positions of the items that the neighbours of what users read lately make candidates."""
    profiled = [content_id for content_id in reads.latest() if content_id in neighbours]
    if not profiled:
        return []
    index_of = {content_id: index for index, content_id in enumerate(profiled)}
    # What the model doesn't know has a row without neighbours, the last one.
    read, _, _ = reads.numbered(index_of, unknown=len(profiled))
    rows = [neighbours[content_id] for content_id in profiled]
    starts = np.cumsum([0, *(len(row.positions) for row in rows), 0])
    sums = profile_sums(
        profiles_of(read, np.arange(len(reads.user_ids))),
        Rows(starts, np.concatenate([row.positions for row in rows]), np.concatenate([row.values for row in rows])),
        np.array([*(row.idf for row in rows), 0.0]),
    )
    return sorted({*sums.items[personal_pool(sums)].tolist()})  # np.unique would import numpy.ma for it
