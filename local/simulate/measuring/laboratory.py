"""A site on the metered stack, and what every measurement does with it."""

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from lib.adapters.action_queue import PENDING_KEY
from lib.core.schedules import Job
from lib.jobs.choose_contenders import choose_contenders
from local.bench.large_site import Sizes, fill_site
from local.simulate.measuring.stage import Stage
from local.simulate.usage import Usage, total

FILLING_SECONDS = 600.0
PUSH_AT_ONCE = 2_000  # elements in one command


@dataclass
class Laboratory:
    """`claim` is how many elements the functions claim at once; `reconnection` is what a look at the meters costs."""

    stage: Stage
    sizes: Sizes
    claim: int
    quick: bool
    reconnection: Usage = field(default_factory=Usage)
    next_user: int = 1_000_000  # the number of one that nobody has seen

    def measure(self, work: Callable[[], object]) -> Usage:
        return self.stage.measure(work) - self.reconnection

    def measure_often(self, times: int, work: Callable[[], object]) -> Usage:
        """What it takes once, in the mean."""
        times = 2 if self.quick else times
        return 1 / times * self.measure(lambda: [work() for _ in range(times)])

    def deliver(self, job: Job, **body: object) -> dict[str, Any]:
        return self.stage.deliver(job.path, job.body | body)

    def new_users(self, count: int) -> range:
        self.next_user += count
        return range(self.next_user - count, self.next_user)

    def push(self, elements: Sequence[str], *, at_once: int = PUSH_AT_ONCE) -> None:
        for first in range(0, len(elements), at_once):
            self.stage.redis.execute("LPUSH", PENDING_KEY, *elements[first : first + at_once])

    def execute(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.stage.postgres.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def number(self, statement: str) -> float:
        return float(self.execute(statement)[0][0])

    def learn_what_looking_costs(self) -> None:
        times = 2 if self.quick else 6
        self.reconnection = 1 / times * total(self.stage.measure(lambda: None) for _ in range(times))


def fill(stage: Stage, sizes: Sizes) -> None:
    """A site with a log and a model, which is not to be learned anew."""
    with stage.services.database.transaction(seconds=FILLING_SECONDS, vectors=True) as connection:
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        fill_site(connection, sizes, now=datetime.now(UTC))
        connection.execute("UPDATE recs_models SET actions = 1000000000")
    choose_contenders(stage.services)
    with stage.services.database.transaction(seconds=FILLING_SECONDS) as connection:
        connection.execute("ANALYZE")


def element(user: int, content: int) -> str:
    """As the app pushes it."""
    document = {
        "id": str(uuid.uuid4()),
        "user_id": f"user-{user}",
        "content_id": f"content-{content}",
        "action": "view",
        "timestamp": datetime.now(UTC).isoformat(),
    }
    return json.dumps(document)
