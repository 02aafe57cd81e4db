"""Looks whether the log, popularity and the caches are what they must be after everything that was pushed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lib.adapters.cache import Cache
from lib.adapters.database import Database
from lib.core.defaults import HALF_LIVES_HOURS

Rows = Sequence[tuple[Any, ...]]


def lost_and_twice(wanted: set[Any], found: Sequence[Any]) -> tuple[int, int]:
    """How many of `wanted` are not found, and how often something is found that shouldn't be there (again)."""
    counts = Counter(found)
    return len(wanted - counts.keys()), sum(counts.values()) - len(wanted & counts.keys())


def popularity_error(stored: Rows, log: Rows) -> float:
    """The largest difference between a stored sum and the one recomputed from the log.

    `stored`: content_id, as_of (unix seconds), sums. `log`: user_id, content_id, unix seconds of each counted action.
    """
    first: dict[tuple[str, str], float] = {}
    for user_id, content_id, at in log:
        first[user_id, content_id] = min(at, first.get((user_id, content_id), at))
    times: dict[str, list[float]] = {content_id: [] for content_id, _, _ in stored}
    for (_, content_id), at in first.items():
        if content_id not in times:
            return float("inf")
        times[content_id].append(at)
    half_lives = np.array(HALF_LIVES_HOURS) * 3600
    errors = [
        np.abs(np.exp2(-(as_of - np.array(times[content_id]))[:, None] / half_lives).sum(axis=0) - sums).max()
        for content_id, as_of, sums in stored
    ]
    return float(max(errors, default=0.0))


def stale_lists(cached: Mapping[str, Sequence[str]], log: Rows) -> list[str]:
    """The users whose cached list shows something that they have acted on. `log`: user_id, content_id."""
    acted: dict[str, set[str]] = {}
    for user_id, content_id in log:
        acted.setdefault(user_id, set()).add(content_id)
    return [user_id for user_id, content_ids in cached.items() if acted.get(user_id, set()) & set(content_ids)]


def read(database: Database, query: str, parameters: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
    with database.transaction(seconds=120) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def read_popularity_error(database: Database, *, counted: Sequence[str]) -> float:
    stored = read(database, "SELECT content_id, as_of, sums FROM recs_popularity")
    log = read(
        database,
        "SELECT user_id, content_id, extract(epoch FROM occurred_at)::float8 FROM user_actions WHERE action = ANY(%s)",
        [list(counted)],
    )
    return popularity_error(stored, log)


def read_cached_lists(cache: Cache, user_ids: Sequence[str]) -> dict[str, list[str]]:
    """The content ids of each list that is cached."""
    documents = {user_id: cache.user_list(user_id)[0] for user_id in user_ids}
    return {
        user_id: [item["content_id"] for item in document["items"]]
        for user_id, document in documents.items()
        if document
    }
