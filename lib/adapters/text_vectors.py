"""What content that a model doesn't know says of itself, on the axes of that model, and whom it suits."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lib.adapters.database import Connection
from lib.adapters.embedding_store import read_content_vectors_of, read_text_projection
from lib.adapters.new_contents import EXACT_UP_TO, axes_of, count_new_contents, read_fitting
from lib.core.embeddings import TextProjection, Vectors
from lib.core.exploration import MOST_NEW

MOST_KEPT = 20_000  # vectors of 64 numbers: some 8 MB


@dataclass(frozen=True)
class _Kept:
    version: int | None = None
    projection: TextProjection | None = None
    axes: int = 0
    n_new: int = 0  # contents that nobody has met, as of when the version was seen first
    vectors: dict[str, Vectors] = field(default_factory=dict)


class TextVectors:
    """Keeps what it has projected for the process's threads, of one version: for a list it would be a megabyte to read.
    A vector that changes counts from the next version on, as it does where the model knows the content."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept = _Kept()

    def read(self, connection: Connection, version: int | None, content_ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors (TEXT_SIZE,) of those whose content has one, of the size of those that the model was built of."""
        if version is None or not content_ids:
            return {}
        kept = self._of(connection, version)
        projection, missing = kept.projection, [id_ for id_ in content_ids if id_ not in kept.vectors]
        if projection is not None and missing:
            size = len(projection.centre)
            found = read_content_vectors_of(connection, missing, size=size)
            projected = projection.of(np.array([vector for _, vector in found]).reshape(-1, size))
            with self._lock:
                kept.vectors.update(zip((content_id for content_id, _ in found), projected, strict=True))
        return {content_id: kept.vectors[content_id] for content_id in content_ids if content_id in kept.vectors}

    def fitting(
        self, connection: Connection, version: int | None, user_ids: Sequence[str], *, language: str | None
    ) -> list[str]:
        """What suits these users best of what nobody has met, where that is more than are candidates for everybody."""
        if version is None:
            return []
        kept = self._of(connection, version)
        if kept.n_new <= MOST_NEW:
            return []
        by_index = kept.n_new > EXACT_UP_TO
        found = read_fitting(connection, version, kept.axes, user_ids, language=language, by_index=by_index)
        return sorted({content_id for theirs in found.values() for content_id in theirs})

    def _of(self, connection: Connection, version: int) -> _Kept:
        kept = self._kept
        if kept.version != version:
            projection = read_text_projection(connection, version)
            axes = 0 if projection is None else axes_of(projection)
            kept = _Kept(version, projection, axes, count_new_contents(connection))
        elif len(kept.vectors) > MOST_KEPT:
            kept = replace(kept, vectors={})
        self._kept = kept
        return kept
