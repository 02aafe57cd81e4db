"""The list of pending actions: claim a batch under a lease, acknowledge it, or give it back.

Nothing is popped before it is safe. A claim moves elements into a list of their own in one script; a drain that
dies leaves that list behind, and the next claim after the lease's end takes it up again under the same id. A batch
that fails again and again is set aside (lib/adapters/dead_letters.py).
"""

import hashlib
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.adapters.job_reports import REPORT_TTL_SECONDS, report_key
from lib.adapters.redis_client import RedisClient
from lib.core.actions import DeadLetter

PENDING_KEY = "pending_user_actions"
LEASES_KEY = "recs:leases"
SET_ASIDE_KEY = "recs:set_aside"
DEAD_LETTERS_KEY = "recs:dead_letters"
DEAD_LETTERS_BYTES_KEY = "recs:dead_letters:bytes"
MAX_CLAIM_BYTES = 4_000_000  # escaped as JSON it may be twice that; Upstash ends at 10 MB
MAX_LETTERS_BYTES = 2_000_000  # of dead letters in one request, which quotes and backslashes may double too
MAX_KEPT_BYTES = 50_000_000  # of all dead letters: Upstash refuses what makes a record larger than 100 MB
LETTER_LENGTH = 100_000  # characters of what can't be read; an action has some 200
ERROR_LENGTH = 300  # characters of why a batch failed
PROGRESS_TTL_SECONDS = 30 * 86_400  # a batch is done, or set aside, long before
SAMPLE_ELEMENTS = 100
MAX_TRIES = 5  # of a batch, at one every five seconds; an outage counts for none
MAX_SET_ASIDE = 10  # batches: where more than a few fail it isn't the batches, and they wait instead

_CLAIM = Path(__file__).with_name("claim.lua").read_text()
_RELEASE = Path(__file__).with_name("release.lua").read_text()
_ACKNOWLEDGE = Path(__file__).with_name("acknowledge.lua").read_text()
_COUNT_IN_FLIGHT = """
local count = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  count = count + redis.call('LLEN', 'recs:batch:' .. id)
end
return count
"""
_ESTIMATE_BYTES = """
local sample, bytes = redis.call('LRANGE', KEYS[1], 0, ARGV[1] - 1), 0
for _, element in ipairs(sample) do
  bytes = bytes + #element
end
return math.floor(bytes * redis.call('LLEN', KEYS[1]) / math.max(1, #sample))
"""


@dataclass(frozen=True)
class Claim:
    """A batch in flight. `tries`: how often it was claimed; `pending`: how many elements were left on the list."""

    batch_id: str
    tries: int
    elements: list[str]
    pending: int


class ActionQueue:
    """What the app pushed and what is in flight."""

    def __init__(self, redis: RedisClient, *, max_elements: int, lease_seconds: float, dead_letters_max: int) -> None:
        self._redis = redis
        self._max_elements = max_elements
        self._lease_seconds = lease_seconds
        self._dead_letters_max = dead_letters_max

    def claim(self) -> Claim:
        """One command, an empty list included; then the batch id is empty."""
        keys = [PENDING_KEY, LEASES_KEY, report_key("process_user_actions"), SET_ASIDE_KEY]
        lease_ms = int(self._lease_seconds * 1000)
        ttls = [REPORT_TTL_SECONDS, PROGRESS_TTL_SECONDS]
        numbers = [self._max_elements, MAX_CLAIM_BYTES, lease_ms, *ttls, MAX_TRIES, MAX_SET_ASIDE]
        batch_id, tries, pending, *elements = self._redis.script(_CLAIM, keys, [uuid.uuid4().hex, *numbers])
        return Claim(batch_id=batch_id, tries=int(tries), elements=elements, pending=int(pending))

    def acknowledge(self, batch_id: str, dead_letters: Sequence[DeadLetter], *, at: float) -> list[str]:
        """Call it after the commit: the batch is done. Its dead letters are kept once, however often this runs.

        Answers their ids.
        """
        letters = [_letter(letter, at) for letter in dead_letters]
        keys = [LEASES_KEY, batch_key(batch_id), DEAD_LETTERS_KEY, progress_key(batch_id), SET_ASIDE_KEY]
        for first, part in parts_of_a_request(letters):
            numbers = [self._dead_letters_max, MAX_KEPT_BYTES, len(letters), first]
            self._redis.script(_ACKNOWLEDGE, [*keys, DEAD_LETTERS_BYTES_KEY], [batch_id, *numbers, *part])
        return [letter_id(letter) for letter in letters]

    def release(self, batch_id: str, *, error: str = "") -> None:
        """Ends the lease now, so that the next claim takes this batch at once.

        `error` says why the batch itself failed; without one this try doesn't count.
        """
        self._redis.script(_RELEASE, [LEASES_KEY, progress_key(batch_id)], [batch_id, error[:ERROR_LENGTH]])

    def count_pending(self) -> int:
        return int(self._redis.execute("LLEN", PENDING_KEY))

    def estimate_pending_bytes(self) -> int:
        """How large the list is, judged by the latest of its elements."""
        return int(self._redis.script(_ESTIMATE_BYTES, [PENDING_KEY], [SAMPLE_ELEMENTS]))

    def count_in_flight(self) -> int:
        """Elements in the batches that are claimed and not done."""
        return int(self._redis.script(_COUNT_IN_FLIGHT, [LEASES_KEY], []))

    def batches_in_flight(self) -> set[str]:
        """The ids of the batches that are claimed and not done."""
        return set(self._redis.execute("ZRANGE", LEASES_KEY, 0, -1))


def batch_key(batch_id: str) -> str:
    return f"recs:batch:{batch_id}"


def progress_key(batch_id: str) -> str:
    return f"recs:progress:{batch_id}"


def letter_id(text: str) -> str:
    """By which a person names a dead letter, of its JSON."""
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _letter(letter: DeadLetter, at: float) -> str:
    raw, reason = letter.raw[:LETTER_LENGTH], letter.reason
    if len(letter.raw) > LETTER_LENGTH:
        reason += f" (only the first {LETTER_LENGTH} of its {len(letter.raw)} characters are kept)"
    return json.dumps({"raw": raw, "reason": reason, "at": at})


def parts_of_a_request(texts: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """The texts in parts that each fit into a request, with the position of their first; one part at least."""
    first = size = 0
    for position, text in enumerate(texts):
        if size and size + len(text) > MAX_LETTERS_BYTES:
            yield first, texts[first:position]
            first, size = position, 0
        size += len(text)
    yield first, texts[first:]
