"""Learns item vectors: from who read what with what, and from the app's own content vectors where there are any.

The new version is written beside the current one and switched to in one transaction. A learned space turns from run
to run, so every vector carries its version and no two versions are ever compared.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from lib.adapters.embedding_store import (
    Model,
    activate_model,
    add_model,
    delete_old_models,
    read_active_model,
    read_content_vectors,
    read_training_actions,
)
from lib.adapters.services import Services
from lib.core.co_reads import learn_item_vectors
from lib.core.defaults import LEARNED_SIZE, TEXT_SHARE, TEXT_SIZE
from lib.core.embeddings import join_vectors, project_text_vectors
from lib.jobs.run import Deadline, log

GROWTH = 1.1  # a log a tenth longer is worth a new model: a young site learns quickly
READERS_KEEP = timedelta(hours=1)  # longer than any run that may still read the version before


def model_is_due(model: Model, *, now: datetime, actions: int, max_age_hours: float) -> bool:
    return now - model.built_at >= timedelta(hours=max_age_hours) or actions >= max(1, model.actions) * GROWTH


def build_model(services: Services, *, now: datetime, actions: int, deadline: Deadline) -> Model:
    """Learns, stores and activates a new version. `actions` is the length of the log that it is due for."""
    settings = services.settings
    seconds = max(60.0, deadline.seconds_left)
    with services.database.transaction(seconds=seconds, vectors=True) as connection:
        training = read_training_actions(
            connection, counted=settings.positive_actions, limit=settings.model_max_actions
        )
        content = read_content_vectors(connection)
    content_ids, vectors, skipped = item_vectors(training, content)
    log.info(
        "learned %d item vectors from %d actions and %d content vectors", len(vectors), len(training), len(content)
    )
    with services.database.transaction(seconds=seconds, vectors=True) as connection:
        delete_old_models(connection, before=now - READERS_KEEP)
        version = add_model(
            connection, content_ids=content_ids, vectors=vectors, built_at=now, actions=actions, skipped=skipped
        )
        activate_model(connection, version)
        model = read_active_model(connection)
    assert model is not None
    return model


def item_vectors(
    training: Sequence[tuple[str, str, float]], content: Sequence[tuple[str, NDArray[np.float32]]]
) -> tuple[list[str], NDArray[np.float32], int]:
    """Content ids in order, their joined vectors (n, d), and how many content vectors had another size than most."""
    text_ids, text, skipped = _of_one_size(content)
    content_ids = sorted({content_id for _, content_id, _ in training} | set(text_ids))
    index_of = {content_id: index for index, content_id in enumerate(content_ids)}
    user_of = {user_id: index for index, user_id in enumerate(sorted({user_id for user_id, _, _ in training}))}
    learned = learn_item_vectors(
        np.array([user_of[user_id] for user_id, _, _ in training], dtype=np.intp),
        np.array([index_of[content_id] for _, content_id, _ in training], dtype=np.intp),
        np.array([at for _, _, at in training], dtype=float),
        n_items=len(content_ids),
        size=LEARNED_SIZE,
    )
    projected = np.zeros((len(content_ids), TEXT_SIZE), dtype=np.float32)
    projected[[index_of[content_id] for content_id in text_ids]] = project_text_vectors(text, size=TEXT_SIZE)
    return content_ids, join_vectors(learned, projected, text_share=TEXT_SHARE), skipped


def _of_one_size(
    content: Sequence[tuple[str, NDArray[np.float32]]],
) -> tuple[list[str], NDArray[np.float32], int]:
    """The rows of the commonest size; the others are counted, and shown by the configuration check."""
    if not content:
        return [], np.zeros((0, 1), dtype=np.float32), 0
    [(size, _)] = Counter(len(vector) for _, vector in content).most_common(1)
    kept = [(content_id, vector) for content_id, vector in content if len(vector) == size]
    return [row[0] for row in kept], np.array([row[1] for row in kept]), len(content) - len(kept)
