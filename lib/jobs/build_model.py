"""Learns from the log: item vectors for users' embeddings, how fast popularity decays, the ranker, and what each item's
neighbours are.

The new version is written beside the current one in stages, each of which is short enough for one invocation and reads
what it needs, so that any later invocation can go on after it. The last one switches to it, in one transaction. A
learned space turns from run to run, so everything carries its version and no two versions are ever compared.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import numpy as np

from lib.adapters.database import Connection
from lib.adapters.embedding_store import (
    Model,
    UnfinishedModel,
    activate_model,
    add_model,
    claim_activation,
    count_actions,
    delete_old_models,
    read_active_model,
    read_unfinished_model,
    write_learned,
)
from lib.adapters.item_store import add_items
from lib.adapters.item_vectors import read_item_vectors
from lib.adapters.services import Services
from lib.core.half_lives import half_life_at
from lib.core.ranker.learned import Learned, learned_as_text, learned_from_text
from lib.core.ranker.log import DAY, Log, first_reads
from lib.core.ranker.site import MakeVectors, site_at
from lib.core.ranker.trained import Trained
from lib.core.ranker.training import train
from lib.core.ranker.vectors import co_read_vectors
from lib.core.taste.learning import learn_new_items, learn_taste
from lib.jobs.choose_contenders import begin, choose
from lib.jobs.gather_training import Training, gather_training, learn_projection, stored_projection
from lib.jobs.run import Deadline
from lib.log_lines import line, log
from lib.settings import Settings

GROWTH = 1.1  # a log a tenth longer is worth a new model: a young site learns quickly
READERS_KEEP = timedelta(hours=1)  # longer than any run that may still read the version before
ABANDONED = timedelta(hours=12)  # what was begun that long ago, and not finished, is begun anew
SHORTEST_WINDOW_SECONDS = 86_400.0  # of replay: lists that live for less are judged by a day's reads too
TRAINING_SHARE = 0.7  # of the time that is left; replaying ends within a slice after it
LEAST_SHARE = 0.3  # of the time at a stage's beginning, if gathering took long: a ranker is worth a longer part
_SECONDS = 60.0

Stage = Callable[[Deadline], None]


def model_is_due(model: Model, *, now: datetime, actions: int, max_age_hours: float) -> bool:
    return now - model.built_at >= timedelta(hours=max_age_hours) or actions >= max(1, model.actions) * GROWTH


def next_stage(services: Services, now: datetime) -> Stage | None:
    """What is to be learned next: what is left of a building that was begun, or the first of one that is due.

    1. Item vectors and the map for users, which the others don't need: stored as a new version.
    2. How popularity decays, and the ranker.
    3. Statistics and neighbours of all items, and who reads the new; the version becomes the active one.
    """
    settings = services.settings
    with services.database.transaction() as connection:
        unfinished = read_unfinished_model(connection)
        model = read_active_model(connection)
        actions = count_actions(connection, limit=settings.model_max_actions)
    if unfinished is not None and now - unfinished.built_at < ABANDONED:
        return partial(_learn_ranking if unfinished.learned is None else _learn_items, services, unfinished)
    if model is None or model_is_due(model, now=now, actions=actions, max_age_hours=settings.model_max_age_hours):
        return partial(_learn_tastes, services, now, actions)
    return None


def _learn_tastes(services: Services, now: datetime, actions: int, deadline: Deadline) -> None:
    """Begins a version. `actions` is the length of the log that it is due for."""
    least = LEAST_SHARE * deadline.seconds_left
    projection, skipped = learn_projection(services)
    training = gather_training(services, projection)
    taste = learn_taste(
        training.log,
        now.timestamp(),
        training.text,
        half_life_days=services.settings.interest_half_life_days,
        may_continue=_for_a_share(deadline, least),
    )
    with services.database.transaction(seconds=_SECONDS, vectors=True) as connection:
        delete_old_models(connection, before=now - READERS_KEEP)
        add_model(
            connection,
            content_ids=training.content_ids,
            vectors=taste.vectors,
            built_at=now,
            actions=actions,
            skipped=skipped,
            interest_half_life_days=taste.half_life_days,
            learned_map=taste.learned_map,
            text_projection=projection,
        )


def _learn_ranking(services: Services, unfinished: UnfinishedModel, deadline: Deadline) -> None:
    least = LEAST_SHARE * deadline.seconds_left
    training = gather_training(services, stored_projection(services, unfinished.version))
    make, may_continue = ranker_vectors(training), _for_a_share(deadline, least)
    learned = learn(training.log, unfinished.built_at, make, services.settings, may_continue=may_continue)
    _log_what_was_learned(learned.trained, training)
    with services.database.transaction() as connection:
        _write(connection, unfinished, learned)


def _learn_items(services: Services, unfinished: UnfinishedModel, deadline: Deadline) -> None:
    least = LEAST_SHARE * deadline.seconds_left
    projection = stored_projection(services, unfinished.version)
    training, now = gather_training(services, projection), unfinished.built_at.timestamp()
    with services.database.transaction(seconds=_SECONDS) as connection:
        vectors = read_item_vectors(connection, unfinished.version, training.content_ids)
    new_items, circles = learn_new_items(
        training.log,
        now,
        training.text,
        vectors,
        half_life_seconds=unfinished.interest_half_life_days * DAY,
        may_continue=_for_a_share(deadline, least),
    )
    del vectors  # on a large site what follows needs their room
    learned = replace(learned_from_text(unfinished.learned), new_items=new_items if projection else None)
    site = site_at(training.log, now, ranker_vectors(training))
    generation = begin(services)
    with services.database.transaction(seconds=_SECONDS, vectors=True) as connection:
        if claim_activation(connection, unfinished.version):
            _write(connection, unfinished, learned)
            add_items(connection, unfinished.version, training.content_ids, site.items, site.rows, circles)
            activate_model(connection, unfinished.version)
        # In any case: what has begun makes void whatever choice another run is about to end.
        model = read_active_model(connection)
        choose(connection, generation, model.version if model else None)


def _write(connection: Connection, unfinished: UnfinishedModel, learned: Learned) -> None:
    text, position = learned_as_text(learned), learned.trained.position
    write_learned(connection, unfinished.version, position=position, learned=text)


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


def ranker_vectors(training: Training) -> tuple[MakeVectors, MakeVectors]:
    """What makes the ranker's two sets of item vectors at a time in the past. What content says is always known."""
    return co_read_vectors, lambda _reads, _now: training.text


def learn(
    actions: Log,
    now: datetime,
    vectors: Sequence[MakeVectors],
    settings: Settings,
    *,
    may_continue: Callable[[], bool] = lambda: True,
) -> Learned:
    """How popularity decays and the ranker, by replaying the log before now; of new items nothing yet."""
    trained = train(
        actions,
        now.timestamp(),
        max(settings.cache_ttl_seconds, SHORTEST_WINDOW_SECONDS),
        vectors,
        position=settings.popularity_position,
        may_continue=may_continue,
    )
    n_readers = len(np.unique(first_reads(actions).users))
    return Learned(trained, n_readers, float(actions.weights.mean()) if len(actions) else 0.0, None)


def _for_a_share(deadline: Deadline, least_seconds: float) -> Callable[[], bool]:
    until = Deadline.after(max(TRAINING_SHARE * deadline.seconds_left, least_seconds))
    return lambda: until.seconds_left > 0
