"""scripts/dev --replay PATH: pushes the ratings of a MovieTweetings folder as an app would, and shows what they do.

The ratings go onto the list in order of time, shifted so that the last is now; the schedules do the rest. Every
action's id is made of its rating, so a second replay applies nothing.
"""

import json
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psycopg
from pgvector.psycopg import register_vector
from upstash_redis import Redis

from local.embedded import ServerError
from local.movietweetings import ID_PREFIX, Movie, read_folder, read_vectors
from local.stack import Stack

PUSHED_AT_ONCE = 1_000
DRAIN_SECONDS = 1_800.0
CHANGE_SECONDS = 60.0
SHARDS_POLL_SECONDS = 2.0
USERS_SHOWN = 3
SHOWN_ITEMS = 5

_INSERT = """
INSERT INTO content (content_id, embedding, topics, published_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (content_id) DO UPDATE SET embedding = excluded.embedding, topics = excluded.topics
"""
_COUNTS = """
SELECT (SELECT count(*) FROM user_actions WHERE starts_with(event_id, %(prefix)s)),
       (SELECT count(*) FROM user_embeddings)
"""


def replay(folder: Path, stack: Stack) -> None:
    movies, actions = read_folder(folder, now=time.time())
    _Replay(stack, movies).run(folder, actions)


class _Replay:
    def __init__(self, stack: Stack, movies: dict[str, Movie]) -> None:
        environment = stack.environment
        self._movies = movies
        self._database_url = environment["DATABASE_URL"]
        self._redis = Redis(environment["UPSTASH_REDIS_REST_URL"], environment["UPSTASH_REDIS_REST_TOKEN"])
        self._http = httpx.Client(base_url=stack.url, timeout=300)

    def run(self, folder: Path, actions: list[dict[str, Any]]) -> None:
        self._add_content(folder)
        applied_before, _ = self._counts()
        rejected_before = self._status()["dead_letters"]["count"]
        self._push(actions)
        self._wait_until_drained(len(actions))
        print("learning embeddings ...", flush=True)
        updated = self._embed()
        applied, embeddings = self._counts()
        rejected = self._status()["dead_letters"]["count"] - rejected_before
        print(f"pushed {len(actions)}, applied {applied - applied_before}, rejected {rejected}")
        print(f"{embeddings} users have an embedding ({updated} updated now)")
        for user_id in _interesting_users(actions):
            self._show_change(user_id)

    def _add_content(self, folder: Path) -> None:
        vectors = read_vectors(folder)
        rows = [(movie, vectors.get(movie), film.genres, film.published_at) for movie, film in self._movies.items()]
        print(f"writing {len(rows)} films into content ...", flush=True)
        with psycopg.connect(self._database_url) as connection:
            register_vector(connection)
            connection.cursor().executemany(_INSERT, rows)

    def _push(self, actions: list[dict[str, Any]]) -> None:
        for first in range(0, len(actions), PUSHED_AT_ONCE):
            chunk = actions[first : first + PUSHED_AT_ONCE]
            self._redis.lpush("pending_user_actions", *[json.dumps(action) for action in chunk])
            if (first + len(chunk)) % (10 * PUSHED_AT_ONCE) == 0:
                print(f"pushed {first + len(chunk)} of {len(actions)}", flush=True)

    def _wait_until_drained(self, total: int) -> None:
        deadline = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < deadline:
            status = self._status()
            waiting = status["pending"] + status["in_flight"]
            if waiting == 0:
                return
            print(f"draining: {waiting} of {total} left", flush=True)
            time.sleep(2)
        raise ServerError("The list was not drained in time: see .local/functions.log.")

    def _embed(self) -> int:
        """Every part of a run, one after the other; QStash, which does the same, finds less and less to do. The shards
        of many users are QStash's alone."""
        updated, in_shards, left = 0, 0, 1
        while left != 0:
            part = self._http.post("/api/actions/batch-process", json={"action": "process_user_embeddings"})
            part.raise_for_status()
            updated, left = updated + part.json()["users_updated"], part.json()["users_left"]
            if left and "shards" in part.json():
                in_shards = max(in_shards, left)
                time.sleep(SHARDS_POLL_SECONDS)
        return updated + in_shards

    def _show_change(self, user_id: str) -> None:
        before = self._list(user_id)
        if not before:
            print(f"\nuser {user_id} has acted on every film")
            return
        liked = before[0]
        action = {"id": str(uuid.uuid4()), "user_id": user_id, "content_id": liked, "action": "like"}
        self._redis.lpush("pending_user_actions", json.dumps(action))
        began = time.monotonic()
        while (after := self._list(user_id)) == before and time.monotonic() < began + CHANGE_SECONDS:
            time.sleep(0.5)
        print(f"\nuser {user_id} sees        {self._titles(before)}")
        print(f"  likes             {self._titles([liked])}")
        print(f"  {time.monotonic() - began:4.1f} s later sees {self._titles(after)}", flush=True)

    def _list(self, user_id: str) -> list[str]:
        answer = self._http.get("/api/recommend", params={"user_id": user_id, "n": SHOWN_ITEMS}).json()
        return [item["content_id"] for item in answer["items"]]

    def _titles(self, content_ids: list[str]) -> str:
        return "; ".join(self._movies[content_id].title for content_id in content_ids if content_id in self._movies)

    def _status(self) -> dict[str, Any]:
        status: dict[str, Any] = self._http.get("/api/status").json()
        return status

    def _counts(self) -> tuple[int, int]:
        with psycopg.connect(self._database_url) as connection:
            row = connection.execute(_COUNTS, {"prefix": ID_PREFIX}).fetchone()
        assert row is not None
        return row[0], row[1]


def _interesting_users(actions: list[dict[str, Any]]) -> list[str]:
    """Three of the last active users who have a history to go by."""
    lengths = Counter(action["user_id"] for action in actions)
    latest = dict.fromkeys(action["user_id"] for action in reversed(actions))
    return [user_id for user_id in latest if lengths[user_id] >= 10][:USERS_SHOWN]
