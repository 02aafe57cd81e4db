"""process_user_embeddings: learns what users are interested in. Every two hours.

1. Where the item vectors are missing or old, learn a new version beside the current one and switch over
   (lib/jobs/build_model.py).
2. Find the users who acted since the last complete run, and those whose embedding is of another version.
3. For some at a time: read their last actions, compute their embeddings (a pure function of those, the item
   vectors, the learned map and now), write them.
4. Where all are done, remember when this run began. A run that the time cuts off goes on where it stopped: the next
   one takes those first who have waited longest.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from lib.adapters.action_log import RECEIPT_OVERLAP, share_forgetting
from lib.adapters.embedding_store import (
    Event,
    ItemVectors,
    Model,
    count_actions,
    delete_user_embeddings,
    read_active_model,
    read_histories,
    read_item_vectors,
    read_learned_map,
    read_state,
    read_users_to_update,
    write_state,
    write_user_embeddings,
)
from lib.adapters.services import Services
from lib.core.embeddings import user_embeddings
from lib.core.taste.learned_map import map_users
from lib.jobs.build_model import build_model, model_is_due
from lib.jobs.run import Deadline, Summary
from lib.settings import Settings

READ_UNTIL = "embeddings_read_until"
CHUNK = 1_000  # users; at 200 actions each about 20 MB
CHUNK_SECONDS = 10.0


def process_user_embeddings(services: Services, now: datetime, deadline: Deadline) -> Summary:
    """Answers users_updated, users_left (for want of time), and the model in force."""
    settings = services.settings
    model = _current_model(services, now, deadline)
    with services.database.transaction(seconds=60, vectors=True) as connection:
        since = datetime.fromisoformat(read_state(connection, READ_UNTIL) or "1970-01-01T00:00:00+00:00")
        users = read_users_to_update(connection, since=since, version=model.version)
        items = read_item_vectors(connection, model.version)
        learned_map = read_learned_map(connection, model)
    updated = 0
    while updated < len(users) and (deadline.seconds_left > CHUNK_SECONDS or not updated):
        chunk = users[updated : updated + CHUNK]
        with services.database.transaction(seconds=60, vectors=True) as connection:
            share_forgetting(connection)
            events = read_histories(connection, user_ids=chunk, length=settings.history_length)
            active, embeddings = embed_users(events, items, learned_map, settings, now=now)
            write_user_embeddings(
                connection, user_ids=active, embeddings=embeddings, version=model.version, now=datetime.now(UTC)
            )
            delete_user_embeddings(connection, sorted(set(chunk) - set(active)))
        updated += len(chunk)
    if updated == len(users):
        with services.database.transaction() as connection:
            write_state(connection, READ_UNTIL, (now - RECEIPT_OVERLAP).isoformat())
    return {
        "users_updated": updated,
        "users_left": len(users) - updated,
        "model_version": model.version,
        "items": model.items,
    }


def embed_users(
    events: Sequence[Event],
    items: ItemVectors,
    learned_map: NDArray[np.float64],
    settings: Settings,
    *,
    now: datetime,
) -> tuple[list[str], NDArray[np.float32]]:
    """The users of `events`, in order of id, and their embeddings (n, d): a decayed sum of what they read, mapped to
    what those who read so go on to read."""
    users = sorted({event.user_id for event in events})
    position = {user_id: index for index, user_id in enumerate(users)}
    embeddings = user_embeddings(
        np.array([position[event.user_id] for event in events], dtype=np.intp),
        items.rows([event.content_id for event in events]),
        np.array([settings.action_weights[event.action] for event in events]),
        np.array([now.timestamp() - event.occurred_at for event in events]),
        items.vectors,
        n_users=len(users),
        half_life_seconds=settings.interest_half_life_days * 86_400,
    )
    return users, map_users(embeddings, learned_map)


def _current_model(services: Services, now: datetime, deadline: Deadline) -> Model:
    settings = services.settings
    with services.database.transaction() as connection:
        model = read_active_model(connection)
        actions = count_actions(connection, limit=settings.model_max_actions)
    if model is not None and not model_is_due(
        model, now=now, actions=actions, max_age_hours=settings.model_max_age_hours
    ):
        return model
    return build_model(services, now=now, actions=actions, deadline=deadline)
