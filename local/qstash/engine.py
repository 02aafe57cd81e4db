"""The threads: one waits for what is due next, and each attempt runs on a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable

from local.qstash.delivery import Courier, delivery_headers
from local.qstash.messages import Message
from local.qstash.signing import SigningKeys
from local.qstash.state import State

# A wall clock can jump (sleep, a time server), which no timer notices: look at it at least this often.
LONGEST_WAIT_SECONDS = 1.0
STOP_SECONDS = 2.0
THREAD_NAME = "qstash"

logger = logging.getLogger(__name__)


class Engine:
    """Drives a State. Whoever touches the state holds `changed`, and notifies it afterwards."""

    def __init__(self, state: State, keys: SigningKeys, clock: Callable[[], float]) -> None:
        self.changed = threading.Condition()
        self.clock = clock
        self.state = state
        self.keys = keys
        self._courier = Courier()
        self._stopping = False
        self._workers: set[threading.Thread] = set()
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Looks at the clock again now."""
        with self.changed:
            self.changed.notify_all()

    def stop(self) -> None:
        """Breaks off what is under way and returns within STOP_SECONDS."""
        deadline = time.monotonic() + STOP_SECONDS
        with self.changed:
            self._stopping = True
            self.changed.notify_all()
            workers = [*self._workers]
        self._courier.abort()
        for thread in (self._thread, *workers):
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        with self.changed:
            while not self._stopping:
                now = self.clock()
                for message in self.state.start_due(now):
                    self._begin(message, now)
                self.changed.wait(self._pause())

    def _pause(self) -> float:
        due = self.state.next_due()
        return LONGEST_WAIT_SECONDS if due is None else min(LONGEST_WAIT_SECONDS, max(0.0, due - self.clock()))

    def _begin(self, message: Message, now: float) -> None:
        headers = delivery_headers(message, self.keys.current, now)
        worker = threading.Thread(target=self._deliver, args=(message, headers), name=THREAD_NAME, daemon=True)
        self._workers.add(worker)
        worker.start()

    def _deliver(self, message: Message, headers: dict[str, str]) -> None:
        reply = self._courier.send(message, headers)
        with self.changed:
            self._workers.discard(threading.current_thread())
            if self._stopping:
                return
            if not reply.delivered:
                # Without the query, which may hold a secret.
                url = message.draft.url.partition("?")[0]
                logger.warning("%s to %s, attempt %d: %s", message.id, url, message.retried + 1, reply.error)
            self.state.finish(message, reply, self.clock())
            self.changed.notify_all()
