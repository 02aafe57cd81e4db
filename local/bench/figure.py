"""What a benchmark answers."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`ratio` is value / against_value; `target` says what it should be."""

    name: str
    value: float
    unit: str
    against: str
    against_value: float
    ratio: float
    target: str


def seconds(work: Callable[[], object]) -> float:
    """How long the work took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
