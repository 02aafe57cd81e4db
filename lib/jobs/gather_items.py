"""The items of a site as they stand now: what the model knew of them when it was built, carried to now, popularity as
of now, and from the log what nobody had met by then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from lib.adapters.action_log import RECEIPT_OVERLAP
from lib.adapters.database import Connection
from lib.adapters.embedding_store import Model
from lib.adapters.item_store import Neighbours, StoredItem, read_new_items, sums_of
from lib.adapters.text_vectors import TextVectors
from lib.core.defaults import CO_READ_SIZE, HALF_LIVES_HOURS, TEXT_SIZE
from lib.core.popularity import carry
from lib.core.ranker.items import Items
from lib.core.ranker.learned import Learned
from lib.core.ranker.log import DAY, Floats, Vectors, starts_of
from lib.core.ranker.neighbours import CHANNELS, Rows, carry_cohort_popularity, carry_rows
from lib.core.ranker.statistics import NAMES as STATISTICS
from lib.core.ranker.statistics import UNMET, statistics_of_new
from lib.settings import Settings

VECTOR_SIZES = (CO_READ_SIZE, TEXT_SIZE)


@dataclass(frozen=True)
class Basis:
    """What a ranking stands on: the settings, the model (None before the first run of learning), and now."""

    settings: Settings
    model: Model | None
    learned: Learned
    now: datetime

    @property
    def version(self) -> int | None:
        return self.model.version if self.model else None

    @property
    def age_seconds(self) -> float:
        """Of the model."""
        return (self.now - self.model.built_at).total_seconds() if self.model else 0.0

    @property
    def new_since(self) -> float:
        """When content must have been published to count as new (unix seconds)."""
        return self.now.timestamp() - self.settings.new_content_max_age_days * DAY


def gather_items(connection: Connection, basis: Basis, stored: Sequence[StoredItem]) -> Items:
    """The items as they stand now."""
    statistics = _statistics(connection, basis, stored)
    named = dict(zip(STATISTICS, statistics.T, strict=False))
    as_of = np.array([-np.inf if item.as_of is None else item.as_of for item in stored])
    sums = np.array([sums_of(item) for item in stored]).reshape(len(stored), len(HALF_LIVES_HOURS))
    cohorts = statistics[:, len(STATISTICS) :].astype(np.float32)
    named["last_seen"] = np.maximum(named["last_seen"], as_of)
    named["readers"] = np.where(named["readers"] > 0, named["readers"], sums[:, -1])  # the first may have come since
    return Items(
        popularity=carry(sums, as_of, basis.now.timestamp()),
        **named,
        cohort_popularity=carry_cohort_popularity(cohorts, basis.age_seconds),
        vectors=_vectors(stored),
        available=np.array([item.available for item in stored], dtype=bool),
    )


def gather_circles(stored: Sequence[StoredItem]) -> Vectors:
    """What the circle of each item likes of the new (n, TEXT_SIZE); zeros where the model doesn't know the item."""
    circles = np.zeros((len(stored), TEXT_SIZE), np.float32)
    for index, item in enumerate(stored):
        if item.circle is not None:
            circles[index] = item.circle
    return circles


def with_later_content(
    connection: Connection, text_vectors: TextVectors, basis: Basis, stored: Sequence[StoredItem]
) -> list[StoredItem]:
    """The items, those that the model doesn't know with what their content says as of now."""
    unknown = [item.content_id for item in stored if item.position is None]
    found = text_vectors.read(connection, basis.version, unknown)
    co_read = np.zeros(CO_READ_SIZE, np.float32)
    return [
        replace(item, vectors=np.concatenate([co_read, found[item.content_id]])) if item.content_id in found else item
        for item in stored
    ]


def gather_rows(stored: Sequence[StoredItem], neighbours: Mapping[str, Neighbours], age_seconds: float) -> Rows:
    """The neighbours of what is in the profiles, as far as they are items of the site, as they stand now."""
    positions = np.array([-1 if item.position is None else item.position for item in stored], dtype=np.intp)
    order = np.argsort(positions)
    found = [(index, neighbours[item.content_id]) for index, item in enumerate(stored) if item.content_id in neighbours]
    lengths = np.array([len(row.positions) for _, row in found], dtype=np.intp)
    owners = np.repeat(np.array([index for index, _ in found], dtype=np.intp), lengths)
    near = np.concatenate([np.empty(0, np.int32), *(row.positions for _, row in found)])
    values = np.concatenate([np.empty((0, len(CHANNELS)), np.float32), *(row.values for _, row in found)])
    places = order[np.minimum(np.searchsorted(positions, near, sorter=order), len(stored) - 1)]
    kept = positions[places] == near
    starts = starts_of(np.bincount(owners[kept], minlength=len(stored)))
    return Rows(starts, places[kept].astype(np.int32), carry_rows(values[kept], age_seconds))


def _statistics(connection: Connection, basis: Basis, stored: Sequence[StoredItem]) -> Floats:
    """(n, S); what the model doesn't know as met was met since its building, and is asked of the log."""
    rows = [UNMET if item.statistics is None else item.statistics for item in stored]
    new = [index for index, item in enumerate(stored) if item.as_of is not None and not np.isfinite(rows[index][0])]
    if new:
        since = basis.model.built_at - RECEIPT_OVERLAP if basis.model else datetime.fromtimestamp(0, UTC)
        found = read_new_items(connection, [stored[index].content_id for index in new], since=since)
        for index in new:
            item = stored[index]
            first, last, actions = found.get(item.content_id, (item.as_of, item.as_of, []))
            rows[index] = statistics_of_new(
                float(first or 0.0),
                float(last or 0.0),
                [basis.settings.action_weights[action] for action in actions],
                readers=float(sums_of(item)[-1]),
                n_readers=basis.learned.n_readers,
                mean_weight=basis.learned.mean_weight,
            )
    return np.array(rows, dtype=np.float64).reshape(len(stored), len(UNMET))


def _vectors(stored: Sequence[StoredItem]) -> tuple[Vectors, ...]:
    joined = np.zeros((len(stored), sum(VECTOR_SIZES)), np.float32)
    for index, item in enumerate(stored):
        if item.vectors is not None:
            joined[index] = item.vectors
    return tuple(np.split(joined, np.cumsum(VECTOR_SIZES)[:-1], axis=1))
