"""One user's list: from the cache, else computed from the log, else cold start.

1. Read the cached list; take out what is no longer available.
2. Where there is none: gather what ranking needs to know of the user and of his candidates, rank them, and store the
   list, unless he has acted in the meantime (lib/jobs/rank_lists.py).
3. A user of whom nothing is known gets the popular content of now.
"""

from datetime import datetime

from lib.adapters.catalogue import PopularContent, decay_parameters, is_known, read_allowed, read_popular
from lib.adapters.database import Connection
from lib.adapters.embedding_store import read_active_model
from lib.adapters.services import Services
from lib.core.diversity import VARIED, Variety, varied
from lib.errors import OutOfTime, PostgresUnavailable, RecommenderError, RedisUnavailable
from lib.jobs.document import LIST_LENGTH, Document, document_of
from lib.jobs.tuning import popularity_position
from lib.log_lines import line, log
from lib.settings import Settings
from lib.time_limit import time_limit

PATIENCE_SECONDS = 2.0  # with a service that the answer can do without


def recommend(services: Services, *, user_id: str, n: int, language: str | None, now: datetime) -> Document:
    """The document of /api/recommend. Redis may be away; without Postgres only a cached list can be served."""
    cached, generation = (None, None) if language is not None else _cached_list(services, user_id)
    if cached is not None:
        return _first(_still_allowed(services, cached, n), n, source="cache")
    document = _compute(services, user_id=user_id, language=language, now=now)
    if document is None:
        uses_cache = generation is not None
        return _cold_start(services, user_id=user_id, n=n, language=language, now=now, uses_cache=uses_cache)
    if generation is not None:
        _store(services, user_id, document, generation)
    return _first(document, n, source="computed")


def _cached_list(services: Services, user_id: str) -> tuple[Document | None, str | None]:
    """The list, and the generation that a new one belongs to; None where Redis doesn't answer."""
    try:
        with time_limit(PATIENCE_SECONDS):
            return services.cache.user_list(user_id)
    except (RedisUnavailable, OutOfTime) as error:
        _go_on(services, "computing without the cache", error)
        return None, None


def _still_allowed(services: Services, document: Document, n: int) -> Document:
    """With n of its items that may still be shown, or all of those. The first n are nearly always enough to look at."""
    items, shown = document["items"], list[Document]()
    for part in (items[:n], items[n:]):
        if part and len(shown) < n:
            shown += _allowed_of(services, part)
    return {**document, "items": shown}


def _allowed_of(services: Services, items: list[Document]) -> list[Document]:
    try:
        ids = [item["content_id"] for item in items]
        allowed = read_allowed(services.database, ids, seconds=PATIENCE_SECONDS)
    except (PostgresUnavailable, OutOfTime) as error:
        _go_on(services, "a cached list served unchecked", error)
        return items
    return [item for item in items if item["content_id"] in allowed]


def _compute(services: Services, *, user_id: str, language: str | None, now: datetime) -> Document | None:
    """None where the log knows nothing of the user."""
    if not is_known(services.database, user_id):
        return None
    from lib.jobs.rank_lists import rank_lists  # numpy, which a list that is cached or popular does without

    return rank_lists(services, [user_id], language=language, now=now).get(user_id)


def _cold_start(
    services: Services, *, user_id: str, n: int, language: str | None, now: datetime, uses_cache: bool
) -> Document:
    cached = _cached_cold_start(services) if uses_cache else None
    if cached is not None:
        document = {**_still_allowed(services, cached, n), "user_id": user_id}
    else:
        items = popular_items(services, language=language, now=now)
        document = document_of(user_id, items, source="cold_start", now=now)
    return _first(document, n, source="cold_start")


def _cached_cold_start(services: Services) -> Document | None:
    try:
        with time_limit(PATIENCE_SECONDS):
            return services.cache.cold_start()
    except (RedisUnavailable, OutOfTime) as error:
        _go_on(services, "popular content computed", error)
        return None


def popular_items(services: Services, *, language: str | None, now: datetime) -> list[Document]:
    """The most popular content of now, no page of one topic, with its decayed sum as the score; what nobody has met yet
    counts as new."""
    with services.database.transaction() as connection:
        decay = decay_parameters(now.timestamp(), _position(connection, services.settings))
        contents = read_popular(connection, n=VARIED, language=language, decay=decay)
    shares = services.settings.topic_share, services.settings.author_share
    variety = Variety([content.topics for content in contents], None, *shares)
    order = varied(range(len(contents)), variety, n=LIST_LENGTH)
    return [_popular_item(contents[place]) for place in order[:LIST_LENGTH]]


def _popular_item(content: PopularContent) -> Document:
    source = "popular" if content.popularity > 0 else "new"
    return {"content_id": content.content_id, "score": round(content.popularity, 6), "source": source}


def _position(connection: Connection, settings: Settings) -> float:
    model = read_active_model(connection) if settings.popularity_position is None else None
    return popularity_position(settings, model)


def _go_on(services: Services, without: str, error: RecommenderError) -> None:
    """A service that the answer can do without is away."""
    log.warning(line(f"recommendations: {without}", error=services.settings.redact(error.message), code=error.code))


def _first(document: Document, n: int, *, source: str) -> Document:
    return {**document, "items": document["items"][:n], "source": source}


def _store(services: Services, user_id: str, document: Document, generation: str) -> None:
    try:
        with time_limit(PATIENCE_SECONDS):
            services.cache.store_user_lists({user_id: document}, {user_id: generation})
    except (RedisUnavailable, OutOfTime) as error:
        _go_on(services, "the list could not be cached", error)
