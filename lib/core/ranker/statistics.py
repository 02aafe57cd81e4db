"""The statistics of items as rows of numbers, for keeping: (n, STATISTICS + cohort half-lives), float64."""

from collections.abc import Sequence

import numpy as np

from lib.core.ranker.items import PRIOR_ACTIONS, Items
from lib.core.ranker.log import Floats
from lib.core.ranker.reads import COHORT_HALF_LIVES_DAYS

NAMES = ("first_seen", "last_seen", "readers", "mean_weight", "unique_share", "idf", "reach")
UNMET = np.array([np.inf, -np.inf, 0.0, 0.0, 1.0, 0.0, 0.0, *(0.0 for _ in COHORT_HALF_LIVES_DAYS)])


def pack_statistics(items: Items) -> Floats:
    """A row for each item (n, S): NAMES, then its popularity at the cohorts' half-lives."""
    return np.column_stack([*(getattr(items, name) for name in NAMES), items.cohort_popularity]).astype(np.float64)


def statistics_of_new(
    first_seen: float, last_seen: float, weights: Sequence[float], *, readers: float, n_readers: int, mean_weight: float
) -> Floats:
    """The row (S,) of an item that was met after the last learning, from the weights of all actions on it.

    `n_readers` and `mean_weight` are the site's. Nobody's neighbours know it yet.
    """
    counted = sum(weight > 0 for weight in weights)
    row = UNMET.copy()
    row[: len(NAMES)] = (
        first_seen,
        last_seen,
        readers,
        (sum(weights) + PRIOR_ACTIONS * mean_weight) / (len(weights) + PRIOR_ACTIONS),
        (readers + 1) / (max(counted, readers) + 1),
        np.log1p(n_readers / (readers + 1)),
        0.0,
    )
    return row
