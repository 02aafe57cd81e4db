"""Brings some users' embeddings up to date: reads their last actions, computes (a pure function of those, the item
vectors, the learned map and now), writes."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from lib.adapters.action_log import share_forgetting
from lib.adapters.database import Connection
from lib.adapters.embedding_store import Model, delete_user_embeddings, read_learned_map
from lib.adapters.histories import Histories, read_histories
from lib.adapters.item_vectors import ItemVectors
from lib.adapters.services import Services
from lib.adapters.user_embeddings import write_user_embeddings
from lib.core.embeddings import Indices, Vectors, user_embeddings
from lib.core.taste.learned_map import map_users
from lib.jobs.tuning import interest_half_life_days
from lib.settings import Settings

CHUNK = 4_000  # users that may be asked for at a time
AT_ONCE = 1_000  # users of a transaction; at 200 actions each some 50 MB
WORKERS = 2


@dataclass(frozen=True)
class Taste:
    """What one version says of everybody's interests."""

    items: ItemVectors
    version: int
    learned_map: NDArray[np.float64]
    half_life_days: float


def read_taste(connection: Connection, model: Model, settings: Settings) -> Taste:
    return Taste(
        items=ItemVectors(model.version),
        version=model.version,
        learned_map=read_learned_map(connection, model),
        half_life_days=interest_half_life_days(settings, model),
    )


def update_users(services: Services, user_ids: Sequence[str], taste: Taste, *, now: datetime) -> None:
    """Some at a time, each time in a transaction of its own. Two at once: while one waits for Postgres, the other is
    computed."""
    parts = [user_ids[start : start + AT_ONCE] for start in range(0, len(user_ids), AT_ONCE)]
    workers = min(WORKERS, services.settings.database_max_connections)
    with ThreadPoolExecutor(workers, thread_name_prefix="embed") as pool:
        # Each in a copy of the context, where the time limit is.
        updates = [pool.submit(copy_context().run, _update, services, part, taste, now) for part in parts]
        for update in updates:
            update.result()


def _update(services: Services, user_ids: Sequence[str], taste: Taste, now: datetime) -> None:
    """The transaction is that of the reading of their histories, which nobody may forget meanwhile. Who has no history
    left loses his embedding."""
    user_ids = sorted(user_ids)  # so that two runs don't wait for each other's rows in a circle
    settings = services.settings
    with services.database.transaction(seconds=60, vectors=True) as connection:
        share_forgetting(connection)
        histories = read_histories(connection, user_ids=user_ids, length=settings.history_length)
        rows, vectors = taste.items.of(connection, histories.content_ids)
        embeddings = embed_users(
            histories, rows, vectors, taste, settings.action_weights, n_users=len(user_ids), now=now
        )
        has_acted = np.bincount(histories.users, minlength=len(user_ids)) > 0
        write_user_embeddings(
            connection,
            user_ids=[user_ids[user] for user in np.flatnonzero(has_acted)],
            embeddings=embeddings[has_acted],
            version=taste.version,
            now=datetime.now(UTC),
        )
        delete_user_embeddings(connection, [user_ids[user] for user in np.flatnonzero(~has_acted)])


def embed_users(
    histories: Histories,
    rows: Indices,
    vectors: Vectors,
    taste: Taste,
    action_weights: Mapping[str, float],
    *,
    n_users: int,
    now: datetime,
) -> Vectors:
    """Users' embeddings (n_users, d): a decayed sum of what they read, these `rows` (m,) of the items' `vectors`,
    mapped to what those who read so go on to read."""
    embeddings = user_embeddings(
        histories.users,
        rows,
        np.fromiter(map(action_weights.__getitem__, histories.actions), np.float64, len(rows)),
        now.timestamp() - histories.times,
        vectors,
        n_users=n_users,
        half_life_seconds=taste.half_life_days * 86_400,
    )
    return map_users(embeddings, taste.learned_map)
