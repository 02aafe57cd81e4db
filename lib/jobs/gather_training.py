"""What a model is learned from: the log as arrays, and what the app says of content.

Of a large catalogue a model knows a bounded number of items, so that learning has room for them: those that the log
says most of, and the newest content. What else there is has no co-reads to learn from; reads find it by its content
vector (lib/adapters/text_vectors.py), and popularity counts it in any case.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lib.adapters.embedding_store import read_active_model, read_text_projection
from lib.adapters.services import Services
from lib.adapters.training_data import (
    TrainingActions,
    read_content_sample,
    read_content_size,
    read_content_vectors,
    read_newest_contents,
    read_training_actions,
)
from lib.core.defaults import TEXT_SIZE
from lib.core.embeddings import TextProjection, learn_text_projection, says_as_much
from lib.core.ranker.log import Log, make_log
from lib.settings import Settings

_SECONDS = 60.0
_CELLS = 15_000_000  # of content vectors that axes are learned from: 60 MB, and two copies while they are
MOST_ITEMS = 200_000  # that a model knows: each takes some 3 KB while it is learned
MOST_READ = 150_000  # of them that the log says something of; for the newest content the rest is left


@dataclass(frozen=True)
class Training:
    """The log by the numbers of `content_ids`, and what the app says of content: `text` (n, TEXT_SIZE)."""

    log: Log
    content_ids: list[str]
    text: NDArray[np.float32]


def learn_projection(services: Services) -> tuple[TextProjection | None, int]:
    """What brings the app's content vectors to our size, and how many are skipped because theirs isn't the commonest.

    Learned from so many contents as memory has room for, and after the transaction, which must not stand still. Where
    that of the model in force says as much of them it stays: what lies on its axes need not be brought in again.
    """
    with services.database.transaction(seconds=_SECONDS, vectors=True) as connection:
        sizes = read_content_size(connection)
        model = read_active_model(connection)
        before = read_text_projection(connection, model.version) if model else None
        one_in = 1 + sizes.count * sizes.size // _CELLS
        sample = [vectors for _, vectors in read_content_sample(connection, size=sizes.size, one_in=one_in)]
    if not sample:
        return None, sizes.others
    vectors = np.concatenate(sample)
    projection = learn_text_projection(vectors, size=TEXT_SIZE)
    keeps = before is not None and says_as_much(before, projection, vectors)
    return before if keeps else projection, sizes.others


def stored_projection(services: Services, version: int) -> TextProjection | None:
    """That of a version: what belongs to it must lie on the same axes."""
    with services.database.transaction() as connection:
        return read_text_projection(connection, version)


def gather_training(services: Services, projection: TextProjection | None) -> Training:
    """The latest actions, and content vectors of the size that the projection knows."""
    text_ids: list[str] = []
    text = [np.zeros((0, TEXT_SIZE), np.float32)]
    with services.database.transaction(seconds=_SECONDS) as connection:
        everything = read_training_actions(connection, limit=services.settings.model_max_actions)
    actions = most_read(everything, MOST_READ)
    del everything
    if projection is not None:
        size = len(projection.centre)
        with services.database.transaction(seconds=_SECONDS, vectors=True) as connection:
            newest = read_newest_contents(connection, size=size, limit=MOST_ITEMS - len(actions.content_ids))
            wanted = sorted({*newest, *actions.content_ids})
            for ids, vectors in read_content_vectors(connection, size=size, content_ids=wanted):
                text_ids += ids
                text.append(projection.of(vectors))
    return training_of(actions, text_ids, np.concatenate(text), services.settings)


def most_read(actions: TrainingActions, limit: int) -> TrainingActions:
    """The actions on so many contents: those with the most actions, and among equals those with the latest."""
    n = len(actions.content_ids)
    if n <= limit:
        return actions
    latest = np.full(n, -np.inf)
    np.maximum.at(latest, actions.contents, actions.times)
    kept = np.sort(np.lexsort((-latest, -np.bincount(actions.contents, minlength=n)))[:limit])
    number = np.full(n, -1, np.int32)
    number[kept] = np.arange(limit)
    rows = number[actions.contents] >= 0
    return replace(
        actions,
        users=actions.users[rows],
        contents=number[actions.contents[rows]],
        content_ids=[actions.content_ids[index] for index in kept.tolist()],
        kinds=actions.kinds[rows],
        times=actions.times[rows],
    )


def training_of(
    actions: TrainingActions, text_ids: Sequence[str], text: NDArray[np.float32], settings: Settings
) -> Training:
    """Items in the order of their ids: those of the log, and those that content says something of (k, TEXT_SIZE)."""
    content_ids = sorted({*actions.content_ids, *text_ids})
    item_of = {content_id: index for index, content_id in enumerate(content_ids)}
    on_items = np.zeros((len(content_ids), TEXT_SIZE), np.float32)
    on_items[[item_of[content_id] for content_id in text_ids]] = text
    items = np.array([item_of[content_id] for content_id in actions.content_ids], np.intp)
    weights = np.array([settings.action_weights[name] for name in actions.kind_names])[actions.kinds]
    log = make_log(
        actions.users.astype(np.intp),
        items[actions.contents],
        actions.times,
        weights,
        weights > 0,
        actions.n_users,
        len(content_ids),
    )
    return Training(log, content_ids, on_items)
