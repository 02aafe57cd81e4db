"""What could not be applied: dead letters (one action each), and whole batches that were set aside.

A person reads them, puts them back once the cause is mended, or drops them. Putting back twice pushes once.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.adapters.action_queue import (
    DEAD_LETTERS_BYTES_KEY,
    DEAD_LETTERS_KEY,
    LEASES_KEY,
    LETTER_LENGTH,
    PENDING_KEY,
    PROGRESS_TTL_SECONDS,
    SET_ASIDE_KEY,
    batch_key,
    letter_id,
    parts_of_a_request,
    progress_key,
)
from lib.adapters.redis_client import RedisClient

LETTERS_AT_ONCE = 500

_REMOVE = Path(__file__).with_name("remove_dead_letters.lua").read_text()
_SET_ASIDE = Path(__file__).with_name("set_aside.lua").read_text()


@dataclass(frozen=True)
class StoredLetter:
    """A dead letter as Redis holds it (`text`, JSON). `raw` is what was pushed; `at` in unix seconds."""

    text: str
    raw: str
    reason: str
    at: float

    @property
    def id(self) -> str:
        return letter_id(self.text)

    @property
    def is_whole(self) -> bool:
        """Only the beginning of a very long element is kept, and half an element is no element."""
        return len(self.raw) < LETTER_LENGTH


@dataclass(frozen=True)
class SetAsideBatch:
    """A batch that failed too often; `at` in unix seconds. `error` is empty where its drains just died."""

    batch_id: str
    at: int
    elements: int
    tries: int
    error: str


class DeadLetters:
    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    def count(self) -> int:
        return int(self._redis.execute("LLEN", DEAD_LETTERS_KEY))

    def latest(self, n: int) -> list[StoredLetter]:
        """The latest n, newest first."""
        return [_stored(text) for text in self._redis.execute("LRANGE", DEAD_LETTERS_KEY, 0, n - 1)]

    def all(self) -> list[StoredLetter]:
        """Every one, oldest first."""
        letters: list[StoredLetter] = []
        while True:  # counted from the end: what is pushed meanwhile at the beginning shifts nothing
            first, last = -len(letters) - LETTERS_AT_ONCE, -len(letters) - 1
            texts: list[str] = self._redis.execute("LRANGE", DEAD_LETTERS_KEY, first, last)
            if not texts:
                return letters
            letters += [_stored(text) for text in reversed(texts)]

    def put_back(self, letters: Sequence[StoredLetter]) -> int:
        """Moves them onto the list of pending actions; answers how many were still there. Only whole ones can be."""
        return self._remove(letters, puts_back=True)

    def drop(self, letters: Sequence[StoredLetter]) -> int:
        """Deletes them; answers how many were still there."""
        return self._remove(letters, puts_back=False)

    def set_aside(self) -> list[SetAsideBatch]:
        """The batches that wait for a person, the longest first. There are few (action_queue.MAX_SET_ASIDE)."""
        pairs: list[tuple[str, float]] = self._redis.execute("ZRANGE", SET_ASIDE_KEY, 0, -1, "WITHSCORES")
        return [self._batch(batch_id, int(at)) for batch_id, at in pairs]

    def put_back_batch(self, batch_id: str) -> bool:
        """Has it claimed again, under its id, so that what it had applied already isn't applied twice."""
        return self._settle(batch_id, puts_back=True)

    def drop_batch(self, batch_id: str) -> bool:
        return self._settle(batch_id, puts_back=False)

    def _batch(self, batch_id: str, at: int) -> SetAsideBatch:
        elements = int(self._redis.execute("LLEN", batch_key(batch_id)))
        tries, error = self._redis.execute("HMGET", progress_key(batch_id), "tries", "error")
        return SetAsideBatch(batch_id, at, elements, int(tries or 0), error or "")

    def _settle(self, batch_id: str, *, puts_back: bool) -> bool:
        keys = [SET_ASIDE_KEY, LEASES_KEY, batch_key(batch_id), progress_key(batch_id)]
        return bool(self._redis.script(_SET_ASIDE, keys, [batch_id, int(puts_back), PROGRESS_TTL_SECONDS]))

    def _remove(self, letters: Sequence[StoredLetter], *, puts_back: bool) -> int:
        keys, removed = [DEAD_LETTERS_KEY, DEAD_LETTERS_BYTES_KEY, PENDING_KEY], 0
        raw_of = {letter.text: letter.raw for letter in letters}
        for _, part in parts_of_a_request([letter.text for letter in letters]):
            # Dropping needs no element, and a request has room for each letter once.
            pairs = [value for text in part for value in (text, raw_of[text] if puts_back else "")]
            removed += int(self._redis.script(_REMOVE, keys, [int(puts_back), *pairs])) if pairs else 0
        return removed


def _stored(text: str) -> StoredLetter:
    fields = json.loads(text)
    return StoredLetter(text, fields["raw"], fields["reason"], fields["at"])
