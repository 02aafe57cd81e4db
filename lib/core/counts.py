"""What is counted of an hour, and what a day of it says.

Names: cache_hits, cache_misses; of what jobs add up, the name in their summary (applied, ...); of each job
{job}:runs, {job}:failed, {job}:ms (together) and {job}:longest_ms.
"""

from collections.abc import Mapping, Sequence
from typing import Any

HOUR_SECONDS = 3_600
HOURS_SHOWN = 24
# The numbers of summaries that add up; others, such as pending, are of a moment.
ADDED_UP = frozenset({"claimed", "applied", "duplicates", "rejected", "users_updated", "users_warmed", "pruned"})

Counts = Mapping[str, int]


def hour_of(at: float) -> int:
    """The hour since the epoch."""
    return int(at // HOUR_SECONDS)


def last_hours(now: float) -> list[int]:
    """The hours of the last day, the current one last."""
    return [hour_of(now) - ago for ago in reversed(range(HOURS_SHOWN))]


def longest_name(job_name: str) -> str:
    return f"{job_name}:longest_ms"


def counts_of_a_run(job_name: str, *, outcome: str, duration_ms: int, summary: Mapping[str, Any]) -> dict[str, int]:
    """What a run adds to its hour."""
    added = {name: int(number) for name, number in summary.items() if name in ADDED_UP and number}
    failed = {} if outcome == "ok" else {f"{job_name}:failed": 1}
    return {f"{job_name}:runs": 1, f"{job_name}:ms": duration_ms, **failed, **added}


def job_counts(counts: Counts, job_name: str) -> dict[str, int]:
    """The job's own: runs, failed, ms, longest_ms."""
    return {name: counts.get(f"{job_name}:{name}", 0) for name in ("runs", "failed", "ms", "longest_ms")}


def hit_rate(hours: Sequence[Counts]) -> float | None:
    """The share of reads that found the user's list; None where nobody read."""
    hits = sum(counts.get("cache_hits", 0) for counts in hours)
    reads = hits + sum(counts.get("cache_misses", 0) for counts in hours)
    return hits / reads if reads else None
