"""QStash: schedules, publishing, keys. Bounded in time; its errors in our words."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from qstash import QStash
from qstash.errors import DailyMessageLimitExceededError, QStashError, RateLimitExceededError

from lib.adapters.bounded_http import bound
from lib.core.schedules import Schedule
from lib.errors import QStashUnavailable

ANSWER_SECONDS = 10.0
MESSAGE_LENGTH = 300  # characters of what QStash, or a proxy's page, says
BYPASS_HEADER = "x-vercel-protection-bypass"

_QUOTA_FIX = (
    "Raise ACTIONS_INTERVAL_SECONDS and open /api/init again, or upgrade at https://console.upstash.com/qstash."
)
_TOO_MANY_FIX = "Delete schedules that you don't need at https://console.upstash.com/qstash, or upgrade the plan."
_FIX = "Check QSTASH_TOKEN, and QSTASH_URL where your account is in another region."


class QStashClient:
    """The calls that we make. Every message and schedule carries the deployment's bypass header where one is set."""

    def __init__(self, token: str, *, url: str, bypass_secret: str) -> None:
        self._client = QStash(token, base_url=url, retry=False)
        http = self._client.http._client
        bound(http, seconds=ANSWER_SECONDS)
        http.event_hooks = {"response": [self._note_clock]}
        self._clock_ahead: float | None = None
        self._headers = {BYPASS_HEADER: bypass_secret} if bypass_secret else {}

    def schedules(self) -> list[dict[str, Any]]:
        """Every schedule of the account as QStash tells it (the client's own list fails on states it doesn't know)."""
        with _our_errors():
            schedules: list[dict[str, Any]] = self._client.http.request(path="/v2/schedules", method="GET")
            if not all("scheduleId" in schedule for schedule in schedules):
                raise ValueError("this is no list of schedules")
            return schedules

    def put_schedule(self, schedule: Schedule) -> None:
        """Makes the schedule, or replaces the one that has its id."""
        with _our_errors():
            self._client.schedule.create_json(
                destination=schedule.destination,
                cron=schedule.cron,
                body=dict(schedule.body),
                method="POST",
                headers=self._headers,
                retries=schedule.retries,
                schedule_id=schedule.schedule_id,
            )

    def publish(self, *, url: str, body: Mapping[str, object], retries: int) -> str:
        """Publishes one message and answers its id."""
        with _our_errors():
            response = self._client.message.publish_json(
                url=url, body=dict(body), method="POST", headers=self._headers, retries=retries
            )
            return str(response.message_id)  # type: ignore[union-attr]

    def publish_at(self, *, url: str, body: Mapping[str, object], slots: Sequence[tuple[int, str]]) -> None:
        """Publishes a message for each (unix seconds, deduplication id), in one request, without retries."""
        with _our_errors():
            self._client.message.batch_json(
                [
                    {
                        "url": url,
                        "body": dict(body),
                        "method": "POST",
                        "headers": self._headers,
                        "retries": 0,
                        "not_before": slot,
                        "deduplication_id": deduplication_id,
                    }
                    for slot, deduplication_id in slots
                ]
            )

    def signing_keys(self) -> tuple[str, str]:
        """The current and the next key as QStash has them now."""
        with _our_errors():
            keys = self._client.signing_key.get()
            return keys.current, keys.next

    @property
    def clock_ahead(self) -> float | None:
        """By how many seconds this machine's clock was ahead of QStash's at its last answer; None before the first."""
        return self._clock_ahead

    def _note_clock(self, response: httpx.Response) -> None:
        with suppress(TypeError, ValueError):  # without a date, or with one that can't be read
            self._clock_ahead = time.time() - parsedate_to_datetime(response.headers.get("Date")).timestamp()

    def close(self) -> None:
        self._client.http._client.close()


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except DailyMessageLimitExceededError as error:
        raise QStashUnavailable(f"QStash refuses: {error}", fix=_QUOTA_FIX) from error
    except RateLimitExceededError as error:
        limit = f" (its burst limit is {error.limit})" if error.limit else ""
        message = f"QStash refuses: too many requests in a burst{limit}."
        raise QStashUnavailable(message, fix="It is tried again by itself; else wait.") from error
    except QStashError as error:
        fix = _TOO_MANY_FIX if "status: 412" in str(error) else _FIX
        raise QStashUnavailable(f"QStash refuses: {str(error)[:MESSAGE_LENGTH]}", fix=fix) from error
    except KeyError as error:  # how the client tells that an item of a batch failed
        raise QStashUnavailable("QStash refused a message of a batch.", fix=_FIX) from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError, AttributeError) as error:
        raise QStashUnavailable(f"QStash doesn't answer: {type(error).__name__} {error}", fix=_FIX) from error
