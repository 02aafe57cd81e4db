"""Brings some users' embeddings up to date: reads their last actions, computes (a pure function of those, the item
vectors, the learned map and now), writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from lib.adapters.action_log import share_forgetting
from lib.adapters.database import Connection
from lib.adapters.embedding_store import (
    Event,
    ItemVectors,
    Model,
    delete_user_embeddings,
    read_histories,
    read_item_vectors,
    read_learned_map,
    write_user_embeddings,
)
from lib.core.embeddings import user_embeddings
from lib.core.taste.learned_map import map_users
from lib.jobs.tuning import interest_half_life_days
from lib.settings import Settings

CHUNK = 1_000  # users; at 200 actions each about 20 MB


@dataclass(frozen=True)
class Taste:
    """What one version says of everybody's interests."""

    version: int
    items: ItemVectors
    learned_map: NDArray[np.float64]
    half_life_days: float


def read_taste(connection: Connection, model: Model, settings: Settings) -> Taste:
    return Taste(
        version=model.version,
        items=read_item_vectors(connection, model.version),
        learned_map=read_learned_map(connection, model),
        half_life_days=interest_half_life_days(settings, model),
    )


def update_chunk(
    connection: Connection, user_ids: Sequence[str], taste: Taste, settings: Settings, *, now: datetime
) -> None:
    """In one transaction with the reading of their histories, which nobody may forget meanwhile. The connection knows
    vectors. Who has no history left loses his embedding."""
    share_forgetting(connection)
    events = read_histories(connection, user_ids=user_ids, length=settings.history_length)
    active, embeddings = embed_users(events, taste, settings.action_weights, now=now)
    write_user_embeddings(
        connection, user_ids=active, embeddings=embeddings, version=taste.version, now=datetime.now(UTC)
    )
    delete_user_embeddings(connection, sorted(set(user_ids) - set(active)))


def embed_users(
    events: Sequence[Event], taste: Taste, action_weights: Mapping[str, float], *, now: datetime
) -> tuple[list[str], NDArray[np.float32]]:
    """The users of `events`, in order of id, and their embeddings (n, d): a decayed sum of what they read, mapped to
    what those who read so go on to read."""
    users = sorted({event.user_id for event in events})
    position = {user_id: index for index, user_id in enumerate(users)}
    embeddings = user_embeddings(
        np.array([position[event.user_id] for event in events], dtype=np.intp),
        taste.items.rows([event.content_id for event in events]),
        np.array([action_weights[event.action] for event in events]),
        np.array([now.timestamp() - event.occurred_at for event in events]),
        taste.items.vectors,
        n_users=len(users),
        half_life_seconds=taste.half_life_days * 86_400,
    )
    return users, map_users(embeddings, taste.learned_map)
