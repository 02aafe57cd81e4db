"""Items as they stand now: what the model knew of them when it was built, carried to now, popularity as of now, and
from the log what nobody had met by then.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from lib.adapters.action_log import RECEIPT_OVERLAP
from lib.adapters.database import Connection
from lib.adapters.embedding_store import Model
from lib.adapters.item_store import StoredItems, read_new_items
from lib.adapters.text_vectors import TextVectors
from lib.core.defaults import CO_READ_SIZE, TEXT_SIZE
from lib.core.popularity import carry
from lib.core.ranker.items import N_HALF_LIVES, Items
from lib.core.ranker.learned import Learned
from lib.core.ranker.log import DAY, Floats, Indices
from lib.core.ranker.neighbours import N_COHORTS, carry_cohort_popularity
from lib.core.ranker.statistics import NAMES as STATISTICS
from lib.core.ranker.statistics import statistics_of_new
from lib.settings import Settings

# One row is all of an item, some 900 bytes.
ITEM = np.dtype(
    [
        ("position", np.intp),
        ("popularity", np.float64, N_HALF_LIVES),
        *((name, np.float64) for name in STATISTICS),
        ("cohort_popularity", np.float32, N_COHORTS),
        ("co_read", np.float32, CO_READ_SIZE),
        ("text", np.float32, TEXT_SIZE),
        ("circle", np.float32, TEXT_SIZE),
        ("available", np.bool_),
    ]
)
StandingItems = NDArray[np.void]  # (n,) of ITEM; `circle` is what the circle of each item likes of the new


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


def as_they_stand(
    connection: Connection, text_vectors: TextVectors, basis: Basis, stored: StoredItems
) -> StandingItems:
    """The items (n,) as they stand now."""
    standing = np.zeros(len(stored.content_ids), ITEM)
    statistics = _statistics(connection, basis, stored)
    for name, column in zip(STATISTICS, statistics.T, strict=False):
        standing[name] = column
    standing["last_seen"] = np.maximum(standing["last_seen"], stored.as_of)
    # The first may have come since.
    standing["readers"] = np.where(standing["readers"] > 0, standing["readers"], stored.sums[:, -1])
    standing["popularity"] = carry(stored.sums, stored.as_of, basis.now.timestamp())
    cohorts = statistics[:, len(STATISTICS) :].astype(np.float32)
    standing["cohort_popularity"] = carry_cohort_popularity(cohorts, basis.age_seconds)
    standing["co_read"], standing["text"] = np.split(stored.vectors, [CO_READ_SIZE], axis=1)
    standing["circle"], standing["position"], standing["available"] = stored.circles, stored.positions, stored.available
    _add_later_content(connection, text_vectors, basis, stored, standing)
    return standing


def items_of(standing: StandingItems, numbers: Indices) -> Items:
    """What ranking asks of some of them (k,)."""
    names = ("popularity", *STATISTICS, "cohort_popularity", "available")
    columns = {name: standing[name][numbers] for name in names}
    return Items(**columns, vectors=(standing["co_read"][numbers], standing["text"][numbers]))


def _add_later_content(
    connection: Connection, text_vectors: TextVectors, basis: Basis, stored: StoredItems, standing: StandingItems
) -> None:
    """What the content of those items says that the model doesn't know."""
    unknown = np.flatnonzero(stored.positions < 0).tolist()
    found = text_vectors.read(connection, basis.version, [stored.content_ids[index] for index in unknown])
    for index in unknown:
        if (vector := found.get(stored.content_ids[index])) is not None:
            standing["text"][index] = vector


def _statistics(connection: Connection, basis: Basis, stored: StoredItems) -> Floats:
    """(n, S); what the model doesn't know as met was met since its building, and is asked of the log."""
    statistics = stored.statistics.copy()
    new = np.flatnonzero(np.isfinite(stored.as_of) & ~np.isfinite(statistics[:, 0])).tolist()
    if new:
        since = basis.model.built_at - RECEIPT_OVERLAP if basis.model else datetime.fromtimestamp(0, UTC)
        found = read_new_items(connection, [stored.content_ids[index] for index in new], since=since)
        for index in new:
            as_of = float(stored.as_of[index])
            first, last, actions = found.get(stored.content_ids[index], (as_of, as_of, []))
            statistics[index] = statistics_of_new(
                first,
                last,
                [basis.settings.action_weights[action] for action in actions],
                readers=float(stored.sums[index, -1]),
                n_readers=basis.learned.n_readers,
                mean_weight=basis.learned.mean_weight,
            )
    return statistics
