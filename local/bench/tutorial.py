"""The drain that a tutorial shows: read the list, a query for each action, trim the list."""

import json
from typing import Any

import psycopg

from lib.adapters.action_queue import PENDING_KEY
from lib.adapters.redis_client import RedisClient

_TABLE = b"CREATE TABLE content_views (content_id text PRIMARY KEY, views bigint NOT NULL)"
_INSERT = b"""
INSERT INTO user_actions (event_id, user_id, content_id, action, value, occurred_at)
VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
_COUNT = b"""
INSERT INTO content_views VALUES (%s, 1) ON CONFLICT (content_id) DO UPDATE SET views = content_views.views + 1
"""


class Tutorial:
    """Commits each query by itself, in tables as ours: it loses what comes to the list meanwhile, or a crash."""

    def __init__(self, redis: RedisClient, database_url: str) -> None:
        self._redis = redis
        self._connection = psycopg.connect(database_url, autocommit=True, prepare_threshold=None)
        self._connection.execute(_TABLE)

    def drain(self) -> None:
        elements = self._redis.execute("LRANGE", PENDING_KEY, 0, -1)
        for element in reversed(elements):
            action: dict[str, Any] = json.loads(element)
            names = ("id", "userId", "contentId", "action", "value", "timestamp")
            self._connection.execute(_INSERT, [action.get(name) for name in names])
            self._connection.execute(_COUNT, [action["contentId"]])
        self._redis.execute("LTRIM", PENDING_KEY, len(elements), -1)

    def close(self) -> None:
        self._connection.close()
