"""QStash: schedules, publishing, keys. Bounded in time; its errors in our words."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from qstash import QStash
from qstash.errors import DailyMessageLimitExceededError, QStashError, RateLimitExceededError

from lib.adapters.bounded_http import bound
from lib.core.schedules import Schedule
from lib.errors import QStashUnavailable
from lib.setting_fixes import how_to_set
from lib.text import Text

ANSWER_SECONDS = 10.0
MESSAGE_LENGTH = 300  # characters of what QStash, or a proxy's page, says
BYPASS_HEADER = "x-vercel-protection-bypass"

_QUOTA_FIX = Text(
    "Upgrade at https://console.upstash.com/qstash, or send fewer messages and open /api/init again:\n"
    "ACTIONS_INTERVAL_SECONDS=120"
)
_TOO_MANY_FIX = Text("Delete schedules that you don't need at https://console.upstash.com/qstash, or upgrade the plan.")
_FIX = Text("Check QSTASH_URL, or leave it out; see https://status.upstash.com whether QStash is down.")


@dataclass(frozen=True)
class Delivery:
    """What became of a message that is done. `status` is 0 where the destination never answered."""

    succeeded: bool
    status: int = 0
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    body: str = ""
    error: str = ""


@dataclass(frozen=True)
class Message:
    """One of a batch. No more than `parallelism` messages of the same `flow_key` are delivered at once."""

    url: str
    body: Mapping[str, object]
    retries: int
    deduplication_id: str
    flow_key: str
    parallelism: int


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

    def put_schedules(self, wanted: Iterable[Schedule]) -> None:
        """Makes those that QStash doesn't hold just so. The others keep their last result, their pause and their pace:
        a schedule that is replaced has none, and may take a minute to fire."""
        found = {schedule["scheduleId"]: schedule for schedule in self.schedules()}
        for schedule in wanted:
            if not self._holds(schedule, found.get(schedule.schedule_id, {})):
                self.put_schedule(schedule)

    def _holds(self, wanted: Schedule, found: Mapping[str, Any]) -> bool:
        headers = {name.lower(): values for name, values in (found.get("header") or {}).items()}
        secret = self._headers.get(BYPASS_HEADER)
        return (
            is_as_wanted(wanted, found)
            and found.get("retries") == wanted.retries
            and headers.get(BYPASS_HEADER) == ([secret] if secret else None)
        )

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

    def publish(
        self,
        *,
        url: str,
        body: Mapping[str, object],
        retries: int,
        timeout_seconds: int | None = None,
        deduplication_id: str | None = None,
    ) -> str:
        """Publishes one message and answers its id: the old one's where one with that deduplication id was published
        lately. A delivery may take `timeout_seconds`, or what the plan allows."""
        with _our_errors():
            response = self._client.message.publish_json(
                url=url,
                body=dict(body),
                method="POST",
                headers=self._headers,
                retries=retries,
                timeout=timeout_seconds,
                deduplication_id=deduplication_id,
            )
            return str(response.message_id)  # type: ignore[union-attr]

    def delivery(self, message_id: str) -> Delivery | None:
        """What became of a message without retries; None while it is under way."""
        with _our_errors():
            events = self._list("/v2/events", message_id)["events"]  # the client's own call prints what it reads
            ended = {event["state"]: event for event in events if event["state"] in ("DELIVERED", "FAILED")}
            if "FAILED" not in ended:
                return Delivery(succeeded=True) if ended else None
            letters = self._list("/v2/dlq", message_id)["messages"]
            letter = letters[0] if letters else {}
            return Delivery(
                succeeded=False,
                status=int(letter.get("responseStatus") or ended["FAILED"].get("responseStatus") or 0),
                headers=letter.get("responseHeader") or {},
                body=str(letter.get("responseBody") or ""),
                error=str(ended["FAILED"].get("error") or ""),
            )

    def _list(self, path: str, message_id: str) -> dict[str, Any]:
        answer = self._client.http.request(path=path, method="GET", params={"messageId": message_id})
        if not isinstance(answer, dict):
            raise ValueError("this is no list of messages")
        return answer

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

    def publish_batch(self, messages: Sequence[Message]) -> None:
        """Publishes them in one request. One whose deduplication id was published lately is not delivered again."""
        with _our_errors():
            self._client.message.batch_json(
                [
                    {
                        "url": message.url,
                        "body": dict(message.body),
                        "method": "POST",
                        "headers": self._headers,
                        "retries": message.retries,
                        "deduplication_id": message.deduplication_id,
                        "flow_control": {"key": message.flow_key, "parallelism": message.parallelism},
                    }
                    for message in messages
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


def is_as_wanted(wanted: Schedule, found: Mapping[str, Any]) -> bool:
    """Whether a schedule, as QStash tells it, calls for the same at the same times. The body tells whether the call
    publishes ticks: its cron is the same for five seconds and for a minute."""
    try:
        body = json.loads(found.get("body") or "null")
    except ValueError:
        body = None
    return (found.get("cron"), found.get("destination"), body) == (wanted.cron, wanted.destination, wanted.body)


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except DailyMessageLimitExceededError as error:
        message = Text(
            "QStash takes no more messages today: the plan's {limit} a day are used up.", limit=str(error.limit)
        )
        raise QStashUnavailable(message, fix=_QUOTA_FIX) from error
    except RateLimitExceededError as error:
        burst = Text(" (its burst limit is {limit})", limit=error.limit) if error.limit else Text("")
        message = Text("QStash refuses: too many requests in a burst{burst}.", burst=burst)
        raise QStashUnavailable(message, fix=Text("It is tried again by itself; else wait.")) from error
    except QStashError as error:
        raise _refusal(str(error)) from error
    except KeyError as error:  # how the client tells that an item of a batch failed
        raise QStashUnavailable(Text("QStash refused a message of a batch."), fix=_FIX) from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__} {error}"
        raise QStashUnavailable(Text("QStash doesn't answer: {reason}", reason=reason), fix=_FIX) from error


def _refusal(said: str) -> QStashUnavailable:
    """The client tells the status within its words alone."""
    if "user not found in this region" in said:
        message = Text("QSTASH_TOKEN belongs to another region than the one that is asked.")
        return QStashUnavailable(message, fix=how_to_set("QSTASH_URL"))
    if "status: 401" in said or "status: 403" in said:
        return QStashUnavailable(Text("QStash doesn't know the token in QSTASH_TOKEN."), fix=how_to_set("QSTASH_TOKEN"))
    if "status: 412" in said:
        message = Text("QStash takes no more schedules: {reason}", reason=said[:MESSAGE_LENGTH])
        return QStashUnavailable(message, fix=_TOO_MANY_FIX)
    return QStashUnavailable(Text("QStash refuses: {reason}", reason=said[:MESSAGE_LENGTH]), fix=_FIX)
