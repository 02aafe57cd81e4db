"""The six functions as the platform calls them, on real servers."""

import base64
import dataclasses
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from lib.adapters.redis_client import RedisClient
from lib.adapters.services import Services
from lib.core.schedules import BATCH_PROCESS_PATH, REFRESH_PATH, UPDATE_EMBEDDINGS, WARM_CACHE, WARM_PATH
from lib.settings import Problem, Settings
from lib.text import Text
from lib.web import endpoints
from lib.web.edge import Application, keyed_application, signed_application
from local.qstash.server import QStashServer
from tests.api.signing import sign
from tests.api.wsgi import Answer, call
from tests.jobs.recompute import serve_a_ranker
from tests.jobs.site import Site

WithChanges = Callable[..., Services]
NOWHERE = "http://127.0.0.1:9"


def post(services: Services, path: str, body: object) -> Answer:
    handlers = {BATCH_PROCESS_PATH: endpoints.batch_process, WARM_PATH: endpoints.warm, REFRESH_PATH: endpoints.refresh}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    token = sign(raw, services.settings.app_url + path, services.settings.qstash_current_signing_key)
    application = signed_application(path, handlers[path], services=services)
    return call(application, "POST", path, body=raw, headers={"Upstash-Signature": token})


def get(application: Application, query: str = "", **headers: str) -> Answer:
    return call(application, query=query, headers={"Authorization": "Bearer the-admin-key", **headers})


def recommend(services: Services, query: str) -> Answer:
    return get(keyed_application("/api/recommend", endpoints.recommendations, services=services), query)


def push(services: Services, *actions: dict[str, Any]) -> None:
    url, token = services.settings.redis_url, services.settings.redis_token
    command = ["LPUSH", "pending_user_actions", *[json.dumps(action) for action in actions]]
    httpx.post(url, json=command, headers={"Authorization": f"Bearer {token}"}).raise_for_status()


def like(user_id: str, content_id: str, **fields: object) -> dict[str, Any]:
    return {"user_id": user_id, "content_id": content_id, "action": "like", **fields}


def messages(qstash: QStashServer) -> list[dict[str, Any]]:
    answer = httpx.get(f"{qstash.url}/v2/events", headers={"Authorization": f"Bearer {qstash.token}"})
    created = [event for event in answer.json()["events"] if event["state"] == "CREATED"]
    assert isinstance(created, list)
    return created


@pytest.fixture
def with_changes(settings: Settings) -> Iterator[WithChanges]:
    """Services whose settings differ, closed at the end."""
    made: list[Services] = []

    def make(of: Settings = settings, **changes: Any) -> Services:
        made.append(Services(dataclasses.replace(of, **changes)))
        return made[-1]

    yield make
    for services in made:
        services.close()


def test_an_action_goes_the_whole_way_from_the_list_to_a_recommendation(services: Services) -> None:
    push(services, like("ada", "a"), like("ada", "b"), like("bob", "a"), like("bob", "b"), like("bob", "c"))
    drained = post(services, BATCH_PROCESS_PATH, {"action": "process_user_actions"}).json
    assert drained == {"claimed": 5, "applied": 5, "duplicates": 0, "rejected": 0, "pending": 0}
    assert post(services, BATCH_PROCESS_PATH, {"action": "process_user_embeddings"}).json["users_updated"] == 2
    answer = recommend(services, "user_id=ada&n=5").json
    assert (answer["user_id"], answer["source"]) == ("ada", "computed")
    assert [item["content_id"] for item in answer["items"]] == ["c"]
    assert recommend(services, "user_id=ada").json["source"] == "cache"
    assert post(services, WARM_PATH, b"").json["users_warmed"] == 2
    assert post(services, REFRESH_PATH, b"").json["contents"] == 3
    assert recommend(services, "user_id=nobody").json["source"] == "cold_start"


@pytest.mark.parametrize("path", [BATCH_PROCESS_PATH, WARM_PATH, REFRESH_PATH])
def test_a_ping_answers_and_does_nothing_else(with_changes: WithChanges, path: str) -> None:
    services = with_changes(redis_url=NOWHERE, database_url="postgresql://x@127.0.0.1:9/x")
    assert post(services, path, {"action": "ping"}).status == 200


IMPOSSIBLE = {
    "empty": b"",
    "cut": b"{",
    "null": b"null",
    "an array": b"[]",
    "a number": b"7",
    "a string": b'"process_user_actions"',
    "no action": b"{}",
    "another endpoint's": b'{"action": "warm_cache"}',
    "a null action": b'{"action": null}',
    "deep": b"[" * 100_000,
    "not UTF-8": b"\xff",
    "half of a continuation": b'{"action": "process_user_embeddings", "part": 2}',
    "a shard of no run": b'{"action": "process_user_embeddings", "shard": 0}',
    "no number of a shard": b'{"action": "process_user_embeddings", "run": 1700000000, "shard": "0"}',
}
IMPOSSIBLE_TO_WARM = {
    "a shard of no run": b'{"shard": 0}',
    "no shard": b'{"run": 1700000000, "shard": null}',
    "a shard below the first": b'{"run": 1700000000, "shard": -1}',
    "a part beyond the last": b'{"run": 1700000000, "shard": 0, "part": 101}',
    "no run": b'{"run": "1700000000"}',
    "a run in milliseconds": b'{"run": 1700000000000}',
    "true is no run": b'{"run": true}',
}


@pytest.mark.parametrize("body", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_a_signed_body_that_can_never_work_is_not_retried(services: Services, body: bytes) -> None:
    answer = post(services, BATCH_PROCESS_PATH, body)
    assert (answer.status, answer.headers["upstash-nonretryable-error"]) == (489, "true")


@pytest.mark.parametrize("body", IMPOSSIBLE_TO_WARM.values(), ids=IMPOSSIBLE_TO_WARM.keys())
def test_a_signed_body_that_names_no_run_or_shard_is_not_retried(services: Services, body: bytes) -> None:
    answer = post(services, WARM_PATH, body)
    assert (answer.status, answer.headers["upstash-nonretryable-error"]) == (489, "true")


@pytest.mark.parametrize("path", [WARM_PATH, BATCH_PROCESS_PATH])
def test_a_shard_that_is_done_or_gone_is_no_work_and_no_failure(services: Services, path: str) -> None:
    job = WARM_CACHE if path == WARM_PATH else UPDATE_EMBEDDINGS
    answer = post(services, path, {**job.body, "run": 1_700_000_000, "shard": 0})
    assert (answer.status, answer.json["run"], answer.json["shard"]) == (200, 1_700_000_000, 0)


@pytest.mark.parametrize(
    "budgets",
    [{"embeddings_time_budget_seconds": 25.0}, {"job_time_budget_seconds": 25.0}],
    ids=["its own budget", "the budget of any job, where that is smaller"],
)
def test_a_part_ends_within_its_budget_and_a_continuation_takes_up_what_is_left(
    with_changes: WithChanges, budgets: dict[str, float]
) -> None:
    """A second stage of learning would be worth beginning with 40 seconds only."""
    services = with_changes(**budgets)
    push(services, like("ada", "a"), like("bob", "a"))
    post(services, BATCH_PROCESS_PATH, {"action": "process_user_actions"})
    bodies = [{}, *({"run": 1_700_000_000, "part": number} for number in (2, 3))]
    answers = [post(services, BATCH_PROCESS_PATH, {"action": "process_user_embeddings", **body}) for body in bodies]
    assert [answer.json["users_left"] for answer in answers] == [None, None, 0]


def test_a_plain_call_publishes_no_ticks_and_the_schedule_s_publishes_each_once(
    qstash_services: Services, qstash: QStashServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "ticks_published" not in post(qstash_services, BATCH_PROCESS_PATH, {"action": "process_user_actions"}).json
    assert messages(qstash) == []
    minute = int(time.time()) // 60 * 60 + 3_600  # none falls due while the test runs
    monkeypatch.setattr(endpoints, "datetime", SimpleNamespace(now=partial(datetime.fromtimestamp, minute)))
    body = {"action": "process_user_actions", "publish_ticks": True}
    for _ in range(2):
        assert post(qstash_services, BATCH_PROCESS_PATH, body).json["ticks_published"] == 11
    ticks = messages(qstash)
    assert sorted(tick["nextDeliveryTime"] for tick in ticks) == [(minute + s) * 1_000 for s in range(5, 60, 5)]
    assert {base64.b64decode(tick["body"]) for tick in ticks} == {b'{"action": "process_user_actions"}'}


NO_TOKEN = Problem("QSTASH_TOKEN", Text("is not set"), Text("Set it."))


@pytest.mark.parametrize(
    ("changes", "code"),
    [({}, "qstash_unavailable"), ({"qstash_token": "", "problems": (NO_TOKEN,)}, "settings")],
    ids=["QStash is away", "no token"],
)
def test_where_the_ticks_can_t_be_published_the_list_is_drained_all_the_same(
    services: Services, with_changes: WithChanges, changes: dict[str, Any], code: str
) -> None:
    push(services, like("ada", "a"))
    body = {"action": "process_user_actions", "publish_ticks": True}
    answer = post(with_changes(**changes), BATCH_PROCESS_PATH, body)
    assert (answer.status, answer.json["error"]["code"]) == (503, code)
    assert post(services, BATCH_PROCESS_PATH, {"action": "process_user_actions"}).json["claimed"] == 0


@pytest.mark.parametrize(
    "dead", [{"redis_url": NOWHERE}, {"database_url": "postgresql://x:y@127.0.0.1:9/x"}], ids=["Redis", "Postgres"]
)
def test_where_a_service_is_away_qstash_is_told_to_come_again(
    services: Services, with_changes: WithChanges, dead: dict[str, str]
) -> None:
    push(services, like("ada", "a"))
    answer = post(with_changes(**dead), BATCH_PROCESS_PATH, {"action": "process_user_actions"})
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert post(services, BATCH_PROCESS_PATH, {"action": "process_user_actions"}).json["applied"] == 1


@pytest.mark.parametrize(
    "query",
    ["", "user_id=", "user_id=a&user_id=b", "user_id=" + "x" * 257, "user_id=a%00b", "user_id=a&n=0", "user_id=a&n=-1",
     "user_id=a&n=101", "user_id=a&n=1000000000", "user_id=a&n=", "user_id=a&n=ten", "user_id=a&n=%D9%A3",
     "user_id=a&n=5&n=6",
        "user_id=a&limit=5", "user_id=a&language=", "user_id=a&language=%3Cb%3E", "user_id=a&language=" + "x" * 36],
)  # fmt: skip
def test_a_question_that_makes_no_sense_is_bad_input(services: Services, query: str) -> None:
    assert recommend(services, query).status == 400


@pytest.mark.parametrize(
    "user_id", ["*", "a%0Ab", "%27%3B%20DROP%20TABLE%20content%3B--", "%22%5D", "%F0%9F%98%80", "a%3Ab"]
)
def test_a_strange_user_id_is_just_an_unknown_user(services: Services, user_id: str) -> None:
    assert recommend(services, f"user_id={user_id}").json["source"] == "cold_start"


def test_html_in_what_users_push_is_shown_as_text(services: Services) -> None:
    push(services, {"user_id": "<script>alert(1)</script>", "action": "<img src=x>"})
    post(services, BATCH_PROCESS_PATH, {"action": "process_user_actions"})
    page = get(keyed_application("/api/status", endpoints.status, services=services), Accept="text/html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert b"<script>" not in page.body
    assert b"&lt;script&gt;" in page.body


def test_the_status_page_shows_how_the_ranking_is_tuned(services: Services, redis_credentials: tuple[str, str]) -> None:
    status = keyed_application("/api/status", endpoints.status, services=services)
    push(services, like("ada", "a"))
    post(services, BATCH_PROCESS_PATH, {"action": "process_user_actions"})
    post(services, BATCH_PROCESS_PATH, {"action": "process_user_embeddings"})
    assert b"too little to learn from yet" in get(status, Accept="text/html").body
    redis = RedisClient(*redis_credentials)
    serve_a_ranker(Site(services, redis))
    redis.close()
    page = get(status, Accept="text/html").body
    assert b"learned from 200 replays of users, NDCG@20 +0.100 against popularity" in page
    assert b"36 hours, chosen by replaying the log" in page
    assert re.search(rb"It goes by</dt><dd>(what|how) [^()]+ \(\d+ %\), ", page)


def test_init_answers_a_browser_and_curl_alike(deployed_services: Services) -> None:
    init = keyed_application("/api/init", endpoints.init, methods=("GET", "POST"), services=deployed_services)
    answer, page = get(init), get(init, Accept="text/html,application/xhtml+xml")
    assert (answer.status, answer.json["ok"], len(answer.json["schedules"])) == (200, True, 4)
    assert page.status == 200
    for schedule in answer.json["schedules"]:
        assert schedule["id"].encode() in page.body


def test_no_secret_stands_in_any_answer_page_or_log_line(
    qstash_services: Services, with_changes: WithChanges, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="recommendations")
    wrong = {"redis_token": "not-the-token-of-redis", "qstash_token": "not-it-either"}
    broken = with_changes(qstash_services.settings, **wrong)
    seen: list[bytes] = []
    for services in (qstash_services, broken):
        init = keyed_application("/api/init", endpoints.init, services=services)
        status = keyed_application("/api/status", endpoints.status, services=services)
        for accept in ("*/*", "text/html"):
            seen += [get(init, Accept=accept).body, get(status, Accept=accept).body]
        seen.append(recommend(services, "user_id=a").body)
        seen += [post(services, BATCH_PROCESS_PATH, {"action": name}).body for name in ("process_user_actions", "x")]
    text = b"\n".join(seen).decode() + "\n".join(record.getMessage() for record in caplog.records)
    secrets = {*qstash_services.settings.secrets, *broken.settings.secrets}
    assert len(secrets) >= 8
    assert [secret for secret in secrets if secret in text] == []
