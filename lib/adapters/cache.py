"""The lists that the app reads, and the guards that keep old ones from coming back.

recommend:user:{user_id}   string, JSON, TTL   the user's list, in the shape of /api/recommend
recommend:cold-start       string, JSON, TTL   popular content, in the same shape with user_id null
recommend:trending-topics  string, JSON, TTL   [{"topic", "score", ...}]
recs:generation:{user_id}  string, TTL         another one when the user acts: a list computed before is not stored
"""

import json
import math
import re
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lib.adapters.job_reports import COUNTS_TTL_SECONDS, REPORT_TTL_SECONDS, TOTALS_KEY, counts_key
from lib.adapters.redis_client import RedisClient
from lib.core.counts import hour_of
from lib.errors import RedisUnavailable

COLD_START_KEY = "recommend:cold-start"
TOPICS_KEY = "recommend:trending-topics"
GENERATION_TTL_SECONDS = 3_600  # longer than any run that may hold an old list
SHARED_TTL_SECONDS = 86_400  # four refreshes may fail before cold start falls back to the database
USERS_A_COMMAND = 500
USERS_INVALIDATED = 5_000  # by one command, which takes Redis a microsecond or two for each
COUNT_EVERY_SECONDS = 10.0  # of one process; what it read after that and before it ends isn't counted

_READ = Path(__file__).with_name("read_list.lua").read_text()
_STORE = Path(__file__).with_name("store_lists.lua").read_text()
_INVALIDATE = Path(__file__).with_name("invalidate.lua").read_text()


class Cache:
    """Cached lists. A JSON document that can't be read counts as absent."""

    def __init__(self, redis: RedisClient, *, ttl_seconds: int) -> None:
        self._redis = redis
        self._ttl_seconds = ttl_seconds
        self._reads = _Reads()

    def user_list(self, user_id: str) -> tuple[dict[str, Any] | None, str]:
        """The user's cached list or None, and the generation that a newly computed one belongs to. It is counted."""
        keys = [_list_key(user_id), _generation_key(user_id)]
        if uncounted := self._reads.take_if_due():
            keys += [counts_key(hour_of(time.time())), TOTALS_KEY]
            raw, generation = self._redis.script(_READ, keys, [COUNTS_TTL_SECONDS, REPORT_TTL_SECONDS, *uncounted])
        else:
            raw, generation = self._redis.execute("MGET", *keys)
            self._reads.add(found=raw is not None)
        return _document(raw), generation or ""

    def generations(self, user_ids: Sequence[str]) -> list[str]:
        values: list[str | None] = self._redis.execute("MGET", *[_generation_key(user_id) for user_id in user_ids])
        return [value or "" for value in values]

    def store_user_lists(self, lists: Mapping[str, Mapping[str, Any]], generations: Mapping[str, str]) -> int:
        """Stores each list whose user has not acted since `generations` was read; answers how many."""
        stored = 0
        for chunk in _chunks(list(lists)):
            keys = [key for user_id in chunk for key in (_list_key(user_id), _generation_key(user_id))]
            pairs = [part for user_id in chunk for part in (generations[user_id], json.dumps(lists[user_id]))]
            stored += int(self._redis.script(_STORE, keys, [self._ttl_seconds, *pairs]))
        return stored

    def invalidate(self, user_ids: Sequence[str]) -> None:
        """Deletes the users' lists and makes every list that is being computed for them too old to store."""
        for first in range(0, len(user_ids), USERS_INVALIDATED):
            users = user_ids[first : first + USERS_INVALIDATED]
            self._redis.script(_INVALIDATE, [], [uuid.uuid4().hex, GENERATION_TTL_SECONDS, *users])

    def cold_start(self) -> dict[str, Any] | None:
        return _document(self._redis.execute("GET", COLD_START_KEY))

    def store_cold_start(self, document: Mapping[str, Any]) -> None:
        self._redis.execute("SET", COLD_START_KEY, json.dumps(document), "EX", SHARED_TTL_SECONDS)

    def trending_topics(self) -> list[dict[str, Any]]:
        topics = _parsed(self._redis.execute("GET", TOPICS_KEY))
        return topics if isinstance(topics, list) and all(isinstance(topic, dict) for topic in topics) else []

    def store_trending_topics(self, topics: Sequence[Mapping[str, Any]]) -> None:
        text = json.dumps(topics, ensure_ascii=False)
        self._redis.execute("SET", TOPICS_KEY, text, "EX", SHARED_TTL_SECONDS)

    def check_writable(self) -> None:
        """Writes and reads a key of our own, for the configuration check."""
        self._redis.execute("SET", "recs:check", "1", "EX", 60)
        self._redis.execute("GET", "recs:check")

    def eviction_policy(self) -> str | None:
        """What Redis does when it is full; None where this token may not ask."""
        try:
            told = str(self._redis.execute("INFO", "memory"))
        except RedisUnavailable:
            return None
        match = re.search(r"^maxmemory_policy:(\S+)", told, re.MULTILINE)
        return match[1] if match else None


class _Reads:
    """Reads of users' lists by this process that Redis hasn't counted yet, by whether there was a list.

    A write with every read would take it to the primary, and to its disk.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted_at = -math.inf
        self._counts = [0, 0]

    def add(self, *, found: bool) -> None:
        with self._lock:
            self._counts[0 if found else 1] += 1

    def take_if_due(self) -> list[int] | None:
        """Hits and misses, for the caller to have counted; None where that was done a moment ago."""
        with self._lock:
            now = time.monotonic()
            if now - self._counted_at < COUNT_EVERY_SECONDS:
                return None
            self._counted_at, counts, self._counts = now, self._counts, [0, 0]
            return counts


def _list_key(user_id: str) -> str:
    return f"recommend:user:{user_id}"


def _generation_key(user_id: str) -> str:
    return f"recs:generation:{user_id}"


def _document(raw: str | None) -> dict[str, Any] | None:
    document = _parsed(raw)
    return document if isinstance(document, dict) and isinstance(document.get("items"), list) else None


def _parsed(raw: str | None) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None


def _chunks(user_ids: Sequence[str]) -> list[Sequence[str]]:
    return [user_ids[first : first + USERS_A_COMMAND] for first in range(0, len(user_ids), USERS_A_COMMAND)]
