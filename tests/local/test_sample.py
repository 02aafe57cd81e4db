"""The traffic that scripts/dev feeds, as the app that it plays would make it."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import psycopg
import pytest

from lib.adapters.services import Services
from lib.core.actions import Action, parse_element
from lib.jobs.process_actions import process_user_actions
from lib.jobs.refresh_cold_start import refresh_cold_start
from lib.jobs.run import Deadline
from lib.settings import Settings
from local import sample
from local.sample import FIRST_ACTIONS, SampleTraffic, add_content
from tests.support import eventually, in_a_thread

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "PAUSE_SECONDS", 0.01)


@pytest.fixture
def jobs() -> list[tuple[str, str]]:
    """The calls that the app gets: path and action."""
    return []


@pytest.fixture
def app(jobs: list[tuple[str, str]]) -> Iterator[str]:
    """The address of an app that notes its calls in `jobs`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            jobs.append((self.path, json.loads(body)["action"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    with in_a_thread(server):
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def environment(settings: Settings, app: str) -> dict[str, str]:
    return {
        "DATABASE_URL": settings.database_url,
        "UPSTASH_REDIS_REST_URL": settings.redis_url,
        "UPSTASH_REDIS_REST_TOKEN": settings.redis_token,
        "NEXT_PUBLIC_APP_URL": app,
    }


def content_ids(settings: Settings) -> set[str]:
    with psycopg.connect(settings.database_url) as connection:
        return {content_id for (content_id,) in connection.execute("SELECT content_id FROM content")}


def test_every_sample_action_can_be_read_and_is_about_sample_content(
    services: Services, environment: dict[str, str]
) -> None:
    with SampleTraffic(environment):
        eventually(lambda: services.queue.count_pending() >= FIRST_ACTIONS)
    elements = services.queue.claim().elements
    read = [next(parse_element(raw, received_at=datetime.now(UTC), fallback_id="x")) for raw in elements]
    actions = [item for item in read if isinstance(item, Action)]
    assert len(actions) == len(elements) == FIRST_ACTIONS
    assert len({action.event_id for action in actions}) == FIRST_ACTIONS
    assert {action.content_id for action in actions} <= content_ids(services.settings)


def test_users_keep_to_their_tastes(services: Services, environment: dict[str, str]) -> None:
    with SampleTraffic(environment):
        eventually(lambda: services.queue.count_pending() >= FIRST_ACTIONS)
    actions = [json.loads(raw) for raw in services.queue.claim().elements]
    topics = [action["content_id"].split("-")[1] for action in actions if action["user_id"] == "sample-user-0"]
    assert topics.count("travel") > len(topics) / 2


def test_another_start_with_the_same_data_adds_nothing_to_the_past(
    services: Services, environment: dict[str, str]
) -> None:
    totals = []
    for _ in range(2):
        with SampleTraffic(environment):
            eventually(lambda: services.queue.count_pending() >= FIRST_ACTIONS)
        totals.append(process_user_actions(services, Deadline.after(60)))
    assert totals[0]["duplicates"] == 0
    assert totals[1]["duplicates"] == FIRST_ACTIONS


def test_content_of_a_topic_is_more_alike_than_that_of_two() -> None:
    topics = ("music", "travel")
    music, travel = (np.array([sample.embedding(topic, number) for number in range(9)]) for topic in topics)
    assert (music[:4] @ music[4:].T).mean() > 4 * abs((music @ travel.T).mean())


def test_one_topic_of_each_language_trends(services: Services, environment: dict[str, str]) -> None:
    with SampleTraffic(environment):
        eventually(lambda: services.queue.count_pending() >= FIRST_ACTIONS)
        process_user_actions(services, Deadline.after(60))
    refresh_cold_start(services, datetime.now(UTC), Deadline.after(60))
    trending = {(topic["topic"], topic["language"]) for topic in services.cache.trending_topics()}
    assert trending == {("cinema", "en"), ("摄影", "zh")}


def test_once_the_first_actions_are_applied_the_jobs_run_and_traffic_goes_on(
    services: Services, environment: dict[str, str], jobs: list[tuple[str, str]]
) -> None:
    with SampleTraffic(environment):
        eventually(lambda: services.queue.count_pending() >= FIRST_ACTIONS)
        assert jobs == []
        process_user_actions(services, Deadline.after(60))
        eventually(lambda: len(jobs) == 3)
        eventually(lambda: services.queue.count_pending() > 0)
    assert jobs == [
        ("/api/actions/batch-process", "process_user_embeddings"),
        ("/api/recommend/cache/warm", "warm_cache"),
        ("/api/recommend/cold-start/refresh", "refresh_cold_start"),
    ]


def test_nothing_is_pushed_after_the_end(services: Services, environment: dict[str, str]) -> None:
    with SampleTraffic(environment):
        eventually(lambda: services.queue.count_pending() >= FIRST_ACTIONS)
    assert "sample-traffic" not in [thread.name for thread in threading.enumerate()]


def test_adding_the_content_again_changes_nothing(settings: Settings) -> None:
    add_content(settings.database_url, now=NOW)
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("UPDATE content SET available = false WHERE content_id = 'sample-travel-0'")
    add_content(settings.database_url, now=NOW)
    with psycopg.connect(settings.database_url) as connection:
        rows = connection.execute("SELECT content_id FROM content WHERE NOT available").fetchall()
    assert rows == [("sample-travel-0",)]
    assert len(content_ids(settings)) == len(sample.TOPICS) * sample.CONTENTS_A_TOPIC
