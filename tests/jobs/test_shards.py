"""Jobs whose users are too many for one invocation: who does what, how often, and what becomes of a shard."""

import base64
import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Thread
from typing import Any

import httpx
import pytest

from lib.adapters import shard_store as store_module
from lib.adapters.services import Services
from lib.core.schedules import UPDATE_EMBEDDINGS, WARM_CACHE, Job, Part
from lib.core.shards import STRAGGLING_SECONDS, Shard, shard_of
from lib.errors import QStashUnavailable
from lib.jobs import shards as shards_module
from lib.jobs import update_embeddings as update_module
from lib.jobs import warm_cache as warm_module
from lib.jobs.forget_user import forget_user
from lib.jobs.process_actions import process_user_actions
from lib.jobs.rank_lists import rank_lists
from lib.jobs.report_status import report_status
from lib.jobs.run import Deadline, Summary, run_and_report
from lib.jobs.update_embeddings import READ_UNTIL, process_user_embeddings, update_shard
from lib.jobs.warm_cache import warm_cache, warm_shard
from local.qstash.server import QStashServer
from tests.jobs.site import Crash, Site, action
from tests.support import after, eventually

USERS = [f"user {number:02}" for number in range(23)]
SHARD_USERS = 5  # of 23 users: 5 shards of 4 or 5
SHARDS = 5
NOW = datetime(2026, 11, 25, 12, 0, 1, tzinfo=UTC)
NOON = int(NOW.timestamp()) - 1


class Fan:
    """A site whose users are too many for one invocation, and the invocations, one after the other."""

    def __init__(self, site: Site, qstash: QStashServer) -> None:
        self.site, self.services, self.qstash = site, site.services, qstash

    def messages(self) -> list[dict[str, Any]]:
        """The bodies of all that were published, in their order."""
        token = {"Authorization": f"Bearer {self.qstash.token}"}
        events = httpx.get(f"{self.qstash.url}/v2/events", headers=token).json()["events"]
        return [json.loads(base64.b64decode(event["body"])) for event in events[::-1] if event["state"] == "CREATED"]

    def shards(self) -> list[Shard]:
        found = [shard_of(body, NOW.timestamp()) for body in self.messages()]
        return [shard for shard in found if shard is not None]

    def warm(self, *, now: datetime = NOW, run: int | None = None) -> Summary:
        return warm_cache(self.services, now, Deadline.after(60), run=run)

    def warm_shard(self, shard: Shard, *, seconds: float = 60.0) -> Summary:
        return warm_shard(self.services, NOW, Deadline.after(seconds), shard=shard)

    def embed(self, *, now: datetime = NOW, part: Part | None = None) -> Summary:
        return process_user_embeddings(self.services, now, Deadline.after(60), part=part)

    def embed_shard(self, shard: Shard, *, seconds: float = 60.0) -> Summary:
        return update_shard(self.services, NOW, Deadline.after(seconds), shard=shard)

    def rows(self, columns: str = "shard, size, done", job: Job = WARM_CACHE) -> list[tuple[Any, ...]]:
        return self.site.query(f"SELECT {columns} FROM recs_shards WHERE job = %s ORDER BY run, shard", job.name)

    def fan_out(self, *, now: datetime) -> dict[str, Any]:
        fan_out: dict[str, Any] = report_status(self.services, now)["fan_out"]
        return fan_out

    def codes(self, *, now: datetime) -> list[str]:
        return [notice["code"] for notice in report_status(self.services, now)["attention"]]

    def read_until(self) -> str | None:
        rows = self.site.query("SELECT value FROM recs_state WHERE name = %s", READ_UNTIL)
        return str(rows[0][0]) if rows else None


@pytest.fixture
def fan(site: Site, qstash_services: Services, qstash: QStashServer) -> Iterator[Fan]:
    """QStash delivers into the void: a test does itself what a message asks for."""
    settings = dataclasses.replace(
        qstash_services.settings, warm_shard_users=SHARD_USERS, embeddings_shard_users=SHARD_USERS
    )
    services = Services(settings)
    large = dataclasses.replace(site, services=services)
    large.add_content("a", "b", "c")
    large.act(*[action(user, content, timestamp=NOW.isoformat()) for user in USERS for content in ("a", "b")])
    large.query("UPDATE user_actions SET received_at = %s", NOW - timedelta(hours=1))
    yield Fan(large, qstash)
    services.close()


@pytest.fixture
def learned(fan: Fan) -> Fan:
    """Its model is there, and nobody has an embedding of it."""
    whole = Services(dataclasses.replace(fan.services.settings, embeddings_shard_users=1_000))
    process_user_embeddings(whole, NOW - timedelta(minutes=30), Deadline.after(60))
    whole.close()
    fan.site.query("DELETE FROM user_embeddings")
    fan.site.query("DELETE FROM recs_state WHERE name = %s", READ_UNTIL)
    return fan


def embedded(fan: Fan, version: int | None = None) -> set[str]:
    rows = fan.site.query("SELECT user_id, model_version FROM user_embeddings")
    return {user_id for user_id, of in rows if version in (None, of)}


# ---- Warming ---------------------------------------------------------------------------------------------------------


def test_the_coordinator_puts_every_user_into_one_shard_and_publishes_a_message_for_each(fan: Fan) -> None:
    assert fan.warm() == {"users_warmed": 0, "users_left": 23, "shards": SHARDS, "shards_left_behind": 0}
    assert fan.messages() == [{"action": "warm_cache", "run": NOON, "shard": number} for number in range(SHARDS)]
    rows = fan.rows("users, size")
    assert sorted(user_id for users, _ in rows for user_id in users) == USERS
    assert [len(users) for users, _ in rows] == [size for _, size in rows] == [5, 5, 5, 4, 4]
    assert fan.site.cached(USERS) == set()


def test_the_shards_together_warm_every_user_once(fan: Fan) -> None:
    fan.warm()
    summaries = [fan.warm_shard(shard) for shard in fan.shards()]
    assert [summary["users_warmed"] for summary in summaries] == [5, 5, 5, 4, 4]
    assert fan.site.cached(USERS) == set(USERS)
    assert fan.rows("done, users, done_at IS NOT NULL") == [(size, [], True) for size in (5, 5, 5, 4, 4)]


def test_a_message_that_comes_twice_finds_its_shard_done(fan: Fan) -> None:
    fan.warm()
    shard = fan.shards()[0]
    assert fan.warm_shard(shard)["users_warmed"] == 5
    again = {"users_warmed": 0, "users_left": 0, "continued": False, "run": NOON, "shard": 0}
    assert fan.warm_shard(shard) == again


def test_in_another_run_other_users_share_a_shard(fan: Fan) -> None:
    """Where not all shards are done within the hour, it isn't the same users who wait each time."""
    fan.warm()
    before = fan.rows("users")
    fan.warm(now=NOW + timedelta(hours=1))
    assert {frozenset(users) for (users,) in before}.isdisjoint(frozenset(users) for (users,) in fan.rows("users"))


def test_a_small_site_needs_no_message_and_writes_no_row(fan: Fan) -> None:
    fan.site.query("DELETE FROM user_actions WHERE user_id >= %s", USERS[SHARD_USERS])
    assert fan.warm() == {"users_warmed": SHARD_USERS, "users_left": 0}
    assert fan.messages() == []
    assert fan.site.query("SELECT pg_relation_size('recs_shards')") == [(0,)]
    assert fan.site.cached(USERS) == set(USERS[:SHARD_USERS])


def test_a_site_that_has_become_small_keeps_no_shards(fan: Fan) -> None:
    fan.warm()
    fan.site.query("DELETE FROM user_actions WHERE user_id >= %s", USERS[SHARD_USERS])
    assert fan.warm(now=NOW + timedelta(hours=1))["users_warmed"] == SHARD_USERS
    assert fan.rows() == []
    assert fan.fan_out(now=NOW) == {}


def test_a_coordinator_that_is_called_again_splits_and_publishes_nothing_twice(fan: Fan) -> None:
    fan.warm()
    rows, messages = fan.rows("run, shard, users"), fan.messages()
    for minutes in (0, 1, 50):
        summary = fan.warm(now=NOW + timedelta(minutes=minutes))
        assert (summary["users_warmed"], summary["users_left"], summary["shards"]) == (0, 23, SHARDS)
    assert (fan.rows("run, shard, users"), fan.messages()) == (rows, messages)
    for shard in fan.shards():
        fan.warm_shard(shard)
    assert fan.warm(now=NOW + timedelta(minutes=30))["users_left"] == 0, "done, and not begun anew"
    assert fan.messages() == messages


def test_a_coordinator_that_is_called_again_when_qstash_has_forgotten_publishes_what_nobody_has_begun(
    fan: Fan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_module, "CHUNK", 2)
    fan.warm()
    fan.warm_shard(Shard(NOON, 1))
    fan.warm_shard(Shard(NOON, 2), seconds=0)
    with QStashServer() as another:
        settings = dataclasses.replace(fan.services.settings, qstash_url=another.url, qstash_token=another.token)
        services = Services(settings)
        later = Fan(dataclasses.replace(fan.site, services=services), another)
        later.warm(now=NOW + timedelta(minutes=30))
        assert [shard.number for shard in later.shards()] == [0, 3, 4]
        services.close()


def test_two_coordinators_at_once_begin_one_run(fan: Fan, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Fan(dataclasses.replace(fan.site, services=Services(fan.services.settings)), fan.qstash)
    threads: list[Thread] = []

    def before_both_commit(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            result = function(*arguments)
            if not threads:  # the first has written its shards: the second waits for it, and then finds them
                threads.append(Thread(target=other.warm))
                threads[0].start()
                eventually(lambda: is_somebody_waiting(fan.site) or not threads[0].is_alive())
            return result

        return call

    monkeypatch.setattr(shards_module, "delete_runs_before", before_both_commit(store_module.delete_runs_before))
    fan.warm()
    threads[0].join()
    other.services.close()
    assert len(fan.rows()) == len(fan.messages()) == SHARDS
    assert sorted(user_id for (users,) in fan.rows("users") for user_id in users) == USERS


def test_a_person_begins_a_run_of_his_own_when_the_hours_is_done_and_not_before(fan: Fan) -> None:
    fan.warm()
    half_past = NOW + timedelta(minutes=30)
    asked = int(half_past.timestamp())
    fan.warm(now=half_past, run=asked)
    assert {shard.run for shard in fan.shards()} == {NOON}
    for shard in fan.shards():
        fan.warm_shard(shard)
    fan.warm(now=half_past, run=asked)
    assert [shard.run for shard in fan.shards()[SHARDS:]] == [asked] * SHARDS


def test_the_next_hour_begins_anew_and_says_what_was_left_behind(fan: Fan) -> None:
    fan.warm()
    old = fan.shards()
    fan.warm_shard(old[0])
    summary = fan.warm(now=NOW + timedelta(hours=1))
    assert (summary["shards"], summary["shards_left_behind"]) == (SHARDS, SHARDS - 1)
    assert {run for (run,) in fan.rows("run")} == {NOON + 3_600}
    assert fan.warm_shard(old[1])["users_warmed"] == 0
    assert fan.site.cached(USERS) != set(USERS)


def test_a_shard_whose_run_is_replaced_while_it_is_at_work_stops(fan: Fan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_module, "CHUNK", 2)
    fan.warm()
    replace = after(rank_lists, once(lambda: fan.warm(now=NOW + timedelta(hours=1))))
    monkeypatch.setattr(warm_module, "rank_lists", replace)
    assert fan.warm_shard(Shard(NOON, 0))["users_warmed"] == 2
    assert {(run, done) for run, done in fan.rows("run, done")} == {(NOON + 3_600, 0)}


def test_what_a_shard_has_no_time_for_goes_on_in_its_next_part(fan: Fan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_module, "CHUNK", 2)
    fan.warm()
    summary = fan.warm_shard(Shard(NOON, 0), seconds=0)
    assert (summary["users_warmed"], summary["users_left"], summary["continued"]) == (2, 3, True)
    assert fan.messages()[SHARDS:] == [{"action": "warm_cache", "run": NOON, "shard": 0, "part": 2}]
    summaries = [fan.warm_shard(Shard(NOON, 0, part), seconds=0) for part in (2, 3, 4)]
    assert [(each["users_warmed"], each["users_left"]) for each in summaries] == [(2, 1), (1, 0), (0, 0)]
    assert fan.rows()[0] == (0, 5, 5)


def test_after_a_death_a_shard_goes_on_where_it_was(fan: Fan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_module, "CHUNK", 2)
    fan.warm()
    calls = 0

    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Crash
        return rank_lists(*arguments, **named)

    monkeypatch.setattr(warm_module, "rank_lists", dying)
    with pytest.raises(Crash):
        fan.warm_shard(Shard(NOON, 0))
    assert fan.rows()[0] == (0, 5, 2)
    assert fan.warm_shard(Shard(NOON, 0))["users_warmed"] == 3


def test_a_user_who_acts_while_his_shard_is_at_work_gets_no_old_list(fan: Fan, monkeypatch: pytest.MonkeyPatch) -> None:
    fan.warm()
    [(users,)] = fan.site.query("SELECT users FROM recs_shards WHERE shard = 0")
    fan.site.push(action(users[0], "c"))
    acts = after(rank_lists, once(lambda: process_user_actions(fan.services, Deadline.after(60))))
    monkeypatch.setattr(warm_module, "rank_lists", acts)
    assert fan.warm_shard(Shard(NOON, 0))["users_warmed"] == 4
    assert fan.site.cached(users) == set(users[1:])


def test_where_qstash_is_away_the_coordinator_is_tried_again_and_publishes_then(fan: Fan) -> None:
    away = Services(dataclasses.replace(fan.services.settings, qstash_url="http://127.0.0.1:9"))
    with pytest.raises(QStashUnavailable):
        warm_cache(away, NOW, Deadline.after(60))
    away.close()
    assert (len(fan.rows()), fan.messages()) == (SHARDS, [])
    fan.warm()
    assert len(fan.messages()) == SHARDS


def test_where_qstash_is_away_a_shard_is_tried_again_and_goes_on(fan: Fan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_module, "CHUNK", 2)
    fan.warm()
    away = Services(dataclasses.replace(fan.services.settings, qstash_url="http://127.0.0.1:9"))
    with pytest.raises(QStashUnavailable):
        warm_shard(away, NOW, Deadline.after(0), shard=Shard(NOON, 0))
    away.close()
    assert fan.warm_shard(Shard(NOON, 0))["users_warmed"] == 3


def test_a_forgotten_user_is_in_no_shard_any_more_and_nobody_is_skipped_for_it(
    fan: Fan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_module, "CHUNK", 2)
    fan.warm()
    [(users,)] = fan.site.query("SELECT users FROM recs_shards WHERE shard = 0")
    fan.warm_shard(Shard(NOON, 0), seconds=0)
    for user_id in (users[0], users[3]):  # one who is done, and one who isn't
        forget_user(fan.services, user_id, Deadline.after(60))
        assert fan.site.query("SELECT 1 FROM recs_shards WHERE %s = ANY(users)", user_id) == []
    assert fan.warm_shard(Shard(NOON, 0))["users_warmed"] == 2
    assert fan.site.cached(users) == {users[1], users[2], users[4]}


def test_a_user_who_is_forgotten_while_users_are_split_is_in_no_shard(
    fan: Fan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shards that hold him aren't committed when his forgetting begins: it waits for them."""
    forgetting = Thread(target=lambda: forget_user(fan.services, USERS[0], Deadline.after(60)))

    def begin_forgetting(*arguments: Any) -> int:
        forgetting.start()
        eventually(lambda: is_somebody_waiting(fan.site) or not forgetting.is_alive())
        return store_module.delete_runs_before(*arguments)

    monkeypatch.setattr(shards_module, "delete_runs_before", begin_forgetting)
    fan.warm()
    forgetting.join()
    assert len(fan.rows()) == SHARDS
    assert fan.site.query("SELECT 1 FROM recs_shards WHERE %s = ANY(users)", USERS[0]) == []


# ---- Embedding -------------------------------------------------------------------------------------------------------


def test_the_users_are_embedded_in_shards_when_everything_is_learned(learned: Fan) -> None:
    summary = learned.embed()
    assert (summary["users_updated"], summary["users_left"], summary["shards"]) == (0, 23, SHARDS)
    assert learned.messages() == [
        {"action": "process_user_embeddings", "run": NOON, "shard": number} for number in range(SHARDS)
    ]
    assert sum(learned.embed_shard(shard)["users_updated"] for shard in learned.shards()) == 23
    assert embedded(learned) == set(USERS)
    assert learned.embed(now=NOW + timedelta(hours=2))["users_updated"] == 0


def test_stages_of_learning_go_on_in_parts_and_only_then_users_are_split(
    fan: Fan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update_module, "STAGE_SECONDS", 1e9)
    parts = [fan.embed(part=Part(NOON + 1, number)) for number in (1, 2, 3)]
    assert [(part["users_left"], part.get("shards")) for part in parts] == [(None, None), (None, None), (23, SHARDS)]
    assert [body.get("part", body.get("shard")) for body in fan.messages()] == [2, 3, *range(SHARDS)]


def test_the_log_counts_as_read_when_the_last_shard_is_done_and_not_before(learned: Fan) -> None:
    learned.embed()
    for shard in learned.shards():
        assert learned.read_until() is None
        learned.embed_shard(shard)
    until = learned.read_until()
    assert until is not None
    assert datetime.fromisoformat(until) < NOW, "who acts while the run is under way belongs to the next one"


def test_of_two_shards_that_end_in_the_same_moment_the_second_one_is_the_last(
    learned: Fan, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned.embed()
    *others, one, two = learned.shards()
    for shard in others:
        learned.embed_shard(shard)
    beside = Thread(target=lambda: learned.embed_shard(two))

    def end_beside(*arguments: Any) -> Any:
        result = store_module.end_shard(*arguments)
        if not beside.ident:
            beside.start()
            eventually(lambda: is_somebody_waiting(learned.site) or not beside.is_alive())
        return result

    monkeypatch.setattr(shards_module, "end_shard", end_beside)
    learned.embed_shard(one)
    beside.join()
    assert learned.read_until() is not None


def test_users_of_shards_that_were_never_done_are_the_next_runs(learned: Fan) -> None:
    learned.embed()
    for shard in learned.shards()[:3]:
        learned.embed_shard(shard)
    assert learned.embed(now=NOW + timedelta(hours=2))["users_left"] == 8
    for shard in learned.shards()[SHARDS:]:
        learned.embed_shard(shard)
    assert embedded(learned) == set(USERS)


def test_a_coordinator_that_is_called_again_goes_on_with_the_same_run(learned: Fan) -> None:
    learned.embed()
    assert learned.embed(now=NOW + timedelta(minutes=3))["users_left"] == 23
    assert len(learned.messages()) == SHARDS
    for shard in learned.shards():
        learned.embed_shard(shard)
    summary = learned.embed(now=NOW + timedelta(minutes=30))
    assert (summary["users_updated"], summary["users_left"], summary["continued"]) == (0, 0, False)
    assert learned.embed(part=Part(NOON, 1))["continued"] is False
    assert len(learned.messages()) == SHARDS


def test_users_whose_shards_had_the_version_before_end_on_the_new_one(learned: Fan) -> None:
    """A model that is learned in the midst of a run: the rest of the run uses it, and the next one does the others."""
    learned.embed()
    old, *rest = learned.shards()
    learned.embed_shard(old)
    forced = Services(dataclasses.replace(learned.services.settings, model_max_age_hours=0))
    new_model(forced)
    forced.close()
    [(version,)] = learned.site.query("SELECT version FROM recs_models WHERE active")
    for shard in rest:
        learned.embed_shard(shard)
    assert embedded(learned, version) != set(USERS)
    learned.embed(now=NOW + timedelta(hours=2))
    for shard in learned.shards()[SHARDS:]:
        learned.embed_shard(shard)
    assert embedded(learned, version) == set(USERS)


def new_model(services: Services) -> None:
    from lib.jobs.build_model import next_stage

    for _ in range(3):
        stage = next_stage(services, NOW)
        assert stage is not None
        stage(Deadline.after(60))


def test_a_shard_that_finds_no_model_leaves_its_users_to_the_next_run(learned: Fan) -> None:
    learned.embed()
    learned.site.query("UPDATE recs_models SET format = 0")
    assert learned.embed_shard(learned.shards()[0])["users_updated"] == 0
    assert learned.rows(job=UPDATE_EMBEDDINGS)[0] == (0, 5, 0)


# ---- What a person sees ----------------------------------------------------------------------------------------------


def test_the_status_shows_the_job_as_a_whole(fan: Fan) -> None:
    run_and_report(WARM_CACHE.name, partial(run_at, NOW), fan.services, Deadline.after(60))
    report = report_status(fan.services, NOW)
    job, run = report["jobs"]["warm_cache"], report["fan_out"]["warm_cache"]
    assert (job["outcome"], job["shards"], job["users_warmed"]) == ("ok", SHARDS, 0)
    assert (run["shards_done"], run["shards"], run["users_done"], run["users"]) == (0, SHARDS, 0, 23)
    for shard in fan.shards():
        warm = partial(warm_shard, shard=shard)
        run_and_report(WARM_CACHE.name, warm, fan.services, Deadline.after(60), is_shard=True)
    report = report_status(fan.services, NOW)
    job, run = report["jobs"]["warm_cache"], report["fan_out"]["warm_cache"]
    assert (run["shards_done"], run["users_done"]) == (SHARDS, 23)
    assert run["ended_at"] is not None
    assert (job["shards"], job["users_warmed"], len(job["runs"])) == (SHARDS, 0, 1), "the coordinator's report"
    assert report["totals"]["jobs"]["warm_cache"]["runs"] == 1 + SHARDS
    assert fan.site.redis.execute("HGET", "recs:totals", "users_warmed") == "23"


def test_shards_that_stand_still_are_shown_and_those_that_wait_their_turn_are_not(
    fan: Fan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_module, "CHUNK", 2)
    fan.warm()
    fan.warm_shard(Shard(NOON, 0), seconds=0)
    fan.site.query("UPDATE recs_shards SET touched_at = %s WHERE touched_at IS NOT NULL", NOW)
    soon, late = NOW + timedelta(seconds=STRAGGLING_SECONDS - 1), NOW + timedelta(seconds=STRAGGLING_SECONDS + 1)
    assert fan.fan_out(now=soon)["warm_cache"]["stragglers"] == {"count": 0, "longest": []}
    assert "stragglers" not in fan.codes(now=soon)
    found = fan.fan_out(now=late)["warm_cache"]["stragglers"]
    assert found["count"] == SHARDS, "nothing gets on any more"
    assert (found["longest"][0]["shard"], found["longest"][0]["users_left"]) == (0, 3)
    assert "stragglers" in fan.codes(now=late)
    fan.site.query("UPDATE recs_shards SET touched_at = %s WHERE shard = 1", late)
    assert [each["shard"] for each in fan.fan_out(now=late)["warm_cache"]["stragglers"]["longest"]] == [0]


def test_shards_that_a_run_left_behind_are_shown(fan: Fan) -> None:
    fan.warm()
    next_hour = partial(run_at, NOW + timedelta(hours=1))
    run_and_report(WARM_CACHE.name, next_hour, fan.services, Deadline.after(60))
    assert "left_behind" in fan.codes(now=NOW)


def run_at(now: datetime, services: Services, _: datetime, deadline: Deadline) -> Summary:
    """The warm job as if it were that time."""
    return warm_cache(services, now, deadline)


def is_somebody_waiting(site: Site) -> bool:
    """For a lock in the site's database."""
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(site.query(query))


def once(act: Callable[[], object]) -> Callable[[], None]:
    done = ExitStack()
    done.callback(act)
    return done.close
