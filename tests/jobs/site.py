"""A site whose users act: what its app pushes, and what becomes of it."""

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from lib.adapters.redis_client import RedisClient
from lib.adapters.services import Services
from lib.core.defaults import HALF_LIVES_HOURS
from lib.jobs.process_actions import process_user_actions
from lib.jobs.recommend import recommend
from lib.jobs.run import Deadline, Summary
from lib.jobs.update_embeddings import process_user_embeddings

_numbers = itertools.count()


def action(user_id: str, content_id: str, name: str = "view", *, days_ago: float = 0.0, **fields: Any) -> str:
    """An element as an app pushes it."""
    at = datetime.now(UTC) - timedelta(days=days_ago)
    fields = {"id": f"event {next(_numbers)}", "timestamp": at.isoformat(), **fields}
    return json.dumps({"user_id": user_id, "content_id": content_id, "action": name, **fields})


@dataclass(frozen=True)
class Site:
    """The jobs of one deployment, and its two stores as a test looks into them."""

    services: Services
    redis: RedisClient

    def push(self, *elements: str) -> None:
        self.redis.execute("LPUSH", "pending_user_actions", *elements)

    def drain(self, *, seconds: float = 60.0) -> Summary:
        return process_user_actions(self.services, Deadline.after(seconds))

    def act(self, *elements: str) -> Summary:
        """Pushes and drains."""
        self.push(*elements)
        return self.drain()

    def embed(self, *, seconds: float = 60.0, now: datetime | None = None) -> Summary:
        """Every part of a run, each with so many seconds. Answers what the last one did, with all users' count."""
        updated = 0
        while (summary := self.embed_a_part(seconds=seconds, now=now))["users_left"] != 0:
            updated += summary["users_updated"]
        return {**summary, "users_updated": summary["users_updated"] + updated}

    def embed_a_part(self, *, seconds: float = 60.0, now: datetime | None = None) -> Summary:
        return process_user_embeddings(self.services, now or datetime.now(UTC), Deadline.after(seconds))

    def recommend(
        self, user_id: str, *, n: int = 100, language: str | None = None, now: datetime | None = None
    ) -> dict[str, Any]:
        now = now or datetime.now(UTC)
        return recommend(self.services, user_id=user_id, n=n, language=language, now=now)

    def ids(self, user_id: str, *, language: str | None = None) -> list[str]:
        """The content of a user's list."""
        return [item["content_id"] for item in self.recommend(user_id, language=language)["items"]]

    def add_content(self, *content_ids: str, **columns: Any) -> None:
        names = ["content_id", *columns]
        rows = [[content_id, *columns.values()] for content_id in content_ids]
        marks = ", ".join(["%s"] * len(names))
        with self.services.database.transaction(vectors=True) as connection, connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO content ({', '.join(names)}) VALUES ({marks})".encode(), rows)

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.services.database.transaction(vectors=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def count_events(self) -> int:
        return int(self.query("SELECT count(*) FROM user_actions")[0][0])

    def count_waiting(self) -> tuple[int, int]:
        """Pending and in flight."""
        return self.services.queue.count_pending(), self.services.queue.count_in_flight()

    def cached(self, user_ids: Iterable[str]) -> set[str]:
        """Who of these has a cached list."""
        return {user_id for user_id in user_ids if self.services.cache.user_list(user_id)[0] is not None}

    def dead_letters(self) -> list[dict[str, Any]]:
        return [{"raw": letter.raw, "reason": letter.reason} for letter in self.services.dead_letters.all()]


def assert_popularity_follows_from_the_log(site: Site) -> None:
    """The stored sums equal a recompute of them from each user's first counted action on each content."""
    firsts = site.query(
        "SELECT content_id, extract(epoch FROM min(occurred_at))::float8 FROM user_actions"
        " WHERE action = ANY(%s) GROUP BY content_id, user_id",
        site.services.settings.positive_actions,
    )
    stored = site.query("SELECT content_id, as_of, sums FROM recs_popularity")
    assert {content_id for content_id, _ in firsts} <= {content_id for content_id, *_ in stored}
    for content_id, as_of, sums in stored:
        ages_hours = np.array([as_of - at for other, at in firsts if other == content_id]) / 3600
        wanted = [float(np.sum(0.5 ** (ages_hours / half_life))) for half_life in HALF_LIVES_HOURS]
        np.testing.assert_allclose(sums, wanted, atol=1e-6, err_msg=content_id)


class Crash(BaseException):
    """The process ends here: no handler of ours sees it."""
