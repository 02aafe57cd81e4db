"""The site as ranking sees it, for some users: put together from what is stored, not from the whole log.

1. What the users have read and seen, and the neighbours of what they read lately.
2. The candidates for everybody, out of everything that may be shown.
3. All of those items with their statistics: as of the model's building, carried to now, and popularity as of now.

What nobody had met when the model was built is asked of the log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from lib.adapters.database import Connection
from lib.adapters.embedding_store import Model
from lib.adapters.item_store import (
    Neighbours,
    StoredItem,
    read_items,
    read_neighbours,
    read_new_items,
    read_reads,
    sums_of,
)
from lib.adapters.services import Services
from lib.core.defaults import CO_READ_SIZE, HALF_LIVES_HOURS, TEXT_SIZE
from lib.core.popularity import carry
from lib.core.ranker.items import Items
from lib.core.ranker.learned import Learned
from lib.core.ranker.log import Floats, Indices, Vectors
from lib.core.ranker.neighbours import CHANNELS, Rows, carry_cohort_popularity, carry_rows
from lib.core.ranker.personal_pool import personal_pool, profile_sums
from lib.core.ranker.profiles import READS_IN_PROFILE, profiles_of
from lib.core.ranker.site import Site, UserReads
from lib.core.ranker.statistics import NAMES as STATISTICS
from lib.core.ranker.statistics import UNMET, statistics_of_new
from lib.settings import Settings

OVERLAP = timedelta(minutes=5)  # an event gets its received_at before its commit; no transaction lasts that long
VECTOR_SIZES = (CO_READ_SIZE, TEXT_SIZE)


@dataclass(frozen=True)
class AssembledSite:
    """`site` numbers its items by `content_ids` and its users by `user_ids`: those of whom the log knows anything."""

    site: Site
    content_ids: list[str]
    user_ids: list[str]


@dataclass(frozen=True)
class _Reads:
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


def assemble_site(
    connection: Connection,
    services: Services,
    learned: Learned,
    model: Model | None,
    user_ids: Sequence[str],
    *,
    language: str | None,
    now: datetime,
) -> AssembledSite:
    """What `rank_users` needs for these users. Without a model nothing is known but popularity and what was read."""
    settings = services.settings
    reads = _reads(connection, user_ids, counted=settings.positive_actions)
    version = model.version if model else None
    age_seconds = (now - model.built_at).total_seconds() if model else 0.0
    neighbours = read_neighbours(connection, model.version, reads.latest()) if model else {}
    shared = services.candidate_pool.read(connection, version, language=language, now=now.timestamp())
    positions = _personal_candidates(reads, neighbours)
    wanted = {*shared, *reads.latest()}
    stored = read_items(connection, version, content_ids=sorted(wanted), positions=positions, language=language)
    place = {content_id: number for number, content_id in enumerate(shared)}
    stored.sort(key=lambda item: -1 if item.is_met else place.get(item.content_id, -1))  # the newest first among equals
    items = _items(connection, settings, learned, model, stored, now)
    index_of = {item.content_id: index for index, item in enumerate(stored)}
    by_user, starts, seen = _numbered(reads, index_of)
    pool = np.zeros(len(stored), bool)
    pool[[index_of[content_id] for content_id in shared]] = True
    site = Site(
        now=now.timestamp(),
        items=items,
        rows=_rows(stored, neighbours, age_seconds),
        reads=by_user,
        seen_starts=starts,
        seen_items=seen,
        pool=pool,
        n_readers=learned.n_readers,
    )
    return AssembledSite(site, [item.content_id for item in stored], reads.user_ids)


def _reads(connection: Connection, user_ids: Sequence[str], *, counted: Sequence[str]) -> _Reads:
    rows = read_reads(connection, user_ids, counted=counted)
    known = sorted({user_id for user_id, _, _ in rows})
    number = {user_id: index for index, user_id in enumerate(known)}
    # What was never read comes first: it is in no profile. Equal times are in the order of ids, as in training.
    by_time = sorted(rows, key=lambda row: (number[row[0]], row[2] is not None, row[2] or 0.0, row[1]))
    return _Reads(known, [(number[user_id], content_id, at) for user_id, content_id, at in by_time])


def _personal_candidates(reads: _Reads, neighbours: Mapping[str, Neighbours]) -> list[int]:
    """The positions of the items that the neighbours of what users read lately make candidates."""
    profiled = [content_id for content_id in reads.latest() if content_id in neighbours]
    if not profiled:
        return []
    index_of = {content_id: index for index, content_id in enumerate(profiled)}
    # What the model doesn't know has a row without neighbours, the last one.
    read, _, _ = _numbered(reads, index_of, unknown=len(profiled))
    rows = [neighbours[content_id] for content_id in profiled]
    starts = np.cumsum([0, *(len(row.positions) for row in rows), 0])
    sums = profile_sums(
        profiles_of(read, np.arange(len(reads.user_ids))),
        Rows(starts, np.concatenate([row.positions for row in rows]), np.concatenate([row.values for row in rows])),
        np.array([*(row.idf for row in rows), 0.0]),
    )
    positions: list[int] = np.unique(sums.items[personal_pool(sums)]).tolist()
    return positions


def _numbered(reads: _Reads, index_of: Mapping[str, int], *, unknown: int = 0) -> tuple[UserReads, Indices, Indices]:
    """The reads by the numbers of some items, and what each user has seen of them (starts, items).

    Reads beyond the profiles need no number, for nothing but how many they are is asked of them: they get `unknown`.
    """
    read = [(user, index_of.get(content_id, unknown), at) for user, content_id, at in reads.rows if at is not None]
    users = np.array([user for user, _, _ in read], dtype=np.intp)
    ends = np.cumsum(np.bincount(users, minlength=len(reads.user_ids)))
    by_user = UserReads(
        users,
        np.array([item for _, item, _ in read], dtype=np.intp),
        np.array([at for _, _, at in read], dtype=float),
        ends,
    )
    seen = [(user, index_of[content_id]) for user, content_id, _ in reads.rows if content_id in index_of]
    counts = np.bincount(np.array([user for user, _ in seen], dtype=np.intp), minlength=len(reads.user_ids))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
    return by_user, starts, np.array([item for _, item in seen], dtype=np.intp)


def _rows(stored: Sequence[StoredItem], neighbours: Mapping[str, Neighbours], age_seconds: float) -> Rows:
    """The neighbours of what is in the profiles, as far as they are items of the site, as they stand now."""
    positions = np.array([-1 if item.position is None else item.position for item in stored], dtype=np.intp)
    order = np.argsort(positions)
    counts = np.zeros(len(stored), np.intp)
    items, values = [np.empty(0, np.int32)], [np.empty((0, len(CHANNELS)), np.float32)]
    for index, item in enumerate(stored):
        row = neighbours.get(item.content_id)
        if row is not None and len(row.positions):
            place = np.minimum(np.searchsorted(positions, row.positions, sorter=order), len(stored) - 1)
            kept = positions[order[place]] == row.positions
            items.append(order[place[kept]].astype(np.int32))
            values.append(carry_rows(row.values[kept], age_seconds))
            counts[index] = len(items[-1])
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
    return Rows(starts, np.concatenate(items), np.concatenate(values))


def _items(
    connection: Connection,
    settings: Settings,
    learned: Learned,
    model: Model | None,
    stored: Sequence[StoredItem],
    now: datetime,
) -> Items:
    """The items as they stand now."""
    at = now.timestamp()
    statistics = _statistics(connection, settings, learned, model, stored)
    named = dict(zip(STATISTICS, statistics.T, strict=False))
    as_of = np.array([-np.inf if item.as_of is None else item.as_of for item in stored])
    sums = np.array([sums_of(item) for item in stored]).reshape(len(stored), len(HALF_LIVES_HOURS))
    age_seconds = (now - model.built_at).total_seconds() if model else 0.0
    named["last_seen"] = np.maximum(named["last_seen"], as_of)
    named["readers"] = np.where(named["readers"] > 0, named["readers"], sums[:, -1])  # the first may have come since
    return Items(
        popularity=carry(sums, as_of, at),
        **named,
        cohort_popularity=carry_cohort_popularity(statistics[:, len(STATISTICS) :].astype(np.float32), age_seconds),
        vectors=_vectors(stored),
        available=np.array([item.available for item in stored], dtype=bool),
    )


def _statistics(
    connection: Connection, settings: Settings, learned: Learned, model: Model | None, stored: Sequence[StoredItem]
) -> Floats:
    """(n, S); what the model doesn't know as met was met since its building, and is asked of the log."""
    rows = [UNMET if item.statistics is None else item.statistics for item in stored]
    new = [index for index, item in enumerate(stored) if item.as_of is not None and not np.isfinite(rows[index][0])]
    if new:
        since = model.built_at - OVERLAP if model else datetime.fromtimestamp(0, UTC)
        found = read_new_items(connection, [stored[index].content_id for index in new], since=since)
        for index in new:
            item = stored[index]
            first, last, actions = found.get(item.content_id, (item.as_of, item.as_of, []))
            rows[index] = statistics_of_new(
                float(first or 0.0),
                float(last or 0.0),
                [settings.action_weights[action] for action in actions],
                readers=float(sums_of(item)[-1]),
                n_readers=learned.n_readers,
                mean_weight=learned.mean_weight,
            )
    return np.array(rows, dtype=np.float64).reshape(len(stored), len(UNMET))


def _vectors(stored: Sequence[StoredItem]) -> tuple[Vectors, ...]:
    joined = np.zeros((len(stored), sum(VECTOR_SIZES)), np.float32)
    for index, item in enumerate(stored):
        if item.vectors is not None:
            joined[index] = item.vectors
    return tuple(np.split(joined, np.cumsum(VECTOR_SIZES)[:-1], axis=1))
