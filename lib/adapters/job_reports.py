"""What each job's last run did, in Redis, for the status.

recs:job:{name}  hash  last_run (unix seconds), outcome, duration_ms, summary (JSON); TTL 30 days
"""

import json
from typing import Any

from lib.adapters.redis_client import RedisClient

REPORT_TTL_SECONDS = 30 * 86_400


def report_key(job_name: str) -> str:
    return f"recs:job:{job_name}"


class JobReports:
    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    def write(self, job_name: str, *, at: float, outcome: str, duration_ms: int, summary: dict[str, Any]) -> None:
        key = report_key(job_name)
        report = {"last_run": int(at), "outcome": outcome, "duration_ms": duration_ms, "summary": json.dumps(summary)}
        self._redis.execute("HSET", key, *[str(part) for field in report.items() for part in field])
        self._redis.execute("EXPIRE", key, REPORT_TTL_SECONDS)

    def read(self, job_name: str) -> dict[str, Any]:
        """The fields of the last report; empty where the job never ran."""
        fields: dict[str, str] = self._redis.execute("HGETALL", report_key(job_name))
        if not fields:
            return {}
        summary = json.loads(fields.get("summary", "{}"))
        duration = fields.get("duration_ms")
        return {
            "last_run": int(fields["last_run"]),
            "outcome": fields.get("outcome", "ok"),
            "duration_ms": int(duration) if duration is not None else None,
            **summary,
        }
