from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from croniter import croniter

from lib.core.attention import HOURS_BETWEEN, notices
from lib.core.schedules import JOBS, PROCESS_ACTIONS, wanted_schedules

NOW = datetime(2026, 11, 25, 12, 0, 30, tzinfo=UTC)


def healthy(**changes: Any) -> dict[str, Any]:
    """A status in which all is well, and what differs."""
    job = {"last_run": (NOW - timedelta(seconds=3)).isoformat(), "outcome": "ok"}
    return {
        "errors": [],
        "jobs": {name: dict(job) for name in JOBS},
        "fan_out": {},
        "set_aside": [],
        "pending_bytes": 0,
        "dead_letters": {"count": 0},
    } | changes


def codes(status: dict[str, Any], *, interval_seconds: int = 5) -> list[str]:
    return [notice.code for notice in notices(status, now=NOW, interval_seconds=interval_seconds)]


def with_job(name: str, **fields: Any) -> dict[str, Any]:
    status = healthy()
    status["jobs"][name] |= fields
    return status


def ago(**time: float) -> str:
    return (NOW - timedelta(**time)).isoformat()


def test_where_all_is_well_nothing_needs_a_look() -> None:
    assert codes(healthy()) == []


@pytest.mark.parametrize(
    ("name", "last_run", "is_late"),
    [
        ("process_user_actions", ago(seconds=120), False),
        ("process_user_actions", ago(seconds=130), True),
        ("warm_cache", ago(hours=1.9), False),
        ("warm_cache", ago(hours=2.1), True),
        ("process_user_embeddings", ago(hours=3.9), False),
        ("process_user_embeddings", ago(hours=4.1), True),
        ("refresh_cold_start", ago(hours=11.9), False),
        ("refresh_cold_start", ago(hours=12.1), True),
    ],
)
def test_a_job_that_missed_a_run_is_overdue(name: str, last_run: str, is_late: bool) -> None:
    assert codes(with_job(name, last_run=last_run)) == (["overdue"] if is_late else [])


def test_ticks_that_come_seldom_are_late_later() -> None:
    status = with_job("process_user_actions", last_run=ago(minutes=55))
    assert codes(status, interval_seconds=1_800) == []
    assert codes(status, interval_seconds=600) == ["overdue"]


def test_the_hours_between_runs_are_those_of_the_schedules() -> None:
    for schedule in wanted_schedules("https://shop.example.com", interval_seconds=5):
        name = schedule.schedule_id.rpartition(".")[2]
        times = croniter(schedule.cron, NOW)
        between = times.get_next(float) - times.get_next(float)
        assert name == PROCESS_ACTIONS.name or HOURS_BETWEEN[name] * 3_600 == -between


def test_only_ticks_that_never_came_are_missed() -> None:
    never = {"last_run": None, "outcome": "never ran"}
    assert codes(healthy(jobs=dict.fromkeys(JOBS, never))) == ["never_ran"]


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"errors": ["Redis doesn't answer"], "jobs": None}, "unreadable", "Redis doesn't answer"),
        ({"errors": ["Redis doesn't answer"] * 3, "jobs": None}, "unreadable", "Redis doesn't answer"),
        ({"set_aside": [{}, {}]}, "set_aside", "2 batches"),
        ({"set_aside": [{}]}, "set_aside", "1 batch failed"),
        ({"pending_bytes": 60_000_000}, "large", "60 MB"),
        ({"dead_letters": {"count": 7}}, "dead_letters", "7 actions"),
        ({"dead_letters": {"count": 1}}, "dead_letters", "1 action could"),
    ],
)
def test_each_trouble_is_named(changes: dict[str, Any], code: str, said: str) -> None:
    [notice] = notices(healthy(**changes), now=NOW, interval_seconds=5)
    assert notice.code == code
    assert said in notice.message


def test_a_job_that_failed_is_named_with_its_reason() -> None:
    [notice] = notices(with_job("warm_cache", outcome="failed: it broke"), now=NOW, interval_seconds=5)
    assert (notice.code, notice.message) == ("failed", "Cache warming failed: it broke")


def test_parts_that_are_null_are_no_trouble_of_their_own() -> None:
    nothing = dict.fromkeys(healthy()) | {"errors": ["Redis doesn't answer"]}
    assert codes(nothing) == ["unreadable"]


def test_shards_that_stand_still_need_a_look_and_those_under_way_do_not() -> None:
    def status(count: int) -> dict[str, Any]:
        return healthy(fan_out={"warm_cache": {"shards": 9, "stragglers": {"count": count, "longest": []}}})

    assert codes(status(0)) == []
    [notice] = notices(status(2), now=NOW, interval_seconds=5)
    assert (notice.code, notice.status) == ("stragglers", "warning")
    assert notice.message.startswith("Cache warming: 2 of 9 shards have stood still for over 5 minutes.")


def test_a_run_that_was_not_done_when_the_next_began_needs_a_look() -> None:
    assert codes(with_job("warm_cache", shards_left_behind=0)) == []
    assert codes(with_job("warm_cache", shards_left_behind=3)) == ["left_behind"]
