"""How long the current request may still take: no adapter waits for its service any longer.

The edge sets it once, and it holds for everything that the request does in this thread.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from lib.errors import OutOfTime
from lib.text import Text

_ends_at: ContextVar[float] = ContextVar("ends_at", default=math.inf)  # of time.monotonic


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """What runs inside has so many seconds, or less where a limit around it ends earlier."""
    token = _ends_at.set(min(_ends_at.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _ends_at.reset(token)


def seconds_left(at_most: float) -> float:
    """What is left of the limit, but at most so many seconds. Raises OutOfTime where nothing is left."""
    left = _ends_at.get() - time.monotonic()
    if left <= 0:
        raise OutOfTime(fix=Text("See in the log which service is slow; where none is, raise the time budget."))
    return min(left, at_most)
