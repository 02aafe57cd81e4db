"""Learns from the log: item vectors for users' embeddings, how fast popularity decays, the ranker, and what each item's
neighbours are.

The new version is written beside the current one and switched to in one transaction. A learned space turns from run
to run, so everything carries its version and no two versions are ever compared.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from lib.adapters.item_store import add_items
from lib.adapters.services import Services
from lib.core.defaults import TEXT_SIZE
from lib.core.embeddings import TextProjection, learn_text_projection
from lib.core.half_lives import half_life_at
from lib.core.ranker.learned import Learned, learned_as_text
from lib.core.ranker.log import Log, first_reads, make_log
from lib.core.ranker.site import MakeVectors, site_at
from lib.core.ranker.trained import Trained
from lib.core.ranker.training import train
from lib.core.ranker.vectors import co_read_vectors
from lib.core.taste.learning import learn_taste
from lib.core.taste.new_items import NewItemTaste
from lib.jobs.choose_contenders import begin, choose
from lib.jobs.run import Deadline
from lib.log_lines import line, log
from lib.settings import Settings

GROWTH = 1.1  # a log a tenth longer is worth a new model: a young site learns quickly
READERS_KEEP = timedelta(hours=1)  # longer than any run that may still read the version before
SHORTEST_WINDOW_SECONDS = 86_400.0  # of replay: lists that live for less are judged by a day's reads too
TRAINING_SHARE = 0.5  # of the time that is left; the rest is for neighbours, writing, and users' embeddings

ContentVectors = Sequence[tuple[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class Training:
    """The log by the numbers of `content_ids`, and what the app says of content: `text` (n, TEXT_SIZE), and what has
    brought it to that size, None where the app says nothing."""

    log: Log
    content_ids: list[str]
    text: NDArray[np.float32]
    projection: TextProjection | None
    skipped: int


def model_is_due(model: Model, *, now: datetime, actions: int, max_age_hours: float) -> bool:
    return now - model.built_at >= timedelta(hours=max_age_hours) or actions >= max(1, model.actions) * GROWTH


def build_model(services: Services, *, now: datetime, actions: int, deadline: Deadline) -> Model:
    """Learns, stores and activates a new version. `actions` is the length of the log that it is due for."""
    settings = services.settings
    seconds = max(60.0, deadline.seconds_left)
    with services.database.transaction(seconds=seconds, vectors=True) as connection:
        rows = read_training_actions(connection, limit=settings.model_max_actions)
        content = read_content_vectors(connection)
    training = training_of(rows, content, settings)
    until = Deadline.after(TRAINING_SHARE * deadline.seconds_left)
    taste = learn_taste(
        training.log,
        now.timestamp(),
        training.text,
        half_life_seconds=settings.interest_half_life_days * 86_400,
        may_continue=lambda: until.seconds_left > 0,
    )
    make = ranker_vectors(training)
    new_items = taste.new_items if training.projection else None
    learned = learn(training.log, now, make, settings, new_items, may_continue=lambda: until.seconds_left > 0)
    site = site_at(training.log, now.timestamp(), make)
    _log_what_was_learned(learned.trained, training)
    generation = begin(services)
    with services.database.transaction(seconds=seconds, vectors=True) as connection:
        delete_old_models(connection, before=now - READERS_KEEP)
        version = add_model(
            connection,
            content_ids=training.content_ids,
            vectors=taste.vectors,
            built_at=now,
            actions=actions,
            skipped=training.skipped,
            position=learned.trained.position,
            learned=learned_as_text(learned),
            learned_map=taste.learned_map,
            text_projection=training.projection,
        )
        add_items(connection, version, training.content_ids, site.items, site.rows, taste.circles)
        choose(connection, generation, version)
        activate_model(connection, version)
        model = read_active_model(connection)
    assert model is not None
    return model


def _log_what_was_learned(trained: Trained, training: Training) -> None:
    gain = None if math.isnan(trained.gain) else round(trained.gain, 4)
    fields = {
        "actions": len(training.log.times),
        "contents": len(training.content_ids),
        "popularity_half_life_hours": round(half_life_at(trained.position), 1),
        "ranker_serves": trained.model is not None,
        "gain": gain,
        "users_replayed": trained.users,
    }
    log.info(line("ranking learned", **fields))


def training_of(rows: Sequence[tuple[str, str, str, float]], content: ContentVectors, settings: Settings) -> Training:
    """The log of (user_id, content_id, action, unix seconds) as arrays; items in the order of their ids."""
    text_ids, text, skipped = _of_one_size(content)
    content_ids = sorted({content_id for _, content_id, _, _ in rows} | set(text_ids))
    item_of = {content_id: index for index, content_id in enumerate(content_ids)}
    user_of = {user_id: index for index, user_id in enumerate(sorted({row[0] for row in rows}))}
    weights = np.array([settings.action_weights[action] for _, _, action, _ in rows], dtype=float)
    projected = np.zeros((len(content_ids), TEXT_SIZE), dtype=np.float32)
    projection = learn_text_projection(text, size=TEXT_SIZE) if text_ids else None
    if projection is not None:
        projected[[item_of[content_id] for content_id in text_ids]] = projection.of(text)
    actions = make_log(
        np.array([user_of[user_id] for user_id, _, _, _ in rows], dtype=np.intp),
        np.array([item_of[content_id] for _, content_id, _, _ in rows], dtype=np.intp),
        np.array([at for _, _, _, at in rows], dtype=float),
        weights,
        weights > 0,
        len(user_of),
        len(content_ids),
    )
    return Training(actions, content_ids, projected, projection, skipped)


def ranker_vectors(training: Training) -> tuple[MakeVectors, MakeVectors]:
    """What makes the ranker's two sets of item vectors at a time in the past. What content says is always known."""
    return co_read_vectors, lambda _reads, _now: training.text


def learn(
    actions: Log,
    now: datetime,
    vectors: Sequence[MakeVectors],
    settings: Settings,
    new_items: NewItemTaste | None,
    *,
    may_continue: Callable[[], bool] = lambda: True,
) -> Learned:
    """How popularity decays and the ranker, by replaying the log before now, beside what is known of new items."""
    trained = train(
        actions,
        now.timestamp(),
        max(settings.cache_ttl_seconds, SHORTEST_WINDOW_SECONDS),
        vectors,
        position=settings.popularity_position,
        may_continue=may_continue,
    )
    n_readers = len(np.unique(first_reads(actions).users))
    return Learned(trained, n_readers, float(actions.weights.mean()) if len(actions) else 0.0, new_items)


def _of_one_size(content: ContentVectors) -> tuple[list[str], NDArray[np.float32], int]:
    """The rows of the commonest size; the others are counted, and shown by the configuration check."""
    if not content:
        return [], np.zeros((0, 1), dtype=np.float32), 0
    [(size, _)] = Counter(len(vector) for _, vector in content).most_common(1)
    kept = [(content_id, vector) for content_id, vector in content if len(vector) == size]
    return [row[0] for row in kept], np.array([row[1] for row in kept]), len(content) - len(kept)
