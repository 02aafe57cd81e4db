"""Where a drain is killed: before and after each step that another drain could see half done.

`arm` belongs into a process that may die: it replaces the steps of the product by ones that count how often they were
reached. SIGKILL, because nothing that a process does at its end may be what saves its work.
"""

import functools
import os
import signal
from collections.abc import Callable
from typing import Any

from lib.adapters.action_queue import ActionQueue
from lib.adapters.cache import Cache
from lib.adapters.database import Connection
from lib.adapters.job_reports import JobReports
from lib.jobs import apply_batch, publish_ticks

# The way of a batch, step by step: who holds the step, and its name there.
STEPS: dict[str, tuple[Any, str]] = {
    "publish": (publish_ticks, "publish_ticks"),
    "claim": (ActionQueue, "claim"),
    "parse": (apply_batch, "parse_element"),
    "insert": (apply_batch, "insert_actions"),
    "popularity": (apply_batch, "add_popularity"),
    "commit": (Connection, "commit"),
    "invalidate": (Cache, "invalidate"),
    "acknowledge": (ActionQueue, "acknowledge"),
    "report": (JobReports, "write"),
}
POINTS = tuple(f"{when} {step}" for step in STEPS for when in ("before", "after"))


def arm(point: str, *, passes: int) -> None:
    """From now on this process dies when it has come to `point` so many times."""
    when, step = point.split()
    owner, name = STEPS[step]
    left = iter(range(passes - 1))

    def reach() -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, _wrapped(getattr(owner, name), reach, before=when == "before"))


def _wrapped(step: Callable[..., Any], reach: Callable[[], None], *, before: bool) -> Callable[..., Any]:
    @functools.wraps(step)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if before:
            reach()
        result = step(*arguments, **named)
        if not before:
            reach()
        return result

    return wrapped
