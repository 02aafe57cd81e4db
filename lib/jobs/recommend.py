"""One user's list: from the cache, else computed from the log, else cold start.

1. Read the cached list; take out what is no longer available.
2. Where there is none: read the user's last actions with their vectors, embed him, gather candidates, rank them,
   and store the list, unless he has acted in the meantime.
3. A user of whom nothing is known gets the popular content of now.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lib.adapters.catalogue import decay_parameters, read_allowed, read_candidates, read_popular
from lib.adapters.embedding_store import HistoryRow, read_active_model, read_user_history
from lib.adapters.services import Services
from lib.core.defaults import EMBEDDING_SIZE, POOL_SIZE
from lib.errors import OutOfTime, PostgresUnavailable, RedisUnavailable
from lib.jobs.run import log
from lib.settings import Settings
from lib.time_limit import time_limit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIST_LENGTH = 100  # what is stored, and the most that can be asked for
PATIENCE_SECONDS = 2.0  # with a service that the answer can do without

Document = dict[str, Any]


def recommend(services: Services, *, user_id: str, n: int, language: str | None, now: datetime) -> Document:
    """The document of /api/recommend. Redis may be away; without Postgres only a cached list can be served."""
    cached, generation = _cached_list(services, user_id)
    if cached is not None and language is None:
        return _first(_still_allowed(services, cached), n, source="cache")
    document = _compute(services, user_id=user_id, language=language, now=now)
    if document is None:
        uses_cache = language is None and generation is not None
        return _cold_start(services, user_id=user_id, n=n, language=language, now=now, uses_cache=uses_cache)
    if language is None and generation is not None:
        _store(services, user_id, document, generation)
    return _first(document, n, source="computed")


def document_of(user_id: str | None, items: list[Document], *, source: str, now: datetime) -> Document:
    return {"user_id": user_id, "items": items, "source": source, "generated_at": now.astimezone(UTC).isoformat()}


def _cached_list(services: Services, user_id: str) -> tuple[Document | None, str | None]:
    """The list, and the generation that a new one belongs to; None where Redis doesn't answer."""
    try:
        with time_limit(PATIENCE_SECONDS):
            return services.cache.user_list(user_id)
    except (RedisUnavailable, OutOfTime) as error:
        log.warning("recommend: computing without the cache: %s", services.settings.redact(error.message))
        return None, None


def _still_allowed(services: Services, document: Document) -> Document:
    try:
        with time_limit(PATIENCE_SECONDS), services.database.transaction() as connection:
            allowed = read_allowed(connection, [item["content_id"] for item in document["items"]])
    except (PostgresUnavailable, OutOfTime) as error:
        log.warning("recommend: a cached list served unchecked: %s", services.settings.redact(error.message))
        return document
    return {**document, "items": [item for item in document["items"] if item["content_id"] in allowed]}


def _compute(services: Services, *, user_id: str, language: str | None, now: datetime) -> Document | None:
    """None where the log knows nothing of the user."""
    settings = services.settings
    with services.database.transaction(vectors=True) as connection:
        model = read_active_model(connection)
        version = model.version if model else None
        history = read_user_history(connection, user_id=user_id, length=settings.history_length, version=version)
        if not history:
            return None
        candidates = read_candidates(
            connection,
            user_id=user_id,
            user_vector=_embed(history, settings, now=now) if model else None,
            version=version,
            language=language,
            pool_size=POOL_SIZE,
            decay=decay_parameters(now.timestamp(), settings.popularity_half_life_hours),
        )
    from lib.core.ranking import rank  # numpy, which a list that is cached or popular does without

    order, scores, sources = rank(
        candidates.personal,
        candidates.popularity,
        excluded=None,
        n=LIST_LENGTH,
        popularity_weight=settings.popularity_weight,
        pool_size=POOL_SIZE,
    )
    items = items_of(candidates.content_ids, order, scores, sources)
    return document_of(user_id, items, source="cache", now=now)


def items_of(content_ids: list[str], order: Any, scores: Any, sources: Any) -> list[Document]:
    return [
        {"content_id": content_ids[index], "score": round(float(score), 6), "source": source}
        for index, score, source in zip(order, scores, sources, strict=True)
    ]


def _embed(history: list[HistoryRow], settings: Settings, *, now: datetime) -> NDArray[np.float32]:
    """One user's embedding (d,), by the function of the two-hourly run."""
    import numpy as np

    from lib.core.embeddings import user_embeddings

    known = [(settings.action_weights[action], at, vector) for action, at, vector in history if vector is not None]
    embeddings: NDArray[np.float32] = user_embeddings(
        np.zeros(len(known), dtype=np.intp),
        np.arange(len(known)),
        np.array([weight for weight, _, _ in known]),
        np.array([now.timestamp() - at for _, at, _ in known]),
        np.array([vector for _, _, vector in known], dtype=np.float32).reshape(len(known), EMBEDDING_SIZE),
        n_users=1,
        half_life_seconds=settings.interest_half_life_days * 86_400,
    )
    return np.asarray(embeddings[0])


def _cold_start(
    services: Services, *, user_id: str, n: int, language: str | None, now: datetime, uses_cache: bool
) -> Document:
    cached = _cached_cold_start(services) if uses_cache else None
    if cached is not None:
        document = {**_still_allowed(services, cached), "user_id": user_id}
    else:
        items = popular_items(services, language=language, now=now)
        document = document_of(user_id, items, source="cold_start", now=now)
    return _first(document, n, source="cold_start")


def _cached_cold_start(services: Services) -> Document | None:
    try:
        with time_limit(PATIENCE_SECONDS):
            return services.cache.cold_start()
    except (RedisUnavailable, OutOfTime) as error:
        log.warning("recommend: popular content computed: %s", services.settings.redact(error.message))
        return None


def popular_items(services: Services, *, language: str | None, now: datetime) -> list[Document]:
    """The most popular content of now with its decayed sum as the score; what nobody has met yet counts as new."""
    decay = decay_parameters(now.timestamp(), services.settings.popularity_half_life_hours)
    with services.database.transaction() as connection:
        rows = read_popular(connection, n=LIST_LENGTH, language=language, decay=decay)
    return [
        {"content_id": content_id, "score": round(popularity, 6), "source": "popular" if popularity > 0 else "new"}
        for content_id, popularity in rows
    ]


def _first(document: Document, n: int, *, source: str) -> Document:
    return {**document, "items": document["items"][:n], "source": source}


def _store(services: Services, user_id: str, document: Document, generation: str) -> None:
    try:
        with time_limit(PATIENCE_SECONDS):
            services.cache.store_user_lists({user_id: document}, {user_id: generation})
    except (RedisUnavailable, OutOfTime) as error:
        log.warning("recommend: the list could not be cached: %s", services.settings.redact(error.message))
