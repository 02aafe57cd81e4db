"""The adapters that the settings name, each made when it is first used and then kept for the process."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING

from lib.settings import Settings

if TYPE_CHECKING:  # imported where they are made: an idle tick needs neither Postgres nor QStash
    from lib.adapters.action_queue import ActionQueue
    from lib.adapters.cache import Cache
    from lib.adapters.database import Database
    from lib.adapters.dead_letters import DeadLetters
    from lib.adapters.job_reports import JobReports
    from lib.adapters.pings import Pings
    from lib.adapters.qstash import QStashClient
    from lib.adapters.redis_client import RedisClient
    from lib.adapters.text_vectors import TextVectors


class Services:
    """Raises SettingsError, by the variable's name, for a service that the environment doesn't describe."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._making = threading.RLock()  # requests come in threads; each adapter is made once

    @property
    def queue(self) -> ActionQueue:
        with self._making:
            return self._queue

    @property
    def cache(self) -> Cache:
        with self._making:
            return self._cache

    @property
    def dead_letters(self) -> DeadLetters:
        with self._making:
            return self._dead_letters

    @property
    def reports(self) -> JobReports:
        with self._making:
            return self._reports

    @property
    def pings(self) -> Pings:
        with self._making:
            return self._pings

    @property
    def database(self) -> Database:
        with self._making:
            return self._database

    @property
    def qstash(self) -> QStashClient:
        with self._making:
            return self._qstash

    @property
    def text_vectors(self) -> TextVectors:
        with self._making:
            return self._text_vectors

    def close(self) -> None:
        made = vars(self)
        for name in ("_redis", "_database", "_qstash"):
            if name in made:
                made.pop(name).close()

    @cached_property
    def _redis(self) -> RedisClient:
        from lib.adapters.redis_client import RedisClient

        self.settings.require("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")
        return RedisClient(self.settings.redis_url, self.settings.redis_token)

    @cached_property
    def _queue(self) -> ActionQueue:
        from lib.adapters.action_queue import ActionQueue

        return ActionQueue(
            self._redis,
            max_elements=self.settings.claim_max_elements,
            lease_seconds=self.settings.claim_lease_seconds,
            dead_letters_max=self.settings.dead_letters_max,
        )

    @cached_property
    def _cache(self) -> Cache:
        from lib.adapters.cache import Cache

        return Cache(self._redis, ttl_seconds=self.settings.cache_ttl_seconds)

    @cached_property
    def _dead_letters(self) -> DeadLetters:
        from lib.adapters.dead_letters import DeadLetters

        return DeadLetters(self._redis)

    @cached_property
    def _reports(self) -> JobReports:
        from lib.adapters.job_reports import JobReports

        return JobReports(self._redis)

    @cached_property
    def _pings(self) -> Pings:
        from lib.adapters.pings import Pings

        return Pings(self._redis)

    @cached_property
    def _database(self) -> Database:
        from lib.adapters.database import Database

        self.settings.require("DATABASE_URL")
        return Database(self.settings.database_url, max_connections=self.settings.database_max_connections)

    @cached_property
    def _qstash(self) -> QStashClient:
        from lib.adapters.qstash import QStashClient

        self.settings.require("QSTASH_TOKEN", "QSTASH_URL")
        settings = self.settings
        return QStashClient(settings.qstash_token, url=settings.qstash_url, bypass_secret=settings.bypass_secret)

    @cached_property
    def _text_vectors(self) -> TextVectors:
        from lib.adapters.text_vectors import TextVectors

        return TextVectors()
