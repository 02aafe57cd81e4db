import dataclasses
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lib.adapters.services import Services
from lib.core.ranker.kinds import KINDS
from lib.core.schedules import JOBS, REFRESH_COLD_START
from lib.errors import PostgresUnavailable
from lib.jobs.apply_batch import apply_batch
from lib.jobs.refresh_cold_start import refresh_cold_start
from lib.jobs.report_status import LATEST_LETTERS, LETTER_LENGTH, report_status
from lib.jobs.run import Deadline, run_and_report
from lib.settings import Settings, parse_settings
from tests.jobs.recompute import learned, serve_a_ranker, store
from tests.jobs.site import Site, action

DATABASE_AWAY = "postgresql://ann:secret@127.0.0.1:9/site"

Make = Callable[..., Services]


@pytest.fixture
def with_changes(settings: Settings) -> Iterator[Make]:
    """`with_changes(name=value, ...)`: services with these settings."""
    made: list[Services] = []

    def make(of: Settings = settings, **changes: Any) -> Services:
        made.append(Services(dataclasses.replace(of, **changes)))
        return made[-1]

    yield make
    for services in made:
        services.close()


def status_of(services: Services) -> dict[str, Any]:
    """The status as a program reads it: it must be JSON."""
    document: dict[str, Any] = json.loads(json.dumps(report_status(services, datetime.now(UTC))))
    return document


def is_of_just_now(text: str) -> bool:
    return abs(datetime.now(UTC) - datetime.fromisoformat(text)) < timedelta(minutes=1)


def test_a_site_that_has_done_nothing_yet_shows_zeros_and_no_errors(site: Site) -> None:
    status = status_of(site.services)
    assert status["errors"] == []
    assert (status["pending"], status["in_flight"]) == (0, 0)
    assert status["dead_letters"] == {"count": 0, "latest": []}
    never: dict[str, Any] = {"last_run": None, "outcome": "never ran", "duration_ms": None, "runs": []}
    assert status["jobs"] == dict.fromkeys(JOBS, never)
    assert status["user_embeddings"] == {"users": 0, "updated_at": None}
    assert status["model"] is None
    assert status["cache"]["cold_start_generated_at"] is None
    assert status["cache"]["trending_topics"] == []
    assert len(status["last_day"]["hours"]) == 24
    assert {hour["applied"] for hour in status["last_day"]["hours"]} == {0}
    assert status["last_day"]["cache_hit_rate"] is None
    assert [notice["code"] for notice in status["attention"]] == ["never_ran"]


def test_it_shows_the_last_day_by_the_hour_and_the_totals(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib.adapters.cache.COUNT_EVERY_SECONDS", 0)
    site.act(action("ann", "a"), action("bob", "a"), action("bob", "b"), "unreadable")
    site.recommend("ann")
    for _ in range(3):
        assert site.recommend("ann")["source"] == "cache"
    status = status_of(site.services)
    hours, totals = status["last_day"]["hours"], status["totals"]
    assert status["last_day"]["cache_hit_rate"] == 0.75
    for counted in (totals, {name: sum(hour[name] for hour in hours) for name in totals if name != "jobs"}):
        assert (counted["applied"], counted["rejected"]) == (3, 1)
        assert (counted["cache_hits"], counted["cache_misses"]) == (3, 1)
    runs = [hour["jobs"]["process_user_actions"]["runs"] for hour in hours]
    assert (sum(runs), sum(runs[:-2])) == (1, 0)
    assert totals["jobs"]["process_user_actions"]["runs"] == 1
    assert is_of_just_now(status["jobs"]["process_user_actions"]["runs"][0]["at"])


def test_what_was_applied_before_a_later_batch_failed_is_counted(
    site: Site, monkeypatch: pytest.MonkeyPatch, with_changes: Make
) -> None:
    one_at_a_time = dataclasses.replace(site, services=with_changes(claim_max_elements=1))
    applied: list[str] = []

    def apply_once(*arguments: Any, **named: Any) -> Any:
        applied.append("batch")
        if len(applied) > 1:
            raise PostgresUnavailable
        return apply_batch(*arguments, **named)

    monkeypatch.setattr("lib.jobs.apply_batch.apply_batch", apply_once)
    with pytest.raises(PostgresUnavailable):
        one_at_a_time.act(action("ann", "a"), action("ann", "b"))
    totals = status_of(site.services)["totals"]
    assert totals["applied"] == 1
    assert totals["jobs"]["process_user_actions"] | {"ms": 0} == {"runs": 1, "failed": 1, "ms": 0, "longest_ms": 0}


def test_it_shows_what_waits_and_what_is_in_flight(site: Site) -> None:
    site.push(*[action("ann", "a") for _ in range(3)])
    site.services.queue.claim()
    site.push(*[action("ann", "a") for _ in range(2)])
    status = status_of(site.services)
    assert (status["pending"], status["in_flight"]) == (2, 3)
    assert status["pending_bytes"] == pytest.approx(2 * len(action("ann", "a")), rel=0.05)


def test_it_shows_the_latest_dead_letters_cut_to_a_readable_length_and_counts_all(site: Site) -> None:
    site.act(*["x" * 2000 for _ in range(LATEST_LETTERS + 2)])
    site.act("the last one")
    letters = status_of(site.services)["dead_letters"]
    assert letters["count"] == LATEST_LETTERS + 3
    assert len(letters["latest"]) == LATEST_LETTERS
    assert letters["latest"][0]["raw"] == "the last one"
    assert "not JSON" in letters["latest"][0]["reason"]
    assert is_of_just_now(letters["latest"][0]["at"])
    assert {len(letter["raw"]) for letter in letters["latest"][1:]} == {LETTER_LENGTH}


def test_it_shows_what_the_jobs_did_and_how_fresh_the_results_are(site: Site) -> None:
    site.add_content("a")
    site.act(action("ann", "a"), action("bob", "a"), "unreadable")
    site.embed()
    run_and_report(REFRESH_COLD_START.name, refresh_cold_start, site.services, Deadline.after(60))
    status = status_of(site.services)
    drained = status["jobs"]["process_user_actions"]
    assert (drained["outcome"], drained["applied"], drained["rejected"]) == ("ok", 2, 1)
    assert is_of_just_now(drained["last_run"])
    assert status["jobs"]["refresh_cold_start"]["contents"] == 1
    assert status["user_embeddings"]["users"] == 2
    assert is_of_just_now(status["user_embeddings"]["updated_at"])
    assert is_of_just_now(status["model"]["built_at"])
    assert (status["model"]["items"], status["model"]["skipped"]) == (1, 0)
    assert status["cache"]["cold_start_contents"] == 1


def test_it_shows_the_topics_that_trend(site: Site) -> None:
    topics = [{"topic": "tea", "score": 2.0, "language": None, "users": 9}]
    site.services.cache.store_trending_topics(topics)
    assert status_of(site.services)["cache"]["trending_topics"] == topics


def test_it_shows_how_the_ranking_is_tuned(site: Site) -> None:
    site.act(action("ann", "a"), action("bob", "a"))
    site.embed()
    model = status_of(site.services)["model"]
    assert model["popularity_half_life_hours"] == pytest.approx(58.8)  # between 36 and 96, where the log can't say
    assert model["ranker"] == {"serves": False, "gain": None, "slices": 0, "users": 0, "weights": None}
    serve_a_ranker(site)
    status = status_of(site.services)
    assert status["model"]["popularity_half_life_hours"] == 36.0
    weights = status["model"]["ranker"].pop("weights")
    assert status["model"]["ranker"] == {"serves": True, "gain": 0.1, "slices": 5, "users": 200}
    assert set(weights) == set(KINDS)
    assert sum(weights.values()) == pytest.approx(1, abs=0.01)


def test_it_says_which_half_life_is_in_force_and_who_chose_it(site: Site, with_changes: Make) -> None:
    def tuned(services: Services) -> tuple[float | None, str]:
        tuning = status_of(services)["tuning"]
        return tuning["popularity_half_life_hours"], tuning["popularity_half_life_chosen_by"]

    assert tuned(site.services) == (58.8, "default")
    site.act(action("ann", "a"), action("bob", "a"))
    site.embed()
    assert tuned(site.services) == (58.8, "default")
    serve_a_ranker(site)
    assert tuned(site.services) == (36.0, "replay")
    assert tuned(with_changes(popularity_half_life_hours=100.0)) == (100.0, "setting")
    assert status_of(site.services)["tuning"]["action_weights"]["like"] == 3


def test_popularity_that_never_decays_has_no_half_life(site: Site) -> None:
    site.embed()
    trained = dataclasses.replace(learned(site).trained, position=6.0)
    store(site, dataclasses.replace(learned(site), trained=trained))
    assert status_of(site.services)["model"]["popularity_half_life_hours"] is None


def test_a_model_of_another_release_is_not_shown(site: Site) -> None:
    site.embed()
    site.query("UPDATE recs_models SET format = NULL, learned = NULL, half_life_position = NULL")
    assert status_of(site.services)["model"] is None


def test_an_idle_tick_is_a_run_too(site: Site) -> None:
    site.drain()
    assert is_of_just_now(status_of(site.services)["jobs"]["process_user_actions"]["last_run"])


def test_a_job_that_failed_is_shown_with_its_reason_and_without_secrets(site: Site, with_changes: Make) -> None:
    away = with_changes(database_url=DATABASE_AWAY)
    with pytest.raises(PostgresUnavailable):
        run_and_report(REFRESH_COLD_START.name, refresh_cold_start, away, Deadline.after(60))
    job = status_of(site.services)["jobs"]["refresh_cold_start"]
    assert job["outcome"].startswith("failed: Postgres doesn't answer")
    assert "secret" not in job["outcome"].replace("[secret]", "")
    attention = status_of(site.services)["attention"]
    assert {notice["code"] for notice in attention} == {"never_ran", "failed"}
    assert "Cold-start refresh failed: Postgres doesn't answer" in attention[-1]["message"]


QUEUE_PARTS = {"pending", "pending_bytes", "in_flight", "set_aside", "dead_letters"}
REDIS_PARTS = QUEUE_PARTS | {"jobs", "last_day", "totals", "cache"}
POSTGRES_PARTS = {"user_embeddings", "model", "tuning", "fan_out"}


@pytest.mark.parametrize(
    ("changes", "missing", "said"),
    [
        pytest.param({"redis_url": "http://127.0.0.1:9"}, REDIS_PARTS, "Redis", id="redis is away"),
        pytest.param({"redis_token": "wrong"}, REDIS_PARTS, "Redis", id="redis refuses the token"),
        pytest.param({"database_url": DATABASE_AWAY}, POSTGRES_PARTS, "Postgres", id="postgres is away"),
    ],
)
def test_a_service_that_is_away_takes_its_own_part_with_it_and_no_other(
    site: Site, with_changes: Make, changes: dict[str, str], missing: set[str], said: str
) -> None:
    site.act(action("ann", "a"))
    site.embed()
    status = status_of(with_changes(**changes))
    assert {name for name, part in status.items() if part is None} == missing
    assert status["errors"]
    assert all(said in error for error in status["errors"])


def test_a_database_without_tables_takes_its_own_part_with_it_and_no_other(
    with_changes: Make, make_database: Callable[[], str]
) -> None:
    status = status_of(with_changes(database_url=make_database()))
    assert {name for name, part in status.items() if part is None} == POSTGRES_PARTS
    assert "tables are missing" in status["errors"][0]


def test_with_nothing_set_every_part_is_missing_and_the_variables_are_named(with_changes: Make) -> None:
    status = status_of(with_changes(parse_settings({})))
    assert {name for name, part in status.items() if part is None} == REDIS_PARTS | POSTGRES_PARTS
    assert any("UPSTASH_REDIS_REST_URL is not set" in error for error in status["errors"])
    assert any("DATABASE_URL is not set" in error for error in status["errors"])
