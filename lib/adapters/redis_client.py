"""One Upstash Redis client, bounded in time, with its errors in our words."""

import re
from collections.abc import Sequence
from types import NoneType
from typing import Any

import httpx
from upstash_redis import Redis
from upstash_redis.errors import UpstashError

from lib.adapters.bounded_http import bound
from lib.errors import RedisUnavailable
from lib.setting_fixes import how_to_set
from lib.text import Text

ANSWER_SECONDS = 15.0  # a claim of several megabytes on a slow line

# What is read from an answer; of another shape it is of something that isn't Redis.
ANSWERS: dict[str, Any] = {
    "EVAL": (list, int, NoneType),
    **dict.fromkeys(("MGET", "LRANGE", "ZRANGE", "HMGET"), list),
    **dict.fromkeys(("GET", "HGET"), (str, NoneType)),
    "LLEN": int,
}

_FIX = Text("Check UPSTASH_REDIS_REST_URL, and at https://console.upstash.com/redis that the database is running.")
_TOKEN_FIX = how_to_set("UPSTASH_REDIS_REST_TOKEN")
# What Redis says first where it refuses a command, in whatever command.
_REFUSALS = (
    (
        re.compile("^WRONGPASS|^Unauthorized"),
        Text("Redis doesn't know the token in UPSTASH_REDIS_REST_TOKEN"),
        _TOKEN_FIX,
    ),
    (
        re.compile("NOPERM"),
        Text("The token in UPSTASH_REDIS_REST_TOKEN may not do this, as the read-only one may not"),
        _TOKEN_FIX,
    ),
    (
        re.compile("^OOM|max (daily )?requests? limit|max(imum)? (database|storage|data) size", re.IGNORECASE),
        Text("Redis is full, or its plan is used up"),
        Text("Enlarge the plan, or delete data, at https://console.upstash.com/redis."),
    ),
)


class RedisClient:
    """Runs commands. Never retries: the vendor's client would repeat a command whose answer got lost."""

    def __init__(self, url: str, token: str) -> None:
        # Without the base64 encoding one element that isn't UTF-8 can't make a whole answer unreadable.
        self._redis = Redis(url, token, rest_encoding=None, rest_retries=0, allow_telemetry=False)
        http = self._redis._http._client
        bound(http, seconds=ANSWER_SECONDS)
        http.event_hooks = {"response": [_refuse_error_pages]}

    def execute(self, *command: str | float) -> Any:
        try:
            answer = self._redis.execute([str(part) for part in command])
            if not isinstance(answer, ANSWERS.get(str(command[0]), object)):
                raise ValueError("the answer makes no sense")
            return answer
        except UpstashError as error:
            raise _refusal(str(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, AttributeError, TypeError, KeyError) as error:
            # The client lets an answer that isn't JSON, or of an unexpected shape, out as these.
            raise RedisUnavailable(Text("Redis doesn't answer: {reason}", reason=_reason(error)), fix=_FIX) from error

    def script(self, source: str, keys: Sequence[str], arguments: Sequence[str | float]) -> Any:
        return self.execute("EVAL", source, len(keys), *keys, *arguments)

    def close(self) -> None:
        self._redis._http._client.close()


def _refuse_error_pages(response: httpx.Response) -> None:
    """Redis tells its errors as JSON; what stands before it may answer with a page."""
    if response.is_server_error and not response.content.startswith(b"{"):
        raise httpx.HTTPError(f"HTTP status {response.status_code}")


def _refusal(said: str) -> RedisUnavailable:
    for pattern, trouble, fix in _REFUSALS:
        if pattern.search(said):
            return RedisUnavailable(Text("{trouble}: {reason}", trouble=trouble, reason=said), fix=fix)
    return RedisUnavailable(Text("Redis refused a command: {reason}", reason=said), fix=_FIX)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
