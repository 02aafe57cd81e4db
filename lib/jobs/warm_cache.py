"""warm_cache: computes the lists of users who acted lately, before they ask. Every hour.

For some users at a time, the latest first, as long as there is time: note their generations, read their last actions
and what they have seen, embed them, rank the catalogue, store the lists. A user who acts in the meantime bumps his
generation, and the list computed before is not stored.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from lib.adapters.catalogue import Catalogue, decay_parameters, read_active_users, read_catalogue
from lib.adapters.embedding_store import (
    ItemVectors,
    read_active_model,
    read_histories,
    read_item_vectors,
    read_seen,
)
from lib.adapters.services import Services
from lib.core.defaults import POOL_SIZE
from lib.core.ranking import rank
from lib.jobs.recommend import LIST_LENGTH, Document, document_of, items_of
from lib.jobs.run import Deadline, Summary
from lib.jobs.update_embeddings import embed_users

CHUNK = 200  # users; at 100,000 items their scores take 160 MB
CHUNK_SECONDS = 10.0


def warm_cache(services: Services, now: datetime, deadline: Deadline) -> Summary:
    """Answers users_warmed, and users_left for want of time."""
    settings = services.settings
    decay = decay_parameters(now.timestamp(), settings.popularity_half_life_hours)
    with services.database.transaction(seconds=60, vectors=True) as connection:
        users = read_active_users(connection, since=now - timedelta(days=settings.active_user_days))
        model = read_active_model(connection)
        catalogue = read_catalogue(connection, decay=decay)
        items = read_item_vectors(connection, model.version if model else None)
    done = warmed = 0
    while done < len(users) and (deadline.seconds_left > CHUNK_SECONDS or not done):
        chunk = users[done : done + CHUNK]
        generations = dict(zip(chunk, services.cache.generations(chunk), strict=True))
        lists = _lists(services, chunk, catalogue, items, now=now)
        warmed += services.cache.store_user_lists(lists, generations)
        done += len(chunk)
    return {"users_warmed": warmed, "users_left": len(users) - done, "contents": len(catalogue.content_ids)}


def _lists(
    services: Services, users: Sequence[str], catalogue: Catalogue, items: ItemVectors, *, now: datetime
) -> dict[str, Document]:
    settings = services.settings
    position = {content_id: index for index, content_id in enumerate(catalogue.content_ids)}
    with services.database.transaction(seconds=60) as connection:
        events = read_histories(connection, user_ids=users, length=settings.history_length)
        seen: dict[str, list[int]] = defaultdict(list)
        for user_id, content_id in read_seen(connection, users):
            if content_id in position:
                seen[user_id].append(position[content_id])
    active, embeddings = embed_users(events, items, settings, now=now)
    scores = embeddings @ items.vectors[items.rows(catalogue.content_ids)].T
    return {
        user_id: _document(user_id, catalogue, scores[row], seen[user_id], settings.popularity_weight, now=now)
        for row, user_id in enumerate(active)
    }


def _document(
    user_id: str,
    catalogue: Catalogue,
    personal: NDArray[np.float32],
    seen: list[int],
    popularity_weight: float,
    *,
    now: datetime,
) -> Document:
    excluded = np.zeros(len(personal), dtype=bool)
    excluded[seen] = True
    ranked = rank(
        personal.astype(float),
        catalogue.popularity,
        excluded=excluded,
        n=LIST_LENGTH,
        popularity_weight=popularity_weight,
        pool_size=POOL_SIZE,
    )
    return document_of(user_id, items_of(catalogue.content_ids, *ranked), source="cache", now=now)
