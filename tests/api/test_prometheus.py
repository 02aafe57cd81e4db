"""The status as Prometheus reads it, by the parser of Prometheus's own client."""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from lib.adapters.redis_client import RedisClient
from lib.adapters.services import Services
from lib.core.schedules import JOBS
from lib.jobs.refresh_cold_start import refresh_cold_start
from lib.jobs.report_status import report_status
from lib.jobs.run import Deadline, run_and_report
from lib.web import endpoints
from lib.web.edge import keyed_application
from lib.web.prometheus import CONTENT_TYPE, Metric, exposition
from lib.web.prometheus import _text as text_of
from tests.api.wsgi import Answer, call
from tests.jobs.site import Site, action

SCRAPER = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


@pytest.fixture
def site(services: Services, redis_credentials: tuple[str, str]) -> Iterator[Site]:
    redis = RedisClient(*redis_credentials)
    yield Site(services, redis)
    redis.close()


def ask(services: Services, query: str = "", **headers: str) -> Answer:
    status = keyed_application("/api/status", endpoints.status, services=services)
    return call(status, query=query, headers={"Authorization": "Bearer the-admin-key", **headers})


def families(text: str) -> dict[str, Family]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def samples(text: str) -> dict[tuple[str, str], float]:
    """(name, the values of its labels) -> value."""
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in families(text).values()
        for sample in family.samples
    }


def of_services(services: Services) -> str:
    return exposition(json.loads(json.dumps(report_status(services, datetime.now(UTC)))))


def test_a_site_at_work_is_read_by_prometheus_s_own_parser(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib.adapters.cache.COUNT_EVERY_SECONDS", 0)
    site.add_content("a", topics=["tea"])
    site.act(action("ann", "a"), action("bob", "a"), "unreadable")
    site.embed()
    run_and_report("refresh_cold_start", refresh_cold_start, site.services, Deadline.after(60))
    for _ in range(3):
        site.recommend("ann")
    site.push(action("ann", "a"))
    began = datetime.now(UTC).timestamp()
    found = samples(of_services(site.services))
    assert {part for name, part in found if name == "recs_readable"} == {"queue", "jobs", "embeddings", "cache"}
    assert found["recs_pending_actions", ""] == 1
    assert found["recs_dead_letters", ""] == 1
    assert found["recs_actions_total", "applied"] == 2
    assert found["recs_actions_total", "rejected"] == 1
    assert found["recs_cache_reads_total", "hit"] + found["recs_cache_reads_total", "miss"] == 3
    assert found["recs_job_duration_seconds_count", "process_user_actions"] == 1
    assert 0 < found["recs_job_duration_seconds_sum", "process_user_actions"] < 60
    assert found["recs_job_last_run_success", "refresh_cold_start"] == 1
    assert found["recs_user_embeddings", ""] == 2
    assert found["recs_popularity_half_life_seconds", ""] == pytest.approx(58.8 * 3600)
    times = [value for (name, _), value in found.items() if name.endswith("_timestamp_seconds")]
    assert len(times) == 5  # two jobs, embeddings, model, cold start
    assert all(abs(began - value) < 60 for value in times)


def test_counters_are_counters_and_the_rest_are_gauges(site: Site) -> None:
    site.act(action("ann", "a"))
    kinds = {name: family.type for name, family in families(of_services(site.services)).items()}
    # The parser gives a counter's name without _total, which the text has.
    assert {name for name, kind in kinds.items() if kind == "counter"} == {
        "recs_actions", "recs_cache_reads", "recs_job_failures",
    }  # fmt: skip
    assert [name for name, kind in kinds.items() if kind == "summary"] == ["recs_job_duration_seconds"]
    assert set(kinds.values()) == {"counter", "summary", "gauge"}
    assert all(family.documentation for family in families(of_services(site.services)).values())


def test_counters_never_fall(site: Site) -> None:
    def counters() -> dict[tuple[str, str], float]:
        found = samples(of_services(site.services))
        return {key: value for key, value in found.items() if key[0].endswith(("_total", "_sum", "_count"))}

    site.act(action("ann", "a"), "unreadable")
    before = counters()
    site.act(action("bob", "a"))
    site.recommend("ann")
    after = counters()
    assert after.keys() == before.keys()
    assert all(after[key] >= before[key] for key in before)
    assert sum(after.values()) > sum(before.values())


def test_parts_that_can_t_be_read_have_no_samples_but_say_so() -> None:
    nothing: dict[str, Any] = dict.fromkeys(("pending", "jobs", "user_embeddings", "cache"))
    found = samples(exposition(nothing))
    assert found == {("recs_readable", part): 0 for part in ("queue", "jobs", "embeddings", "cache")}


def test_popularity_that_never_decays_has_an_infinite_half_life(services: Services) -> None:
    status = report_status(services, datetime.now(UTC))
    status["tuning"]["popularity_half_life_hours"] = None
    assert samples(exposition(status))["recs_popularity_half_life_seconds", ""] == math.inf


def test_a_job_that_never_ran_has_no_time_and_no_success(services: Services) -> None:
    found = samples(of_services(services))
    assert not [key for key in found if key[0] in ("recs_job_last_run_timestamp_seconds", "recs_job_last_run_success")]
    assert {key[1] for key in found if key[0] == "recs_job_failures_total"} == set(JOBS)


@pytest.mark.parametrize("value", ['a "quoted" one', "a\\b", "a\nb", "机器学习", "a}b,c=d", "\\n"])
def test_a_label_s_value_comes_back_as_it_was(value: str) -> None:
    text = text_of(Metric("recs_x", "gauge", "Of\nthis \\ test.", [("", {"topic": value}, 1.5)]))
    [family] = text_string_to_metric_families(text)
    assert family.documentation == "Of\nthis \\ test."
    assert [(sample.labels, sample.value) for sample in family.samples] == [({"topic": value}, 1.5)]


@pytest.mark.parametrize(
    ("query", "accept", "content_type"),
    [
        ("", SCRAPER, CONTENT_TYPE),
        ("", "text/plain", CONTENT_TYPE),
        ("format=prometheus", "text/html,*/*", CONTENT_TYPE),
        ("format=prometheus", "*/*", CONTENT_TYPE),
        ("format=json", "text/html", "application/json; charset=utf-8"),
        ("format=html", "*/*", "text/html; charset=utf-8"),
        ("", "*/*", "application/json; charset=utf-8"),
        ("", "", "application/json; charset=utf-8"),
        ("", "application/json, text/plain, */*", "application/json; charset=utf-8"),
        ("", "text/html,application/xhtml+xml,text/plain;q=0.8", "text/html; charset=utf-8"),
    ],
)
def test_who_asks_gets_his_format(services: Services, query: str, accept: str, content_type: str) -> None:
    answer = ask(services, query, Accept=accept)
    assert (answer.status, answer.headers["content-type"]) == (200, content_type)
    if content_type == CONTENT_TYPE:
        assert samples(answer.body.decode())["recs_pending_actions", ""] == 0


@pytest.mark.parametrize("query", ["format=", "format=xml", "format=json&format=html"])
def test_a_format_that_there_is_not_is_bad_input(services: Services, query: str) -> None:
    assert ask(services, query).status == 400


def test_without_the_key_nobody_gets_it(services: Services) -> None:
    status = keyed_application("/api/status", endpoints.status, services=services)
    assert call(status, query="format=prometheus", headers={"Accept": SCRAPER}).status == 401


def test_a_run_in_shards_is_measured_and_a_site_without_one_has_no_such_samples(services: Services) -> None:
    status = report_status(services, datetime.now(UTC))
    assert not [name for name, _ in samples(exposition(status)) if name.startswith("recs_run_")]
    numbers = {"shards": 50, "shards_done": 37, "users": 9_000, "users_done": 7_000}
    status["fan_out"] = {"warm_cache": {**numbers, "stragglers": {"count": 2, "longest": []}}}
    found = samples(exposition(status))
    assert {name.removeprefix("recs_run_"): found["recs_run_" + name, "warm_cache"] for name in numbers} == numbers
    assert found["recs_run_shards_straggling", "warm_cache"] == 2
