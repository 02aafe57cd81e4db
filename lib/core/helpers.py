"""How many further calls a tick asks for where more is pending than it can drain itself."""

import math

from lib.core.schedules import PREFIX, PROCESS_ACTIONS, host_of

HELPER_BODY: dict[str, object] = PROCESS_ACTIONS.body | {"helper": True}  # who is asked to help asks nobody


def helpers_wanted(*, pending: int, rate: float, seconds_left: float, seconds_a_call: float, at_most: int) -> int:
    """Helpers for what is `pending` (elements) beyond what this call drains at its measured `rate` (elements a second)
    in the time that it has left. As many as could do it, each in a call's whole time; none for a site that keeps up.
    """
    too_much = pending - rate * max(seconds_left, 0.0)
    if too_much <= 0:
        return 0
    return min(at_most, math.ceil(too_much / max(rate * seconds_a_call, 1.0)))


def helper_ids(app_url: str, count: int, *, now: float, seconds_a_call: float) -> list[str]:
    """Deduplication ids of the helpers that are asked for at `now` (unix seconds). The slot is as long as a call may
    take: other ticks that find the same backlog meanwhile ask for the same helpers."""
    slot = int(now // seconds_a_call * seconds_a_call)
    return [f"{PREFIX}.{host_of(app_url)}.{PROCESS_ACTIONS.name}.helper.{slot}.{number}" for number in range(count)]


def flow_key(app_url: str) -> str:
    """Under which QStash counts how many helpers run at once."""
    return f"{PREFIX}.{host_of(app_url)}.{PROCESS_ACTIONS.name}.helper"
