"""What the jobs' runs did, in Redis, for the status. An idle tick stamps its last_run alone (claim.lua).

recs:job:{name}     hash             last_run (unix seconds)
recs:runs:{name}    list, JSON       the latest RUNS_KEPT runs: at, outcome, duration_ms, summary
recs:counts:{hour}  hash             numbers of one hour since the epoch, see lib/core/counts.py
recs:totals         hash             the same numbers since counting began
"""

import json
from pathlib import Path
from typing import Any

from lib.adapters.redis_client import RedisClient
from lib.core.counts import Counts, counts_of_a_run, hour_of, longest_name

REPORT_TTL_SECONDS = 30 * 86_400
COUNTS_TTL_SECONDS = 48 * 3_600
RUNS_KEPT = 10
TOTALS_KEY = "recs:totals"

_REPORT = Path(__file__).with_name("report_run.lua").read_text()
_READ_COUNTS = """
local counts = {}
for i, key in ipairs(KEYS) do
  counts[i] = redis.call('HGETALL', key)
end
return counts
"""


def report_key(job_name: str) -> str:
    return f"recs:job:{job_name}"


def runs_key(job_name: str) -> str:
    return f"recs:runs:{job_name}"


def counts_key(hour: int) -> str:
    return f"recs:counts:{hour}"


class JobReports:
    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    def write(
        self,
        job_name: str,
        *,
        at: float,
        outcome: str,
        duration_ms: int,
        summary: dict[str, Any],
        counts_alone: bool = False,
    ) -> None:
        """One command. With `counts_alone` it is no run of its own."""
        run = {"at": int(at), "outcome": outcome, "duration_ms": duration_ms, "summary": summary}
        counts = counts_of_a_run(job_name, outcome=outcome, duration_ms=duration_ms, summary=summary)
        self._redis.script(
            _REPORT,
            [report_key(job_name), runs_key(job_name), counts_key(hour_of(at)), TOTALS_KEY],
            [
                int(at),
                "" if counts_alone else json.dumps(run),
                RUNS_KEPT,
                REPORT_TTL_SECONDS,
                COUNTS_TTL_SECONDS,
                longest_name(job_name),
                duration_ms,
                *[part for count in counts.items() for part in count],
            ],
        )

    def last_run(self, job_name: str) -> int | None:
        """When the job ran last (unix seconds), an idle tick included."""
        at = self._redis.execute("HGET", report_key(job_name), "last_run")
        return None if at is None else int(at)

    def runs(self, job_name: str) -> list[dict[str, Any]]:
        """The latest runs that did something, or failed; newest first."""
        texts: list[str] = self._redis.execute("LRANGE", runs_key(job_name), 0, RUNS_KEPT - 1)
        return [json.loads(text) for text in texts]

    def counts(self, hours: list[int]) -> tuple[list[Counts], Counts]:
        """The numbers of each hour, and those since counting began."""
        keys = [*map(counts_key, hours), TOTALS_KEY]
        *by_hour, totals = [_counts(flat) for flat in self._redis.script(_READ_COUNTS, keys, [])]
        return by_hour, totals


def _counts(flat: list[str]) -> Counts:
    return {name: int(number) for name, number in zip(flat[::2], flat[1::2], strict=True)}
