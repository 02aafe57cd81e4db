"""An app that pushes while drains die: with ids and without, twice and late, one by one and in arrays, well and ill."""

import json
import random
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from lib.adapters.redis_client import RedisClient
from lib.core.actions import ACTION_NAMES

USERS, CONTENTS = 5_000, 300
AT_THE_SITE = 10  # users who act at the same time; who has left acts no more, so that his last list stays as it is
ACTIONS_A_VISIT = 100
ELEMENTS_AT_ONCE = 20
MOST_PENDING = 300  # the drains are never idle, and a user's actions are in the log soon after he has left
PAUSE_SECONDS = 0.01
DAYS = 3.0
# Shares of all elements.
REPEATED, WITHOUT_ID, LATE, IN_AN_ARRAY, IN_A_STRING, UNREADABLE = 0.15, 0.3, 0.5, 0.1, 0.1, 0.02


@dataclass
class Pushed:
    """What must be found at the end. An action without an id is told from others by its value."""

    ids: set[str] = field(default_factory=set)
    values: set[float] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    repeated: int = 0

    @property
    def distinct(self) -> int:
        return len(self.ids) + len(self.values)


def user_of(number: int) -> str:
    return f"user-{number % USERS}"


class Producer:
    """Pushes from `start` to `stop`."""

    def __init__(self, redis: RedisClient, *, seed: int) -> None:
        self.pushed = Pushed()
        self.first_user = 0  # of those who are at the site now
        self._redis = redis
        self._chance = random.Random(seed)  # noqa: S311 - no secrets
        # Of the latest: a repetition drops its user's list too, and the lists of those who have left are to stay.
        self._remembered: deque[dict[str, Any]] = deque(maxlen=ACTIONS_A_VISIT)
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> Pushed:
        self._stopping.set()
        self._thread.join()
        if self._error:
            raise self._error
        return self.pushed

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                elements = [self._element() for _ in range(ELEMENTS_AT_ONCE)]
                pending = self._redis.execute("LPUSH", "pending_user_actions", *elements)
                while pending > MOST_PENDING and not self._stopping.wait(PAUSE_SECONDS):
                    pending = self._redis.execute("LLEN", "pending_user_actions")
        except BaseException as error:
            self._error = error

    def _element(self) -> str:
        if self._happens(UNREADABLE):
            raw = f"unreadable {uuid.uuid4()}"
            self.pushed.unreadable.add(raw)
            return raw
        if self._happens(IN_AN_ARRAY):
            return json.dumps([self._action() for _ in range(3)])
        text = json.dumps(self._action())
        return json.dumps(text) if self._happens(IN_A_STRING) else text

    def _action(self) -> dict[str, Any]:
        if self._remembered and self._happens(REPEATED):
            self.pushed.repeated += 1
            return self._chance.choice(self._remembered)
        self.first_user = self.pushed.distinct // ACTIONS_A_VISIT
        action: dict[str, Any] = {
            "user_id": user_of(self.first_user + self._chance.randrange(AT_THE_SITE)),
            "content_id": f"content-{self._chance.randrange(CONTENTS)}",
            "action": self._chance.choice(ACTION_NAMES),
            "timestamp": time.time() - (self._chance.random() * DAYS * 86_400 if self._happens(LATE) else 0.0),
        }
        if self._happens(WITHOUT_ID):
            value = float(len(self.pushed.values) + 1)
            self.pushed.values.add(value)
            return {**action, "value": value}
        action["id"] = str(uuid.uuid4())
        self.pushed.ids.add(action["id"])
        self._remembered.append(action)
        return action

    def _happens(self, share: float) -> bool:
        return self._chance.random() < share
