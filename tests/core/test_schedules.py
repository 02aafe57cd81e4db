"""The four schedules, and the ticks that a minute holds."""

import re
from datetime import UTC, datetime

import pytest
from croniter import croniter

from lib.core.schedules import (
    JOBS,
    MOST_PARTS,
    Part,
    deduplication_id,
    every_words,
    host_of,
    interval_problem,
    messages_a_day,
    monthly_cost,
    owner_of,
    part_deduplication_id,
    part_of,
    slots_ahead,
    tick_cron,
    wanted_schedules,
)

APP_URL = "https://shop.example.com"
MINUTE = 1_767_225_600  # 2026-01-01 00:00 UTC
IN_A_MINUTE = [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30]
IN_AN_HOUR = [60, 120, 180, 240, 300, 360, 600, 720, 900, 1_200, 1_800]
LAST_SECOND = 0.999_999


def test_there_are_four_schedules_with_stable_ids_for_exact_urls() -> None:
    schedules = wanted_schedules(APP_URL, interval_seconds=5)
    assert [(s.schedule_id, s.cron, s.destination, s.body, s.every) for s in schedules] == [
        (
            "recs.shop.example.com.process_user_embeddings",
            "0 */2 * * *",
            "https://shop.example.com/api/actions/batch-process",
            {"action": "process_user_embeddings"},
            "every 2 hours",
        ),
        (
            "recs.shop.example.com.process_user_actions",
            "* * * * *",
            "https://shop.example.com/api/actions/batch-process",
            {"action": "process_user_actions", "publish_ticks": True},
            "every 5 seconds",
        ),
        (
            "recs.shop.example.com.warm_cache",
            "0 * * * *",
            "https://shop.example.com/api/recommend/cache/warm",
            {"action": "warm_cache"},
            "every hour",
        ),
        (
            "recs.shop.example.com.refresh_cold_start",
            "0 */6 * * *",
            "https://shop.example.com/api/recommend/cold-start/refresh",
            {"action": "refresh_cold_start"},
            "every 6 hours",
        ),
    ]
    assert wanted_schedules(APP_URL, interval_seconds=5) == schedules


@pytest.mark.parametrize("interval", [60, 120])
def test_an_interval_of_minutes_is_a_cron_alone_and_publishes_no_ticks(interval: int) -> None:
    [ticks] = [s for s in wanted_schedules(APP_URL, interval_seconds=interval) if s.schedule_id.endswith("actions")]
    assert ticks.body == {"action": "process_user_actions"}
    assert slots_ahead(MINUTE, interval_seconds=interval) == []


@pytest.mark.parametrize("interval", IN_A_MINUTE + IN_AN_HOUR)
def test_every_cron_has_the_five_fields_that_qstash_knows(interval: int) -> None:
    """Six, with seconds, are refused; */5 in the first of five is every five minutes."""
    for schedule in wanted_schedules(APP_URL, interval_seconds=interval):
        assert len(schedule.cron.split(" ")) == 5
        assert croniter.is_valid(schedule.cron)


@pytest.mark.parametrize("interval", IN_A_MINUTE + IN_AN_HOUR)
def test_the_schedule_and_the_slots_together_tick_at_every_interval(interval: int) -> None:
    fires = croniter(tick_cron(interval), datetime.fromtimestamp(MINUTE - 1, UTC))
    ticks: list[int] = []
    while not ticks or ticks[-1] < MINUTE + 7_200:
        fired = int(fires.get_next(float))
        ticks += [fired, *slots_ahead(fired + 0.3, interval_seconds=interval)]
    assert ticks == list(range(MINUTE, ticks[-1] + 1, interval))


def test_a_minute_of_five_second_ticks_is_the_schedules_own_and_eleven_more() -> None:
    assert slots_ahead(MINUTE, interval_seconds=5) == [MINUTE + second for second in range(5, 60, 5)]


@pytest.mark.parametrize("interval", IN_A_MINUTE)
def test_at_every_second_of_a_minute_the_slots_are_those_still_ahead_in_it(interval: int) -> None:
    for second in range(60 - interval):
        ahead = [MINUTE + tick for tick in range(interval, 60, interval) if tick > second]
        assert slots_ahead(MINUTE + second, interval_seconds=interval) == ahead
        assert slots_ahead(MINUTE + second + LAST_SECOND, interval_seconds=interval) == ahead


@pytest.mark.parametrize("interval", IN_A_MINUTE)
def test_a_clock_up_to_one_interval_behind_publishes_the_minute_that_has_begun(interval: int) -> None:
    wanted = [MINUTE + 60 + tick for tick in range(interval, 60, interval)]
    for second in range(60 - interval, 60):
        assert slots_ahead(MINUTE + second, interval_seconds=interval) == wanted
        assert slots_ahead(MINUTE + second + LAST_SECOND, interval_seconds=interval) == wanted


@pytest.mark.parametrize(
    ("body", "part"),
    [
        pytest.param({}, Part(MINUTE, 1), id="a run's first"),
        pytest.param({"run": 7, "part": 2}, Part(7, 2), id="a continuation"),
        pytest.param({"run": 7, "part": MOST_PARTS}, Part(7, MOST_PARTS), id="the last"),
        pytest.param({"run": 7, "part": MOST_PARTS + 1}, None, id="beyond the last"),
        pytest.param({"run": 7}, None, id="no number"),
        pytest.param({"part": 2}, None, id="no run"),
        pytest.param({"run": 7, "part": 0}, None, id="zero"),
        pytest.param({"run": "7", "part": 2}, None, id="a text"),
        pytest.param({"run": 7, "part": 2.5}, None, id="half a part"),
        pytest.param({"run": 10**12, "part": 2}, None, id="milliseconds"),
    ],
)
def test_a_body_says_which_part_of_a_run_it_asks_for(body: dict[str, object], part: Part | None) -> None:
    assert part_of(body, MINUTE + 0.5) == part


def test_a_part_says_in_the_next_ones_body_which_that_is_up_to_the_last() -> None:
    following = Part(7, 1).next
    assert following is not None
    assert part_of(following.body, MINUTE) == Part(7, 2)
    assert Part(7, MOST_PARTS).next is None


def test_no_two_parts_runs_or_hosts_share_a_deduplication_id() -> None:
    hosts, parts = (APP_URL, "http://localhost:3000"), [Part(run, number) for run in (1, 11) for number in (1, 2, 11)]
    ids = {part_deduplication_id(host, part) for host in hosts for part in parts}
    assert len(ids) == len(hosts) * len(parts)
    assert not any(":" in name for name in ids)


def test_no_two_jobs_hosts_intervals_or_slots_share_a_deduplication_id() -> None:
    ids = [
        deduplication_id(app_url, interval_seconds=interval, slot=slot)
        for app_url in (APP_URL, "https://www.example.com", "http://localhost:3000", "http://localhost:3001")
        for interval in (5, 10)
        for slot in slots_ahead(MINUTE, interval_seconds=interval)
    ]
    assert len(set(ids)) == len(ids)
    assert ids[0] == "recs.shop.example.com.process_user_actions.5.1767225605"


@pytest.mark.parametrize(
    ("app_url", "host"),
    [
        ("https://shop.example.com", "shop.example.com"),
        ("http://localhost:3000", "localhost-3000"),
        ("http://[::1]:3000", "---1--3000"),
        ("https://shop_1.example.com", "shop-1.example.com"),
        ("https://bücher.example", "b-cher.example"),
    ],
)
def test_ids_hold_only_characters_that_qstash_allows_and_name_their_host(app_url: str, host: str) -> None:
    assert host_of(app_url) == host
    for schedule in wanted_schedules(app_url, interval_seconds=5):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", schedule.schedule_id)
        assert owner_of(schedule.schedule_id) == host
    assert ":" not in deduplication_id(app_url, interval_seconds=5, slot=MINUTE)


@pytest.mark.parametrize(
    "schedule_id",
    ["", "scd_123", "recs.warm_cache", "recs..warm_cache", "recs.a.b", "x.recs.a.warm_cache", "recs.a.warm_cache\n"],
)
def test_a_schedule_of_another_app_has_no_owner_of_ours(schedule_id: str) -> None:
    assert owner_of(schedule_id) is None


def test_a_host_may_be_called_like_a_job() -> None:
    for name in JOBS:
        assert owner_of(f"recs.{name}.{name}") == name


@pytest.mark.parametrize(("interval", "messages"), [(5, 17_320), (1, 86_440), (60, 1_480), (120, 760)])
def test_messages_a_day_count_the_ticks_and_the_forty_of_the_other_jobs(interval: int, messages: int) -> None:
    assert messages_a_day(interval) == messages


def test_five_seconds_cost_what_qstash_charges_for_half_a_million_messages() -> None:
    assert monthly_cost(5) == {
        "messages_a_day": 17_320,
        "messages_a_month": 519_600,
        "qstash_dollars_a_month": 5.2,
        "redis_commands_a_month": 518_400,
    }


@pytest.mark.parametrize("interval", IN_A_MINUTE + IN_AN_HOUR)
def test_an_interval_that_divides_a_minute_or_an_hour_is_fine(interval: int) -> None:
    assert interval_problem(interval) is None


@pytest.mark.parametrize(
    ("intervals", "words"), [((-60, 0, 7, 45, 59), "a minute"), ((61, 90, 420, 2_400, 3_600, 7_200), "an hour")]
)
def test_any_other_interval_is_a_problem_that_names_what_would_do(intervals: tuple[int, ...], words: str) -> None:
    for interval in intervals:
        assert f"divide {words}" in (interval_problem(interval) or "")


@pytest.mark.parametrize(
    ("interval", "words"),
    [(1, "every second"), (5, "every 5 seconds"), (60, "every minute"), (300, "every 5 minutes")],
)
def test_intervals_are_told_in_words(interval: int, words: str) -> None:
    assert every_words(interval) == words
