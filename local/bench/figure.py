"""What a benchmark answers."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`ratio` is value / against_value. `target` says what the ratio should be, or the value where it names the unit:
    ">= 0.7", "= 1", "< 50 ms"; empty where nothing is asked."""

    name: str
    value: float
    unit: str
    against: str
    against_value: float
    ratio: float
    target: str


def margin(figure: Figure) -> float | None:
    """How many times better than its target a figure is: 1 just reaches it. None without a target."""
    if not figure.target:
        return None
    match = re.fullmatch(r"(>=|<=|<|=) ([\d.]+)(?: (.+))?", figure.target)
    if match is None or match[3] not in (None, figure.unit):
        raise ValueError(f"{figure.name} has a target that can't be read: {figure.target}")
    got, wanted = figure.value if match[3] else figure.ratio, float(match[2])
    if match[1] == "=":
        return 1.0 if got == wanted else min(got, wanted) / max(got, wanted)
    return got / wanted if match[1] == ">=" else wanted / got


def seconds(work: Callable[[], object]) -> float:
    """How long the work took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
