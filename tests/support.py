"""Helpers that several tests share."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], timeout: float = 10) -> T:
    """The first true value that `condition` returns; fails where there is none within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"did not become true within {timeout:g} s")
        time.sleep(0.02)
    return value
