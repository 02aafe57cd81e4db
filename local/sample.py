"""Sample traffic for scripts/dev: some content, and users with tastes who act on it."""

import contextlib
import json
import random
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
from upstash_redis import Redis

from lib.core.schedules import REFRESH_COLD_START, UPDATE_EMBEDDINGS, WARM_CACHE

TOPICS = {
    "travel": "en",
    "cooking": "en",
    "music": "en",
    "football": "en",
    "cinema": "en",
    "机器学习": "zh",
    "摄影": "zh",
    "旅行": "zh",
}
TRENDING = ("cinema", "摄影")  # one a language: all of their first actions are of the last day
CONTENTS_A_TOPIC = 25
USERS = 60
FIRST_ACTIONS = 600  # pushed at once, so that there is something to recommend
FIRST_DAYS = 12.0  # how far back they go
PAUSE_SECONDS = 1.0
JOB_SECONDS = 60.0
NOISE = 0.2  # of each of an embedding's numbers
OWN_TASTE = 0.8  # how often a user picks from his own topics

_INSERT = """
INSERT INTO content (content_id, topics, language, published_at, embedding) VALUES (%s, %s, %s, %s, %s::vector)
ON CONFLICT (content_id) DO NOTHING
"""


class SampleTraffic:
    """A thread that pushes actions as an app would; use as a context manager."""

    def __init__(self, environment: Mapping[str, str], *, seed: int = 1) -> None:
        self._environment = environment
        self._random = random.Random(seed)  # noqa: S311 - tastes, no secrets
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sample-traffic", daemon=True)

    def __enter__(self) -> None:
        add_content(self._environment["DATABASE_URL"], now=datetime.now(UTC))
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        url, token = (self._environment[f"UPSTASH_REDIS_REST_{part}"] for part in ("URL", "TOKEN"))
        with Redis(url, token) as redis:
            # Named by their numbers, so that another start with the same data adds nothing.
            past = [self._action(f"sample-action-{number}", of_the_past=True) for number in range(FIRST_ACTIONS)]
            redis.lpush("pending_user_actions", *past)
            self._learn(redis)
            while not self._stopping.wait(PAUSE_SECONDS):
                redis.lpush("pending_user_actions", self._action(str(uuid.uuid4())))

    def _learn(self, redis: Redis) -> None:
        """Once the first actions are applied, what the schedules would do at the next full hours."""
        while redis.llen("pending_user_actions"):
            if self._stopping.wait(PAUSE_SECONDS):
                return
        with contextlib.suppress(httpx.HTTPError):  # the schedules do it later
            for job in (UPDATE_EMBEDDINGS, WARM_CACHE, REFRESH_COLD_START):
                httpx.post(self._environment["NEXT_PUBLIC_APP_URL"] + job.path, json=job.body, timeout=JOB_SECONDS)

    def _action(self, action_id: str, *, of_the_past: bool = False) -> str:
        user = self._random.randrange(USERS)
        own = (user % len(TOPICS), (user // len(TOPICS)) % len(TOPICS))
        number = self._random.choice(own) if self._random.random() < OWN_TASTE else self._random.randrange(len(TOPICS))
        topic = list(TOPICS)[number]
        days_ago = self._random.random() * (1.0 if topic in TRENDING else FIRST_DAYS) if of_the_past else 0.0
        action = {
            "id": action_id,
            "user_id": f"sample-user-{user}",
            "content_id": content_id(topic, int(CONTENTS_A_TOPIC * self._random.random() ** 2)),  # some are read more
            "action": self._random.choices(("view", "click", "like", "skip"), (6, 3, 2, 1))[0],
            "timestamp": (datetime.now(UTC) - timedelta(days=days_ago)).isoformat(),
        }
        return json.dumps(action)


def content_id(topic: str, number: int) -> str:
    return f"sample-{topic}-{number}"


def embedding(topic: str, number: int) -> list[float]:
    """Near those of its topic, as a model of texts would have it."""
    dice = random.Random(content_id(topic, number))  # noqa: S311 - no secrets
    return [float(other == topic) + dice.gauss(0.0, NOISE) for other in TOPICS]


def add_content(database_url: str, *, now: datetime) -> None:
    rows = [
        (
            content_id(topic, number),
            [topic],
            language,
            now - timedelta(days=FIRST_DAYS, hours=number),
            str(embedding(topic, number)),
        )
        for topic, language in TOPICS.items()
        for number in range(CONTENTS_A_TOPIC)
    ]
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(_INSERT, rows)
