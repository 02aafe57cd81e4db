"""Forgetting a user: nothing of his stays, nothing that arrives late brings him back, and the others keep theirs."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from lib.adapters import action_queue
from lib.adapters.action_log import lock_log
from lib.adapters.histories import read_histories
from lib.adapters.services import Services
from lib.core.actions import names_user
from lib.errors import PostgresUnavailable
from lib.jobs import apply_batch as apply_module
from lib.jobs import embed_users as embed_module
from lib.jobs import forget_user as forget_module
from lib.jobs import prune_actions as prune_module
from lib.jobs import rank_lists as rank_module
from lib.jobs import warm_cache as warm_module
from lib.jobs.apply_batch import apply_batch
from lib.jobs.change_popularity import add_popularity, take_back_popularity
from lib.jobs.forget_user import Forgotten, forget_user
from lib.jobs.prune_actions import prune_old_actions
from lib.jobs.rank_lists import rank_lists
from lib.jobs.run import Deadline
from lib.jobs.warm_cache import warm_cache
from lib.settings import Settings
from tests.jobs.site import Crash, Site, action, assert_popularity_follows_from_the_log
from tests.support import after, eventually

EVERYWHERE = {"actions", "embedding", "cached list", "dead letter"}
LOG_LOCK, FORGETTING_LOCK = 7240219, 7240221  # of queries.sql


def forget(site: Site, user_id: str, *, seconds: float = 60.0) -> Forgotten:
    return forget_user(site.services, user_id, Deadline.after(seconds))


def unreadable(user_id: str | int, **fields: Any) -> str:
    """What becomes a dead letter that names its user."""
    return action(user_id, "a", "stare", **fields)  # type: ignore[arg-type]


def places(site: Site, user_id: str) -> set[str]:
    """Where something of this user is."""
    with_rows = {
        "actions": site.query("SELECT 1 FROM user_actions WHERE user_id = %s", user_id),
        "embedding": site.query("SELECT 1 FROM user_embeddings WHERE user_id = %s", user_id),
        "cached list": site.cached([user_id]),
        "dead letter": [True for letter in site.dead_letters() if json.loads(letter["raw"])["user_id"] == user_id],
    }
    return {place for place, rows in with_rows.items() if rows}


def is_waiting_for(site: Site, lock: int) -> bool:
    """Whether a transaction in the site's database waits for this advisory lock."""
    waiting = (
        "SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE l.locktype = 'advisory'"
        " AND l.objid = %s AND NOT l.granted AND d.datname = current_database()"
    )
    return bool(site.query(waiting, lock))


def before(function: Callable[..., Any], act: Callable[[], object]) -> Callable[..., Any]:
    """`function`, and something that happens just before it."""

    def call(*arguments: Any, **named: Any) -> Any:
        act()
        return function(*arguments, **named)

    return call


@pytest.fixture
def ann_and_bob(site: Site) -> Site:
    """Two users of whom the site has something everywhere, and a third who makes `a` popular."""
    for user_id in ("ann", "bob"):
        site.act(action(user_id, "a"), action(user_id, "b", "hide", days_ago=2.0), unreadable(user_id))
    site.act(action("cleo", "a", days_ago=3.0), action("cleo", "c"))
    site.embed()
    for user_id in ("ann", "bob"):
        site.recommend(user_id)
        assert places(site, user_id) == EVERYWHERE
    return site


@pytest.fixture
def quick_to_give_up(site: Site, settings: Settings) -> Iterator[Site]:
    """The site as a drain sees it whose leases last a moment."""
    services = Services(dataclasses.replace(settings, claim_lease_seconds=0.3))
    yield dataclasses.replace(site, services=services)
    services.close()


def test_everything_of_his_goes_and_everything_of_others_stays(ann_and_bob: Site) -> None:
    assert forget(ann_and_bob, "ann") == Forgotten(events=2, dead_letters=1, is_complete=True)
    assert places(ann_and_bob, "ann") == set()
    assert places(ann_and_bob, "bob") == EVERYWHERE
    assert_popularity_follows_from_the_log(ann_and_bob)
    assert ann_and_bob.recommend("ann")["source"] == "cold_start"


def test_no_table_but_the_log_and_the_embeddings_ever_holds_his_id(site: Site) -> None:
    """Neither what the ranker learned nor what it keeps of items and their neighbours says who read them."""
    site.act(*[action("annabel", content_id) for content_id in "abc"])
    site.act(*[action(f"user {number}", content_id) for number in range(3) for content_id in "abc"])
    site.embed()
    assert site.query("SELECT count(*) FROM recs_items WHERE length(neighbours) > 0") == [(3,)]
    assert tables_that_hold(site, "annabel") == {"user_actions", "user_embeddings"}
    forget(site, "annabel")
    assert tables_that_hold(site, "annabel") == set()


def tables_that_hold(site: Site, user_id: str) -> set[str]:
    """As text, or as the bytes of a column."""
    tables = [name for (name,) in site.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert {"recs_items", "recs_models"} < set(tables)
    matches = {name: f"SELECT count(*) FROM {name} t WHERE strpos(t::text, %s) > 0 OR strpos(t::text, %s) > 0"
               for name in tables}  # fmt: skip
    texts = (user_id, user_id.encode().hex())
    return {name for name, statement in matches.items() if site.query(statement, *texts) != [(0,)]}


def test_content_that_he_alone_read_is_in_no_model_that_is_built_afterwards(site: Site) -> None:
    site.act(action("ann", "hers"), action("ann", "both"), action("bob", "both"))
    site.embed()
    forget(site, "ann")
    site.embed(now=datetime.now(UTC) + timedelta(days=1))
    site.embed(now=datetime.now(UTC) + timedelta(days=2))
    kept = site.query("SELECT content_id FROM recs_items JOIN recs_models USING (version) WHERE active")
    assert kept == [("both",)]
    site.embed(now=datetime.now(UTC) + timedelta(days=3))
    assert set(site.query("SELECT content_id FROM recs_items")) == {("both",)}


def test_content_that_he_alone_made_popular_is_not_popular_any_more(site: Site) -> None:
    site.act(action("ann", "a"), action("ann", "b"), action("bob", "b"))
    forget(site, "ann")
    assert site.query("SELECT content_id FROM recs_popularity") == [("b",)]


def test_an_id_means_nothing_but_itself(site: Site) -> None:
    ids = ['a"b', "o'neil", "100%", "%s", "Jörg", "用户", "🙂", "*", "a?c[d-f]", "a\\b", "user:1", "{ann}", " ", "a.b"]
    others = ["ann", "abc", "acd", "aXb", "user:11", "1", "11", "__", "o''neil"]
    site.act(*[action(user_id, "a") for user_id in ids + others], *[unreadable(user_id) for user_id in ids + others])
    site.embed()
    for user_id in ids + others:
        site.recommend(user_id)
    for forgotten, user_id in enumerate(ids, start=1):
        assert forget(site, user_id) == Forgotten(events=1, dead_letters=1, is_complete=True), user_id
        assert places(site, user_id) == set(), user_id
        assert site.act(action(user_id, "a", days_ago=1.0))["forgotten"] == 1, user_id
        assert all(places(site, other) == EVERYWHERE for other in ids[forgotten:] + others), user_id


@pytest.mark.parametrize(
    ("user_id", "raw"),
    [
        pytest.param("1", unreadable(1), id="a whole number"),
        pytest.param("ann", '{"userId": "ann", "action": "stare"}', id="in camel case"),
        pytest.param("ann", json.dumps(unreadable("ann")), id="JSON in a JSON string"),
        pytest.param("ann", json.dumps(f" \n{unreadable('ann')}"), id="JSON in a JSON string after a blank"),
        pytest.param("ann", f"[{unreadable('ann')}]", id="an array"),
        pytest.param("ann", '{"user_id": "ann", "content_id": ', id="cut short"),
        pytest.param("ann", "user_id=ann&content_id=a", id="no JSON at all"),
        pytest.param("Jörg", '{"user_id": "J\\u00f6rg", "content_id": ', id="cut short and escaped"),
        pytest.param('a"b', '{"user_id": "a\\"b", "content_id": ', id="cut short with a quote"),
        pytest.param("ann", '[[[[[{"user_id": "ann"}]]]]]', id="nested too deeply"),
        pytest.param("ann", "[" * 90_000 + '"ann"', id="nested too deeply for Python"),
    ],
)
def test_what_names_him_is_found_however_it_is_written(user_id: str, raw: str) -> None:
    assert names_user(raw, user_id)


@pytest.mark.parametrize(
    ("user_id", "raw"),
    [
        pytest.param("1", unreadable(11), id="a longer number"),
        pytest.param("1", '{"user_id": 11, "content_id": ', id="a longer number that is cut short"),
        pytest.param("1", unreadable("user-1"), id="a name that ends in his"),
        pytest.param("ann", '{"user_id": "ann-marie", "content_id": ', id="a longer name that is cut short"),
        pytest.param("a.n", '{"user_id": "abn", "content_id": ', id="a name that is a pattern"),
        pytest.param("None", '{"userId": "bob", "action": "stare"}', id="no user_id is no name"),
        pytest.param("True", '{"user_id": true, "action": "view"}', id="true is no name"),
        pytest.param("ann", '{"user_id": "bob", "content_id": "ann"}', id="content of that name"),
    ],
)
def test_what_names_somebody_else_is_not_his(user_id: str, raw: str) -> None:
    assert not names_user(raw, user_id)


def test_dead_letters_of_a_user_with_a_longer_number_stay(site: Site) -> None:
    cut_short = [unreadable(user_id)[:40] for user_id in (1, 11)]
    site.act(unreadable(1), unreadable(11), *cut_short)
    assert forget(site, "1").dead_letters == 2
    assert {letter["raw"][:15] for letter in site.dead_letters()} == {'{"user_id": 11,'}
    assert len(site.dead_letters()) == 2


def test_only_his_part_of_an_array_goes(site: Site) -> None:
    several = [json.loads(unreadable(user_id)) for user_id in ("ann", "bob", "ann")]
    site.act(json.dumps(several))
    assert forget(site, "ann").dead_letters == 2
    assert [json.loads(letter["raw"])["user_id"] for letter in site.dead_letters()] == ["bob"]


def test_nobody_knows_the_user_and_that_is_no_error(ann_and_bob: Site) -> None:
    assert forget(ann_and_bob, "stranger") == Forgotten(events=0, dead_letters=0, is_complete=True)
    assert places(ann_and_bob, "ann") == EVERYWHERE


def test_several_calls_have_the_effect_of_one(ann_and_bob: Site) -> None:
    assert [forget(ann_and_bob, "ann").events for _ in range(3)] == [2, 0, 0]
    assert places(ann_and_bob, "ann") == set()
    assert places(ann_and_bob, "bob") == EVERYWHERE
    assert ann_and_bob.query("SELECT count(*) FROM recs_forgotten") == [(1,)]
    assert_popularity_follows_from_the_log(ann_and_bob)


def test_calls_at_once_have_the_effect_of_one(ann_and_bob: Site) -> None:
    with ThreadPoolExecutor() as threads:
        results = list(threads.map(lambda _: forget(ann_and_bob, "ann"), range(3)))
    assert (sum(each.events for each in results), sum(each.dead_letters for each in results)) == (2, 1)
    assert places(ann_and_bob, "ann") == set()
    assert_popularity_follows_from_the_log(ann_and_bob)


def test_a_user_with_many_events_goes_in_several_steps(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget_module, "EVENTS_AT_ONCE", 3)
    site.act(*[action("ann", f"item {number % 4}", days_ago=number / 7) for number in range(11)], action("bob", "a"))
    assert forget(site, "ann").events == 11
    assert places(site, "ann") == set()
    assert_popularity_follows_from_the_log(site)


def test_a_call_that_ends_halfway_keeps_him_out_and_the_next_one_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget_module, "EVENTS_AT_ONCE", 3)
    late = action("ann", "late", days_ago=1.0)
    site.act(*[action("ann", f"item {number}") for number in range(7)])
    steps = iter(range(2))

    def end() -> None:
        if next(steps, None) is None:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(forget_module, "take_back_popularity", before(take_back_popularity, end))
        with pytest.raises(Crash):
            forget(site, "ann")
    assert site.count_events() == 1
    assert_popularity_follows_from_the_log(site)
    assert site.act(late)["forgotten"] == 1
    assert forget(site, "ann") == Forgotten(events=1, dead_letters=0, is_complete=True)
    assert places(site, "ann") == set()


def test_what_happened_before_and_arrives_late_does_not_bring_him_back(site: Site) -> None:
    early, late = action("ann", "a", days_ago=2.0), action("ann", "b", days_ago=1.0)
    site.act(early)
    forget(site, "ann")
    summary = site.act(early, late, action("bob", "b"))
    assert (summary["claimed"], summary["applied"], summary["forgotten"], summary["duplicates"]) == (3, 1, 2, 0)
    assert places(site, "ann") == set()
    assert site.query("SELECT content_id FROM recs_popularity") == [("b",)]
    assert_popularity_follows_from_the_log(site)


def test_a_drain_that_meets_no_forgotten_user_counts_none(site: Site) -> None:
    assert "forgotten" not in site.act(action("ann", "a"))


def test_what_was_pending_does_not_bring_him_back_though_it_has_no_timestamp(site: Site) -> None:
    site.push(action("ann", "a", timestamp=None), action("bob", "a", timestamp=None), action("ann", "b", id=None))
    assert forget(site, "ann").is_complete
    assert places(site, "ann") == set()
    assert site.count_waiting() == (0, 0)
    assert site.query("SELECT user_id FROM user_actions") == [("bob",)]
    assert_popularity_follows_from_the_log(site)


def test_what_was_in_flight_does_not_bring_him_back_though_it_has_no_timestamp(
    site: Site, quick_to_give_up: Site
) -> None:
    site.push(action("ann", "a", timestamp=None), action("bob", "a", timestamp=None))
    claimed_at = datetime.now(UTC)
    claim = quick_to_give_up.services.queue.claim()
    assert forget(site, "ann").is_complete
    assert places(site, "ann") == set()
    counts, _ = apply_batch(quick_to_give_up.services, claim.batch_id, claim.elements, now=claimed_at)
    assert (counts["applied"], counts["duplicates"], counts["forgotten"]) == (0, 1, 1), "its first owner was slow"
    assert places(site, "ann") == set()
    assert_popularity_follows_from_the_log(site)


def test_what_he_does_later_begins_anew(ann_and_bob: Site) -> None:
    site = ann_and_bob
    site.act(action("ann", "c"))
    forget(site, "ann")
    assert site.act(action("ann", "b"), action("ann", "a", days_ago=1.0))["applied"] == 1
    assert set(site.ids("ann")) == {"a", "c"}
    assert site.recommend("ann")["source"] == "cache"
    site.embed()
    assert places(site, "ann") == EVERYWHERE - {"dead letter"}
    assert_popularity_follows_from_the_log(site)


def test_a_list_that_was_being_warmed_is_not_stored_afterwards(
    ann_and_bob: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgets = after(rank_lists, lambda: forget(ann_and_bob, "ann"))
    monkeypatch.setattr(warm_module, "rank_lists", forgets)
    warm_cache(ann_and_bob.services, datetime.now(UTC), Deadline.after(60))
    assert ann_and_bob.cached(["ann", "bob"]) == {"bob"}


def test_a_list_that_was_being_read_is_not_stored_afterwards(
    ann_and_bob: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann_and_bob.services.cache.invalidate(["ann"])
    forgets = after(rank_lists, lambda: forget(ann_and_bob, "ann"))
    monkeypatch.setattr(rank_module, "rank_lists", forgets)
    assert ann_and_bob.recommend("ann")["source"] == "computed"
    assert places(ann_and_bob, "ann") == set()


class Beside:
    """Something that is begun once, in a thread of its own, and that then waits for a lock of its beginner's."""

    def __init__(self, site: Site, act: Callable[[], object], *, lock: int) -> None:
        self._site, self._lock, self._thread = site, lock, Thread(target=act)

    def begin(self) -> None:
        """Comes back when the other waits for the lock, or has done what it should have waited with."""
        if not self._thread.ident:
            self._thread.start()
            eventually(lambda: is_waiting_for(self._site, self._lock) or not self._thread.is_alive())

    def end(self) -> None:
        self._thread.join()


def test_an_embedding_of_a_history_that_was_read_before_is_not_written_afterwards(
    ann_and_bob: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgetting = Beside(ann_and_bob, lambda: forget(ann_and_bob, "ann"), lock=FORGETTING_LOCK)
    monkeypatch.setattr(embed_module, "read_histories", after(read_histories, forgetting.begin))
    ann_and_bob.embed()
    forgetting.end()
    assert places(ann_and_bob, "ann") == set()
    assert places(ann_and_bob, "bob") == EVERYWHERE


def test_embeddings_that_are_computed_while_he_is_being_forgotten_leave_him_out(
    ann_and_bob: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job has listed its users already, and waits where it would read their histories."""
    embedding = Beside(ann_and_bob, ann_and_bob.embed, lock=FORGETTING_LOCK)
    monkeypatch.setattr(forget_module, "lock_log", after(lock_log, embedding.begin))
    forget(ann_and_bob, "ann")
    embedding.end()
    assert places(ann_and_bob, "ann") == set()


def test_a_drain_that_is_writing_is_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    forgetting = Beside(site, lambda: forget(site, "ann"), lock=LOG_LOCK)
    monkeypatch.setattr(apply_module, "add_popularity", before(add_popularity, forgetting.begin))
    site.act(action("ann", "a"), action("ann", "b", timestamp=None), action("bob", "a"))
    forgetting.end()
    assert places(site, "ann") == set()
    assert site.count_events() == 1
    assert_popularity_follows_from_the_log(site)


def test_a_drain_waits_for_whoever_forgets_and_then_leaves_him_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.push(action("ann", "a"), action("bob", "a"))
    draining = Beside(site, site.drain, lock=LOG_LOCK)
    monkeypatch.setattr(forget_module, "lock_log", after(lock_log, draining.begin))
    assert forget(site, "ann") == Forgotten(events=0, dead_letters=0, is_complete=True)
    draining.end()
    assert places(site, "ann") == set()
    assert site.count_events() == 1


def test_drains_that_run_at_the_same_time_leave_nothing_of_his_behind(site: Site, settings: Settings) -> None:
    users = ["ann", "bob", "cleo"]
    site.push(*[action(users[number % 3], f"item {number % 7}", timestamp=None, id=None) for number in range(240)])
    drains = [dataclasses.replace(site, services=Services(_small_claims(settings))) for _ in range(2)]
    with ThreadPoolExecutor() as threads:
        draining = [threads.submit(drain.drain) for drain in drains]
        assert forget(drains[0], "ann").is_complete
        applied = sum(drain.result()["applied"] for drain in draining)
    for drain in drains:
        drain.services.close()
    assert applied <= 240
    assert places(site, "ann") == set()
    assert site.count_events() == 160
    assert site.count_waiting() == (0, 0)
    assert_popularity_follows_from_the_log(site)


def _small_claims(settings: Settings) -> Settings:
    return dataclasses.replace(settings, claim_max_elements=10)


def test_a_batch_that_is_still_in_flight_when_the_time_is_over_is_said(site: Site) -> None:
    site.push(action("ann", "a", timestamp=None))
    claim = site.services.queue.claim()
    assert not forget(site, "ann", seconds=0.3).is_complete
    site.services.queue.release(claim.batch_id)
    assert forget(site, "ann").is_complete
    assert places(site, "ann") == set()


def test_a_list_too_long_to_be_drained_in_time_is_said(site: Site, settings: Settings) -> None:
    services = Services(_small_claims(settings))
    site = dataclasses.replace(site, services=services)
    site.push(*[action("ann", "a") for _ in range(25)])
    assert not forget(site, "ann", seconds=0).is_complete
    assert forget(site, "ann").is_complete
    services.close()


def test_a_batch_that_is_set_aside_is_said(site: Site, quick_to_give_up: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action_queue, "MAX_TRIES", 1)
    site.push(action("ann", "a", timestamp=None))
    site.services.queue.release(site.services.queue.claim().batch_id, error="failed: KeyError")
    assert not forget(site, "ann").is_complete
    [batch] = site.services.dead_letters.set_aside()
    site.services.dead_letters.drop_batch(batch.batch_id)
    assert forget(site, "ann").is_complete


def test_without_postgres_nothing_goes_and_that_is_an_error(ann_and_bob: Site, settings: Settings) -> None:
    away = Services(dataclasses.replace(settings, database_url="postgresql://ann:secret@127.0.0.1:9/site"))
    with pytest.raises(PostgresUnavailable):
        forget(dataclasses.replace(ann_and_bob, services=away), "ann")
    away.close()
    assert places(ann_and_bob, "ann") == EVERYWHERE


@dataclass(frozen=True)
class Push:
    """One action on the list; without `days_ago` it has no timestamp."""

    user_id: str
    content_id: str
    name: str
    event_id: int | None
    days_ago: float | None


@dataclass(frozen=True)
class Drain:
    """What is on the list goes into the log."""


@dataclass(frozen=True)
class Forget:
    user_id: str


@dataclass(frozen=True)
class Prune:
    """Every event of this user that is in the log grows too old for it."""

    user_id: str


Step = Push | Drain | Forget | Prune
user_ids = st.sampled_from(["ann", "bob"])
pushes = st.builds(
    Push,
    user_id=user_ids,
    content_id=st.sampled_from(["a", "b"]),
    name=st.sampled_from(["view", "hide"]),
    event_id=st.none() | st.integers(0, 15),
    days_ago=st.none() | st.sampled_from([0.0, 0.5, 90.0]),
)
steps = st.one_of(pushes, pushes, pushes, st.just(Drain()), st.builds(Forget, user_ids), st.builds(Prune, user_ids))


def run(site: Site, step: Step, forgotten_at: dict[str, datetime]) -> None:
    if isinstance(step, Push):
        timestamp = {} if step.days_ago is not None else {"timestamp": None}
        fields = {"id": step.event_id, **timestamp}
        site.push(action(step.user_id, step.content_id, step.name, days_ago=step.days_ago or 0.0, **fields))
    elif isinstance(step, Drain):
        site.drain()
    elif isinstance(step, Forget):
        forgotten_at[step.user_id] = datetime.now(UTC)
        assert forget(site, step.user_id).is_complete
        assert places(site, step.user_id) <= {"dead letter"}
    else:
        site.query(
            "UPDATE user_actions SET received_at = now() - interval '1000 days' WHERE user_id = %s", step.user_id
        )
        prune_old_actions(site.services, datetime.now(UTC), Deadline.after(60))


@profile(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(steps, min_size=8, max_size=20))
def test_in_whatever_order_things_happen_popularity_follows_from_the_log_and_the_forgotten_stay_so(
    site: Site, monkeypatch: pytest.MonkeyPatch, history: list[Step]
) -> None:
    for module in (forget_module, prune_module):
        monkeypatch.setattr(module, "EVENTS_AT_ONCE", 2)
    site.query("TRUNCATE user_actions, user_embeddings, recs_popularity, recs_forgotten")
    site.redis.execute("DEL", "pending_user_actions")
    forgotten_at: dict[str, datetime] = {}
    for step in [*history, Drain()]:
        run(site, step, forgotten_at)
        assert_popularity_follows_from_the_log(site)
        for user_id, moment in forgotten_at.items():
            old = "SELECT event_id FROM user_actions WHERE user_id = %s AND occurred_at <= %s"
            assert site.query(old, user_id, moment) == []


def test_a_tombstone_outlives_the_retention_by_nothing(site: Site) -> None:
    forget(site, "ann")
    for days, left in ((364, 1), (366, 0)):
        prune_old_actions(site.services, datetime.now(UTC) + timedelta(days=days), Deadline.after(60))
        assert site.query("SELECT count(*) FROM recs_forgotten") == [(left,)]
