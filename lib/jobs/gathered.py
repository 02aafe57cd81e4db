"""What is gathered for the lists of some users, and serves for those of others that are ranked at the same time."""

from collections.abc import Sequence

import numpy as np

from lib.adapters.candidate_pool import read_pool
from lib.adapters.database import Connection
from lib.adapters.item_store import read_items
from lib.adapters.services import Services
from lib.core.diversity import Topics
from lib.core.ranker.log import Indices
from lib.jobs.gather_items import ITEM, Basis, StandingItems, as_they_stand

MOST_KEPT = 200_000  # items, some kilobyte each


class GatheredItems:
    """Items as they stand at one time, numbered as they came: none is read twice. `shared` are the ids of what is a
    candidate for everybody."""

    def __init__(self, basis: Basis, language: str | None, shared: Sequence[str]) -> None:
        self.shared = shared
        self.content_ids: list[str] = []
        self.topics: list[Topics] = []
        self._basis, self._language = basis, language
        self._standing: StandingItems = np.empty(0, ITEM)  # with room for more
        self._number: dict[str, int] = {}
        self._number_at: Indices = np.empty(0, np.intp)  # by position

    def __len__(self) -> int:
        return len(self.content_ids)

    @property
    def standing(self) -> StandingItems:
        return self._standing[: len(self)]

    def is_of(self, basis: Basis, language: str | None) -> bool:
        mine = self._basis
        return (mine.settings, mine.version, mine.now, self._language) == (
            basis.settings,
            basis.version,
            basis.now,
            language,
        )

    def numbers(self, content_ids: Sequence[str]) -> Indices:
        """Of these, -1 where it hasn't been read."""
        return np.array([self._number.get(content_id, -1) for content_id in content_ids], np.intp)

    def numbers_at(self, positions: Indices) -> Indices:
        """Of the items at these positions of the model, -1 where it hasn't been read."""
        known = np.append(self._number_at, -1)
        return known[np.minimum(positions, len(known) - 1)]

    def read(
        self, connection: Connection, services: Services, *, content_ids: Sequence[str], positions: Indices
    ) -> None:
        """Reads those of these that it doesn't have."""
        missing = [content_id for content_id in content_ids if content_id not in self._number]
        missing_at = positions[self.numbers_at(positions) < 0].tolist()
        if missing or missing_at:
            basis = self._basis
            stored = read_items(
                connection, basis.version, content_ids=missing, positions=missing_at, language=self._language
            )
            self._add(
                stored.content_ids, stored.topics, as_they_stand(connection, services.text_vectors, basis, stored)
            )

    def _add(self, content_ids: Sequence[str], topics: Sequence[Topics], standing: StandingItems) -> None:
        first, end = len(self), len(self) + len(content_ids)
        if end > len(self._standing):
            room = np.empty(max(end, 2 * first), ITEM)
            room[:first] = self.standing
            self._standing = room
        self._standing[first:end] = standing
        self.content_ids += content_ids
        self.topics += topics
        self._number.update(zip(content_ids, range(first, end), strict=True))
        at = standing["position"]
        more = np.full(max(int(at.max(initial=-1)) + 1 - len(self._number_at), 0), -1)
        self._number_at = np.concatenate([self._number_at, more])
        self._number_at[at[at >= 0]] = np.arange(first, end)[at >= 0]


class Gathered:
    """What the parts of a run share: the items that were gathered last, as long as they are of the same model, time and
    language, and not too many."""

    def __init__(self) -> None:
        self._items: GatheredItems | None = None

    def items(self, connection: Connection, services: Services, basis: Basis, *, language: str | None) -> GatheredItems:
        items = self._items
        if items is None or len(items) > MOST_KEPT or not items.is_of(basis, language):
            now = basis.now.timestamp()
            shared = read_pool(connection, basis.version, language=language, now=now, new_since=basis.new_since)
            self._items = items = GatheredItems(basis, language, shared)
        return items
