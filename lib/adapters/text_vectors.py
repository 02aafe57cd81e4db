"""What content that a model doesn't know says of itself, on the axes of that model."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from lib.adapters.database import Connection
from lib.adapters.embedding_store import read_content_vectors_of, read_text_projection
from lib.core.embeddings import TextProjection, Vectors

MOST_KEPT = 20_000  # vectors of 64 numbers: some 8 MB


@dataclass(frozen=True)
class _Kept:
    version: int | None = None
    projection: TextProjection | None = None
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

    def _of(self, connection: Connection, version: int) -> _Kept:
        kept = self._kept
        if kept.version != version:
            kept = _Kept(version, read_text_projection(connection, version))
        elif len(kept.vectors) > MOST_KEPT:
            kept = _Kept(version, kept.projection)
        self._kept = kept
        return kept
