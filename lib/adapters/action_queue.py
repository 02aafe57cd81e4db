"""The list of pending actions: claim a batch under a lease, acknowledge it, or give it back.

Nothing is popped before it is safe. A claim moves elements into a list of their own in one script; a drain that
dies leaves that list behind, and the next claim after the lease's end takes it up again under the same id.
"""

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.adapters.job_reports import REPORT_TTL_SECONDS, report_key
from lib.adapters.redis_client import RedisClient
from lib.core.actions import DeadLetter

PENDING_KEY = "pending_user_actions"
LEASES_KEY = "recs:leases"
DEAD_LETTERS_KEY = "recs:dead_letters"
MAX_CLAIM_BYTES = 4_000_000  # escaped as JSON it may be twice that; Upstash ends at 10 MB
MAX_LETTERS_BYTES = 2_000_000  # of dead letters in one request, which quotes and backslashes may double too
LETTER_LENGTH = 100_000  # characters of what can't be read; an action has some 200
KEPT_TTL_SECONDS = 86_400  # a batch that has some of its dead letters kept is done long before

_CLAIM = Path(__file__).with_name("claim.lua").read_text()
_ACKNOWLEDGE = Path(__file__).with_name("acknowledge.lua").read_text()
_COUNT_IN_FLIGHT = """
local count = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  count = count + redis.call('LLEN', 'recs:batch:' .. id)
end
return count
"""


@dataclass(frozen=True)
class Claim:
    """A batch in flight. `pending` is how many elements were left on the list."""

    batch_id: str
    elements: list[str]
    pending: int


class ActionQueue:
    """What the app pushed and what is in flight."""

    def __init__(self, redis: RedisClient, *, max_elements: int, lease_seconds: int, dead_letters_max: int) -> None:
        self._redis = redis
        self._max_elements = max_elements
        self._lease_seconds = lease_seconds
        self._dead_letters_max = dead_letters_max

    def claim(self) -> Claim:
        """One command, an empty list included; then the batch id is empty."""
        keys = [PENDING_KEY, LEASES_KEY, report_key("process_user_actions")]
        lease_ms = self._lease_seconds * 1000
        limits = [self._max_elements, MAX_CLAIM_BYTES, lease_ms, REPORT_TTL_SECONDS]
        batch_id, pending, *elements = self._redis.script(_CLAIM, keys, [uuid.uuid4().hex, *limits])
        return Claim(batch_id=batch_id, elements=elements, pending=int(pending))

    def acknowledge(self, batch_id: str, dead_letters: Sequence[DeadLetter], *, at: float) -> None:
        """Call it after the commit: the batch is done. Its dead letters are kept once, however often this runs."""
        letters = [_letter(letter, at) for letter in dead_letters[-self._dead_letters_max :]]
        keys = [LEASES_KEY, f"recs:batch:{batch_id}", DEAD_LETTERS_KEY, f"recs:kept:{batch_id}"]
        for first, part in _requests(letters):
            numbers = [self._dead_letters_max, len(letters), first, KEPT_TTL_SECONDS]
            self._redis.script(_ACKNOWLEDGE, keys, [batch_id, *numbers, *part])

    def release(self, batch_id: str) -> None:
        """Ends the lease now, so that the next claim takes this batch at once."""
        self._redis.execute("ZADD", LEASES_KEY, "XX", 0, batch_id)

    def count_pending(self) -> int:
        return int(self._redis.execute("LLEN", PENDING_KEY))

    def count_in_flight(self) -> int:
        return int(self._redis.script(_COUNT_IN_FLIGHT, [LEASES_KEY], []))

    def dead_letters(self, latest: int) -> tuple[int, list[dict[str, Any]]]:
        """How many there are, and the latest of them: raw, reason, at (unix seconds)."""
        count = int(self._redis.execute("LLEN", DEAD_LETTERS_KEY))
        letters = self._redis.execute("LRANGE", DEAD_LETTERS_KEY, 0, latest - 1)
        return count, [json.loads(letter) for letter in letters]


def _letter(letter: DeadLetter, at: float) -> str:
    raw, reason = letter.raw[:LETTER_LENGTH], letter.reason
    if len(letter.raw) > LETTER_LENGTH:
        reason += f" (only the first {LETTER_LENGTH} of its {len(letter.raw)} characters are kept)"
    return json.dumps({"raw": raw, "reason": reason, "at": at})


def _requests(letters: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """The letters in parts that each fit into a request, with the position of their first; one part at least."""
    first = size = 0
    for position, letter in enumerate(letters):
        if size and size + len(letter) > MAX_LETTERS_BYTES:
            yield first, letters[first:position]
            first, size = position, 0
        size += len(letter)
    yield first, letters[first:]
