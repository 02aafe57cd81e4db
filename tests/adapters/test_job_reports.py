import pytest

from lib.adapters.job_reports import COUNTS_TTL_SECONDS, REPORT_TTL_SECONDS, RUNS_KEPT, JobReports
from lib.adapters.redis_client import RedisClient

HOUR = 3_600


@pytest.fixture
def reports(redis: RedisClient) -> JobReports:
    return JobReports(redis)


def run(reports: JobReports, *, at: float, applied: int = 0, duration_ms: int = 10, outcome: str = "ok") -> None:
    name, summary = "process_user_actions", {"applied": applied, "pending": 5}
    reports.write(name, at=at, outcome=outcome, duration_ms=duration_ms, summary=summary)


def test_a_job_that_never_ran_has_neither_a_last_run_nor_counts(reports: JobReports) -> None:
    assert reports.last_run("warm_cache") is None
    assert reports.runs("warm_cache") == []
    assert reports.counts([1, 2]) == ([{}, {}], {})


def test_the_latest_runs_are_kept_newest_first_and_no_others(reports: JobReports, redis: RedisClient) -> None:
    for at in range(RUNS_KEPT + 5):
        run(reports, at=1_000 + at, applied=at)
    runs = reports.runs("process_user_actions")
    assert [each["at"] for each in runs] == list(range(1_000 + RUNS_KEPT + 4, 1_004, -1))
    assert runs[0] == {"at": 1_014, "outcome": "ok", "duration_ms": 10, "summary": {"applied": 14, "pending": 5}}
    assert redis.execute("LLEN", "recs:runs:process_user_actions") == RUNS_KEPT
    assert reports.last_run("process_user_actions") == 1_014


def test_numbers_add_up_hour_by_hour_and_in_all(reports: JobReports) -> None:
    run(reports, at=10 * HOUR, applied=3, duration_ms=40)
    run(reports, at=11 * HOUR - 1, applied=4, duration_ms=70)
    run(reports, at=11 * HOUR - 1, duration_ms=20, outcome="failed: it broke")
    run(reports, at=11 * HOUR, applied=5)
    by_hour, totals = reports.counts([9, 10, 11])
    job = "process_user_actions"
    assert by_hour[0] == {}
    assert by_hour[1] == {
        f"{job}:runs": 3, f"{job}:ms": 130, f"{job}:failed": 1, f"{job}:longest_ms": 70, "applied": 7,
    }  # fmt: skip
    assert by_hour[2]["applied"] == 5
    assert totals == {f"{job}:runs": 4, f"{job}:ms": 140, f"{job}:failed": 1, "applied": 12}


def test_all_of_it_goes_by_itself(reports: JobReports, redis: RedisClient) -> None:
    run(reports, at=10 * HOUR)
    ttls = {key: redis.execute("TTL", key) for key in redis.execute("KEYS", "*")}
    limits = {
        "recs:job:process_user_actions": REPORT_TTL_SECONDS,
        "recs:runs:process_user_actions": REPORT_TTL_SECONDS,
        "recs:counts:10": COUNTS_TTL_SECONDS,
        "recs:totals": REPORT_TTL_SECONDS,
    }
    assert ttls.keys() == limits.keys()
    assert all(0 < ttls[key] <= limits[key] for key in limits)
