"""What is a candidate for everybody, whoever asks."""

import math
import threading
import time
from collections.abc import Sequence

import numpy as np

from lib.adapters.database import Connection
from lib.adapters.item_store import CatalogueRow, read_catalogue
from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.exploration import new_candidates
from lib.core.popularity import carry
from lib.core.ranker.site import everybodys_candidates

SMALL = 1_000  # contents, which take a few milliseconds to read; 5,000 take 30 and 50,000 some 250
KEPT_SECONDS = 30.0  # for which the candidates out of more are kept
MOST_KEPT = 50  # languages: one that nobody writes in costs a look, not memory
NOTHING = [0.0] * len(HALF_LIVES_HOURS)


class CandidatePool:
    """Of a large catalogue it keeps the candidates for a while, for the process's threads: what has become popular
    or is new since then is missing from lists for as long. Whether they may be shown is for the reader to check."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[int | None, str | None], tuple[float, list[str]]] = {}  # by model and language

    def read(
        self, connection: Connection, version: int | None, *, language: str | None, now: float, new_since: float
    ) -> list[str]:
        """The ids of the most popular at each half-life and of the newest, then those that nobody has met, the newest
        first (lib/core/exploration.py). Times are in unix seconds.
        """
        with self._lock:
            until, content_ids = self._kept.get((version, language), (0.0, []))
        if time.monotonic() < until:
            return content_ids
        catalogue = read_catalogue(connection, version, language=language)
        content_ids = candidates_for_everybody(catalogue, now, new_since=new_since)
        if len(catalogue) > SMALL:
            with self._lock:
                fresh = {key: kept for key, kept in self._kept.items() if kept[0] > time.monotonic()}
                self._kept = dict(list(fresh.items())[-MOST_KEPT:])
                self._kept[version, language] = (time.monotonic() + KEPT_SECONDS, content_ids)
        return content_ids


def candidates_for_everybody(catalogue: Sequence[CatalogueRow], now: float, *, new_since: float) -> list[str]:
    """The ids, those that nobody has met last."""
    met = [row for row in catalogue if _is_met(row)]
    # What the model doesn't know as met was met after its building: at its latest action, as far as can be told here.
    first_seen = [row.as_of if row.first_seen in (None, math.inf) else row.first_seen for row in met]
    as_of = np.array([-math.inf if row.as_of is None else row.as_of for row in met], dtype=float)
    sums = np.array([row.sums or NOTHING for row in met], dtype=float).reshape(len(met), len(NOTHING))
    pool = everybodys_candidates(carry(sums, as_of, now), np.array(first_seen, dtype=float))
    unmet = [row for row in catalogue if not _is_met(row)]
    return [met[index].content_id for index in np.flatnonzero(pool)] + _new_ones(unmet, since=new_since)


def _new_ones(unmet: Sequence[CatalogueRow], *, since: float) -> list[str]:
    published = np.array([-math.inf if row.published_at is None else row.published_at for row in unmet], dtype=float)
    return [unmet[index].content_id for index in new_candidates(published, since=since)]


def _is_met(row: CatalogueRow) -> bool:
    """Whether anybody has acted on it; what has only been disliked has no popularity."""
    return row.as_of is not None or row.first_seen not in (None, math.inf)
