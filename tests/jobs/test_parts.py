"""process_user_embeddings in many parts: nothing but what is stored says what is left, whatever becomes of a part."""

import base64
import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from pgvector import Vector

from lib.adapters.services import Services
from lib.core.schedules import MOST_PARTS, Part
from lib.jobs import build_model as build_module
from lib.jobs import embed_users as embed_module
from lib.jobs import publish_part as publish_module
from lib.jobs import update_embeddings as update_module
from lib.jobs.run import Deadline, Summary
from lib.jobs.update_embeddings import process_user_embeddings
from local.qstash.server import QStashServer
from tests.jobs.recompute import learned
from tests.jobs.site import Crash, Site, action

NOW = datetime(2025, 3, 1, tzinfo=UTC)  # the same times and thus the same model in every run
USERS, CONTENTS = 150, 60
CHUNK = 40
STAGES = 3


@pytest.fixture
def read_site(site: Site) -> Site:
    """A log of weeks of users who prefer every second content; received an hour ago, so that none is updated twice."""
    rng = np.random.default_rng(3)
    for number in range(CONTENTS):
        site.add_content(f"item {number:02}", embedding=Vector(rng.standard_normal(8) + 2 * np.eye(8)[number % 2]))
    users = rng.integers(0, USERS, 3_000)
    contents = (CONTENTS // 2 * rng.random(3_000) ** 2).astype(int) * 2 + users % 2
    times = [(NOW - timedelta(days=40 * float(age))).isoformat() for age in rng.random(3_000)]
    rows = zip(users, contents, times, strict=True)
    site.act(*[action(f"user {user:03}", f"item {content:02}", timestamp=at) for user, content, at in rows])
    site.query("UPDATE user_actions SET received_at = received_at - interval '1 hour'")
    return site


@pytest.fixture
def one_piece_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though there is time for all: a part does one stage, or one small chunk of users."""
    monkeypatch.setattr(update_module, "STAGE_SECONDS", 1e9)
    monkeypatch.setattr(update_module, "CHUNK_SECONDS", 1e9)
    monkeypatch.setattr(update_module, "CHUNK", CHUNK)


Stored = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], dict[str, Any], dict[str, Any]]


def stored(site: Site) -> Stored:
    """The active model and all of its items but the version's number, and the vectors of items and of users."""
    [(version,)] = site.query("SELECT version FROM recs_models WHERE active")
    columns = "position, content_id, statistics, vectors, circle, neighbours, neighbour_values"
    items = site.query(f"SELECT {columns} FROM recs_items WHERE version = {version} ORDER BY 1")
    columns = "built_at, size, actions, items, skipped, half_life_position, learned, learned_map, text_projection"
    model = site.query(f"SELECT {columns} FROM recs_models WHERE active")
    item_vectors = site.query(f"SELECT content_id, embedding FROM recs_item_vectors WHERE version = {version}")
    users = site.query(f"SELECT user_id, embedding FROM user_embeddings WHERE model_version = {version}")
    return items, model, _by_name(item_vectors), _by_name(users)


def _by_name(rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    return {name: vector.to_numpy() for name, vector in rows}


def forget_what_was_learned(site: Site) -> None:
    for table in ("recs_models", "recs_items", "recs_item_vectors", "user_embeddings"):
        site.query(f"DELETE FROM {table}")
    site.query("DELETE FROM recs_state WHERE name NOT IN ('schema', 'hash_key')")


def assert_same(found: Stored, wanted: Stored) -> None:
    assert found[:2] == wanted[:2]
    for vectors, others in ((found[2], wanted[2]), (found[3], wanted[3])):
        assert vectors.keys() == others.keys()
        for name, vector in vectors.items():
            np.testing.assert_allclose(vector, others[name], atol=1e-6, err_msg=name)


def assert_nothing_half_written_is_active(site: Site) -> None:
    for version, items, is_learned in site.query(
        "SELECT version, items, learned IS NOT NULL FROM recs_models WHERE active"
    ):
        assert is_learned
        for table in ("recs_items", "recs_item_vectors"):
            assert site.query(f"SELECT count(*) FROM {table} WHERE version = {version}") == [(items,)]


def parts(site: Site) -> list[tuple[int, int | None]]:
    """(users updated, users left) of each part until nothing is left."""
    result: list[tuple[int, int | None]] = []
    while not result or result[-1][1] != 0:
        assert len(result) < 20, "it would go on for ever"
        summary = site.embed_a_part(now=NOW)
        result.append((summary["users_updated"], summary["users_left"]))
    return result


def test_many_small_parts_come_to_the_same_as_one_large_one(read_site: Site, request: pytest.FixtureRequest) -> None:
    assert parts(read_site) == [(USERS, 0)]
    assert learned(read_site).trained.model is not None
    wanted = stored(read_site)
    forget_what_was_learned(read_site)
    request.getfixturevalue("one_piece_a_part")
    assert parts(read_site) == [(0, None)] * (STAGES - 1) + [(0, USERS), (40, 110), (40, 70), (40, 30), (30, 0)]
    assert_same(stored(read_site), wanted)


def test_the_first_piece_is_done_however_little_time_there_is(read_site: Site) -> None:
    summaries = [read_site.embed_a_part(now=NOW, seconds=0) for _ in range(STAGES + 1)]
    assert [summary["users_left"] for summary in summaries] == [None, None, USERS, 0]
    assert [summary["items"] for summary in summaries] == [0, 0, CONTENTS, CONTENTS]


def test_what_was_begun_too_long_ago_is_begun_anew(read_site: Site) -> None:
    read_site.embed_a_part(now=NOW - build_module.ABANDONED, seconds=0)
    read_site.embed(now=NOW)
    assert read_site.query("SELECT active, built_at FROM recs_models ORDER BY version") == [(True, NOW)]


STEPS = (
    (build_module, "add_model"),
    (build_module, "write_learned"),
    (build_module, "add_items"),
    (build_module, "activate_model"),
    (embed_module, "write_user_embeddings"),
    (embed_module, "delete_user_embeddings"),
    (update_module, "write_state"),
    (publish_module, "part_deduplication_id"),
)


@pytest.mark.usefixtures("one_piece_a_part")
@pytest.mark.parametrize(("module", "name"), STEPS, ids=[name for _, name in STEPS])
def test_after_a_death_at_any_step_the_next_part_goes_on(
    read_site: Site, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    """Twice, before what the step does is committed and at its second time, if there is one."""
    read_site.embed(now=NOW)
    wanted = stored(read_site)
    forget_what_was_learned(read_site)
    step, calls, deaths = getattr(module, name), 0, 0

    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal calls, deaths
        done, calls = step(*arguments, **named), calls + 1
        if calls in (1, 3):
            deaths += 1
            raise Crash
        return done

    monkeypatch.setattr(module, name, dying)
    left: int | None = 1
    while left != 0:
        try:
            left = read_site.embed_a_part(now=NOW)["users_left"]
        except Crash:
            assert_nothing_half_written_is_active(read_site)
    assert deaths
    assert_same(stored(read_site), wanted)


MEANWHILE = (
    (build_module, "learn_taste"),
    (build_module, "learn"),
    (build_module, "site_at"),
    (update_module, "read_users_to_update"),
    (embed_module, "embed_users"),
)


@pytest.mark.usefixtures("one_piece_a_part")
@pytest.mark.parametrize("other_parts", [1, 2, 9])
@pytest.mark.parametrize(("module", "name"), MEANWHILE, ids=[name for _, name in MEANWHILE])
def test_parts_that_run_at_the_same_time_do_each_other_no_harm(
    read_site: Site, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, other_parts: int
) -> None:
    """In the midst of a part, others of a repeated delivery or of the next schedule run."""
    read_site.embed(now=NOW)
    wanted = stored(read_site)
    forget_what_was_learned(read_site)
    other = dataclasses.replace(read_site, services=Services(read_site.services.settings))
    step, busy = getattr(module, name), False

    def interrupted(*arguments: Any, **named: Any) -> Any:
        nonlocal busy
        if not busy:
            busy = True
            for _ in range(other_parts):
                other.embed_a_part(now=NOW)
                assert_nothing_half_written_is_active(other)
        return step(*arguments, **named)

    monkeypatch.setattr(module, name, interrupted)
    read_site.embed(now=NOW)
    other.services.close()
    assert busy
    assert_nothing_half_written_is_active(read_site)
    assert_same(stored(read_site), wanted)


@pytest.fixture
def with_qstash(read_site: Site, qstash_services: Services) -> Site:
    """The same site, with a QStash that delivers into the void."""
    return dataclasses.replace(read_site, services=qstash_services)


def published(qstash: QStashServer) -> list[Any]:
    """The bodies of all messages, in their order."""
    answer = httpx.get(f"{qstash.url}/v2/events", headers={"Authorization": f"Bearer {qstash.token}"})
    created = [event for event in answer.json()["events"] if event["state"] == "CREATED"]
    return [json.loads(base64.b64decode(event["body"])) for event in created[::-1]]


def run(site: Site, part: Part | None = None) -> Summary:
    return process_user_embeddings(site.services, NOW, Deadline.after(60), part=part)


@pytest.mark.usefixtures("one_piece_a_part")
def test_what_is_left_goes_on_in_a_message_that_a_repeated_delivery_does_not_double(
    with_qstash: Site, qstash: QStashServer
) -> None:
    began = int(NOW.timestamp())
    assert run(with_qstash)["continued"]
    assert published(qstash) == [{"action": "process_user_embeddings", "run": began, "part": 2}]
    assert run(with_qstash)["continued"], "the same delivery once more"
    assert len(published(qstash)) == 1
    assert run(with_qstash, Part(began, 2))["continued"]
    assert published(qstash)[1:] == [{"action": "process_user_embeddings", "run": began, "part": 3}]
    summaries = [run(with_qstash, Part(began, number)) for number in range(3, 7)]
    assert [(summary["users_left"], summary["continued"]) for summary in summaries] == [
        (110, True),
        (70, True),
        (30, True),
        (0, False),
    ]


def test_a_small_site_needs_one_part_and_no_message(with_qstash: Site, qstash: QStashServer) -> None:
    summary = run(with_qstash)
    assert (summary["users_updated"], summary["users_left"], summary["continued"]) == (USERS, 0, False)
    assert published(qstash) == []


@pytest.mark.usefixtures("one_piece_a_part")
def test_a_run_ends_with_its_last_part_and_the_next_one_goes_on(with_qstash: Site, qstash: QStashServer) -> None:
    assert not run(with_qstash, Part(int(NOW.timestamp()), MOST_PARTS))["continued"]
    assert published(qstash) == []
    assert run(with_qstash)["continued"]


@pytest.mark.usefixtures("one_piece_a_part")
@pytest.mark.parametrize("token", ["a-token", ""], ids=["qstash is away", "no token is set"])
def test_without_qstash_a_part_is_no_failure_and_the_next_run_goes_on(read_site: Site, token: str) -> None:
    services = Services(dataclasses.replace(read_site.services.settings, qstash_token=token))
    summary = run(dataclasses.replace(read_site, services=services))
    services.close()
    assert (summary["users_left"], summary["continued"]) == (None, False)
    assert read_site.embed(now=NOW)["users_updated"] == USERS
