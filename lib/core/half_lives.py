"""How fast popularity decays, as a position among the kept half-lives: 2.5 is between the third and the fourth.

Without numpy: popular content is read without it.
"""

import math
from bisect import bisect_right

from lib.core.defaults import HALF_LIVES_HOURS

DEFAULT_POSITION = 2.5  # between 36 and 96 hours, where a site's log can't say


def position_of(half_life_hours: float) -> float:
    """The position of a half-life: between two by their logarithms, and beyond the longest by how slowly it decays."""
    finite = HALF_LIVES_HOURS[:-1]
    if half_life_hours <= finite[0]:
        return 0.0
    if half_life_hours >= finite[-1]:
        return len(finite) - finite[-1] / half_life_hours
    faster = bisect_right(finite, half_life_hours) - 1
    step = math.log(finite[faster + 1] / finite[faster])
    return faster + math.log(half_life_hours / finite[faster]) / step


def half_life_at(position: float) -> float:
    """The half-life (hours) of a position: what `position_of` answers it for."""
    finite = HALF_LIVES_HOURS[:-1]
    last = len(finite) - 1
    if position >= last:
        left = last + 1 - position
        return finite[-1] / left if left > 0 else math.inf
    faster = int(position)
    return float(finite[faster] * (finite[faster + 1] / finite[faster]) ** (position - faster))
