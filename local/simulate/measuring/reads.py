"""What the app does: it pushes, and asks for lists."""

from local.simulate.measuring.laboratory import Laboratory, element
from local.simulate.measuring.shares import Run, solve
from local.simulate.usage import Usage


def measure_pushes(lab: Laboratory) -> dict[str, Usage]:
    """In commands of 1 and of 20; nobody drains meanwhile."""
    runs: list[Run] = []
    for at_once in (1, 20):
        elements = [element(user, 1) for user in lab.new_users(100)]
        used = lab.measure(lambda: lab.push(elements, at_once=at_once))  # noqa: B023 - called at once
        runs.append(({"push": 100 // at_once, "pushed_action": 100 - 100 // at_once}, used))
    lab.stage.redis.execute("DEL", "pending_user_actions")
    return solve(("push", "pushed_action"), runs)


def measure_reads(lab: Laboratory) -> tuple[dict[str, Usage], float]:
    """Answers also how long a cached list is, in bytes."""
    count = min(8 if lab.quick else 80, lab.sizes.users // 2)
    numbers = range(lab.sizes.users - count, lab.sizes.users)
    lab.stage.services.cache.invalidate([f"user-{number}" for number in numbers])
    computed = 1 / count * lab.measure(lambda: _read(lab, numbers, "computed"))
    cached = 1 / count * lab.measure(lambda: _read(lab, numbers, "cache"))
    unknown = 1 / count * lab.measure(lambda: _read(lab, range(-count, 0), "cold_start"))
    bytes_ = lab.stage.redis.execute("STRLEN", f"recommend:user:user-{numbers[0]}")
    return {"computed_read": computed, "cached_read": cached, "unknown_read": unknown}, float(bytes_)


def _read(lab: Laboratory, numbers: range, source: str) -> None:
    for number in numbers:
        found = lab.stage.read(f"user-{number}")
        assert found == source, f"user-{number} got a list of source {found}, not {source}"
