"""The test message that the configuration check sends through QStash: when it was sent, and whether it has arrived.

recs:ping  hash  nonce, message, sent, arrived; TTL 1 minute, within which no other one is sent
"""

from dataclasses import dataclass
from pathlib import Path

from lib.adapters.redis_client import RedisClient

PING_KEY = "recs:ping"
PING_TTL_SECONDS = 60

_SCRIPT = Path(__file__).with_name("ping.lua").read_text()


@dataclass(frozen=True)
class Ping:
    """`message_id` is empty until QStash has taken it; `round_trip_ms` is None until it has arrived."""

    message_id: str
    round_trip_ms: int | None


class Pings:
    """Every answer is a script's: a plain read may come from a replica that lacks what was just written."""

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    def begin(self, nonce: str) -> bool:
        """False where another one was sent within the last minute; then nothing is to be sent."""
        return bool(self._redis.script(_SCRIPT, [PING_KEY], ["begin", nonce, PING_TTL_SECONDS]))

    def note_message(self, nonce: str, message_id: str) -> None:
        self._redis.script(_SCRIPT, [PING_KEY], ["note", nonce, "message", message_id])

    def note_arrival(self, nonce: str) -> None:
        """Does nothing for a nonce that isn't the latest one's."""
        self._redis.script(_SCRIPT, [PING_KEY], ["note", nonce, "arrived"])

    def latest(self) -> Ping | None:
        """The one of the last minute, if any."""
        answer = self._redis.script(_SCRIPT, [PING_KEY], ["read"])
        fields = dict(zip(answer[::2], answer[1::2], strict=True))
        if "sent" not in fields:
            return None
        arrived = int(fields["arrived"]) - int(fields["sent"]) if "arrived" in fields else None
        return Ping(fields.get("message", ""), arrived)

    def forget(self) -> None:
        """After a message that QStash did not take: the next check may try again."""
        self._redis.execute("DEL", PING_KEY)
