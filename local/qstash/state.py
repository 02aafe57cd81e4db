"""Everything the server knows, and every decision about it. No clock, no threads, no network: the caller says what
time it is, sends what `start_due` hands out, brings back the replies, and calls one method at a time.
"""

import heapq
import itertools
import json
import math
import secrets
from dataclasses import replace

from local.qstash.deduplication import Deduplication, deduplication_key
from local.qstash.errors import Refused, bad_request, not_found
from local.qstash.flow import FlowControl
from local.qstash.journal import Journal
from local.qstash.messages import Draft, Message, Reply, Verdict, judge, retry_wait
from local.qstash.options import MAX_DELAY_SECONDS, Callback
from local.qstash.schedules import Schedules
from local.qstash.views import callback_view, dead_letter_view, event_view

EVENT_LIMIT = 10_000
DEAD_LETTER_LIMIT = 500

_QueueEntry = tuple[float, int, str]


class State:
    """Messages that wait or are under way, schedules, the log and the dead letters."""

    def __init__(self, *, parallelism: int, schedule_cap: int, message_limit: int | None = None) -> None:
        self.schedules = Schedules(schedule_cap)
        self.events = Journal(EVENT_LIMIT)
        self.dead_letters = Journal(DEAD_LETTER_LIMIT)
        self._parallelism = parallelism
        self._message_limit = message_limit
        self._published = 0
        self._messages: dict[str, Message] = {}
        self._active: set[str] = set()
        self._queue: list[_QueueEntry] = []
        self._parked: dict[str, list[_QueueEntry]] = {}
        self._flow = FlowControl()
        self._deduplication = Deduplication()
        self._numbers = itertools.count(1)

    def publish(self, draft: Draft, now: float) -> tuple[str, bool]:
        """Accepts a message; answers its id, or that of the message it duplicates, and whether it is a duplicate."""
        due = draft.options.not_before or now + draft.options.delay
        if due > now + MAX_DELAY_SECONDS:
            raise bad_request("upstash-not-before is over a year ahead; it is a time in unix seconds")
        key = deduplication_key(draft)
        original = key and self._deduplication.find(key, now)
        if original:
            return original, True
        if self._published == self._message_limit:
            limit = str(self._message_limit)
            raise Refused(429, "daily message limit", {"RateLimit-Limit": limit, "RateLimit-Remaining": "0"})
        self._published += 1
        message = self._accept(draft, due, now)
        if key:
            self._deduplication.remember(key, message.id, now)
        return message.id, False

    def message(self, message_id: str) -> Message:
        if message_id not in self._messages:
            raise not_found("message", message_id)
        return self._messages[message_id]

    def message_ids(self) -> list[str]:
        return list(self._messages)

    def cancel(self, message_id: str, now: float) -> None:
        """Drops a waiting message; one that is under way gets no further attempt."""
        message = self.message(message_id)
        if not message.cancelled:
            self._log(message, "CANCEL_REQUESTED", now)
        message.cancelled = True
        if message_id not in self._active:
            self._drop(message, "CANCELED", now)

    def fire_schedules(self, now: float) -> None:
        """Makes a message for each schedule that is due."""
        for schedule in self.schedules.take_due(now):
            message = self._accept(schedule.draft, now + schedule.draft.options.delay, now, schedule.id)
            schedule.last_run = now
            schedule.last_states = {message.id: "IN_PROGRESS"}

    def start_due(self, now: float) -> list[Message]:
        """Messages whose next attempt begins now, within the parallelism and their flow control."""
        self.fire_schedules(now)
        started = []
        while self._queue and self._queue[0][0] <= now and len(self._active) < self._parallelism:
            entry = heapq.heappop(self._queue)
            message = self._messages.get(entry[2])
            if message and self._admitted(message, entry, now):
                self._active.add(message.id)
                self._log(message, "ACTIVE", now)
                started.append(message)
        return started

    def next_due(self) -> float | None:
        """When `start_due` has something to do again, if nothing is published or finished before."""
        at_capacity = len(self._active) >= self._parallelism
        waiting = self._queue[0][0] if self._queue and not at_capacity else None
        return min((due for due in (waiting, self.schedules.next_due()) if due is not None), default=None)

    def finish(self, message: Message, reply: Reply, now: float) -> None:
        """Takes in the reply to an attempt: delivered, tried again later, or failed."""
        self._active.discard(message.id)
        self._release_flow(message)
        options = message.draft.options
        verdict = judge(reply, message.retried, options)
        self._call_back(options.callback, message, reply, now)
        if verdict is Verdict.DELIVERED:
            self._drop(message, "DELIVERED", now, reply)
            return
        self._log(message, "ERROR", now, reply)
        if message.cancelled:
            self._drop(message, "CANCELED", now)
        elif verdict is Verdict.FAILED:
            self._fail(message, reply, now)
        else:
            self._retry(message, reply, now)

    def _accept(self, draft: Draft, due: float, now: float, schedule_id: str | None = None) -> Message:
        message = Message(f"msg_{secrets.token_hex(12)}", draft, now, due, schedule_id)
        self._messages[message.id] = message
        self._enqueue(message, due)
        self._log(message, "CREATED", now, next_delivery=due)
        return message

    def _enqueue(self, message: Message, due: float) -> None:
        heapq.heappush(self._queue, (due, next(self._numbers), message.id))

    def _admitted(self, message: Message, entry: _QueueEntry, now: float) -> bool:
        """Whether flow control lets it begin; if not, it is put where it will be looked at again."""
        limits = message.draft.options.flow
        again = self._flow.admit(limits, now) if limits else None
        if limits is None or again is None:
            return True
        if math.isinf(again):
            self._parked.setdefault(limits.key, []).append(entry)
        else:
            _, number, message_id = entry
            heapq.heappush(self._queue, (again, number, message_id))
        return False

    def _release_flow(self, message: Message) -> None:
        limits = message.draft.options.flow
        if limits:
            self._flow.release(limits.key)
            for entry in self._parked.pop(limits.key, []):
                heapq.heappush(self._queue, entry)

    def _retry(self, message: Message, reply: Reply, now: float) -> None:
        due = now + retry_wait(reply, message.retried, message.draft.options, now)
        self._log(message, "RETRY", now, reply, next_delivery=due)
        message.retried += 1
        self._enqueue(message, due)

    def _fail(self, message: Message, reply: Reply, now: float) -> None:
        dlq_id = f"{round(now * 1000)}-{next(self._numbers)}"
        self.dead_letters.add(dead_letter_view(message, reply, dlq_id, now))
        self._drop(message, "FAILED", now, reply)
        self._call_back(message.draft.options.failure_callback, message, reply, now, dlq_id)

    def _drop(self, message: Message, state: str, now: float, reply: Reply | None = None) -> None:
        self._log(message, state, now, reply)
        del self._messages[message.id]
        self.schedules.report(message.schedule_id, message.id, "SUCCESS" if state == "DELIVERED" else "FAIL")

    def _call_back(
        self, callback: Callback | None, message: Message, reply: Reply, now: float, dlq_id: str | None = None
    ) -> None:
        if callback:
            body = json.dumps(callback_view(message, reply, dlq_id)).encode()
            draft = replace(message.draft, url=callback.url, body=body, options=callback.options)
            self._accept(draft, now + callback.options.delay, now)

    def _log(
        self,
        message: Message,
        state: str,
        now: float,
        reply: Reply | None = None,
        next_delivery: float | None = None,
    ) -> None:
        self.events.add(event_view(message, state, now, reply, next_delivery))
