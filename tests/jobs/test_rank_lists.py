"""What production shows is what follows from the log: assembled from stored rows, it equals a full recompute."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pgvector import Vector

from lib.adapters.services import Services
from lib.core import exploration
from lib.core.half_lives import position_of
from lib.core.ranker import personal_pool as personal_module
from lib.core.ranker import site as site_module
from lib.jobs.refresh_cold_start import refresh_cold_start
from lib.jobs.run import Deadline
from lib.jobs.warm_cache import warm_cache
from lib.settings import Settings
from tests.jobs.recompute import (
    Items,
    active_model,
    assert_same_lists,
    learned,
    recomputed,
    serve_a_ranker,
)
from tests.jobs.site import Site, action

NOW = datetime(2025, 3, 1, tzinfo=UTC)  # the same times and thus the same lists in every run
USERS, CONTENTS, ACTIONS = 150, 80, 1_500
KINDS = {"view": 0.6, "like": 0.15, "share": 0.05, "skip": 0.1, "hide": 0.1}

both_ways = pytest.mark.parametrize("serves", [False, True], ids=["by the fixed blend", "by a ranker"])


def drawn_actions(rng: np.random.Generator, count: int, *, until: datetime = NOW, days: float = 40.0) -> list[str]:
    """Of users who prefer every second content and come back, of all kinds, some of them twice."""
    users = (USERS * rng.random(count) ** 1.5).astype(int)
    liked = (35 * rng.random(count) ** 2).astype(int) * 2 + users % 2
    contents = np.where(rng.random(count) < 0.75, liked, rng.integers(0, 75, count))
    kinds = rng.choice(list(KINDS), count, p=list(KINDS.values()))
    ages = days * rng.random(count)
    return [
        action(
            f"user {user:03}",
            f"item {content:02}",
            "hide" if user % 40 == 39 or content % 30 == 29 else str(kind),
            timestamp=(until - timedelta(days=float(age))).isoformat(),
        )
        for user, content, kind, age in zip(users, contents, kinds, ages, strict=True)
    ]


def push_and_drain(site: Site, actions: list[str], rng: np.random.Generator) -> None:
    """In any order and in chunks of any size."""
    shuffled = [actions[index] for index in rng.permutation(len(actions))]
    while shuffled:
        size = int(rng.integers(1, 400))
        site.act(*shuffled[:size])
        del shuffled[:size]


@pytest.fixture
def replayed(site: Site) -> Site:
    """A log of weeks, of which a model was built at NOW, without time to replay it. Nobody has met five contents, and
    six have no vector; a few aren't available, one is in the log alone. Two authors made a half of them."""
    rng = np.random.default_rng(11)
    for number in range(CONTENTS):
        vector = Vector(rng.standard_normal(12) + 2 * np.eye(12)[number % 2])
        topics = ["author:ann" if number % 4 == 1 else "author:bob"] if number % 2 else []
        columns = {"published_at": NOW - timedelta(hours=number), "available": number % 17 != 3, "topics": topics}
        if number != 70:
            site.add_content(f"item {number:02}", **columns, embedding=vector if number % 13 != 5 else None)
    push_and_drain(site, drawn_actions(rng, ACTIONS), rng)
    site.embed(now=NOW, seconds=0)
    return site


def everybody(site: Site) -> list[str]:
    return [user_id for (user_id,) in site.query("SELECT DISTINCT user_id FROM user_actions ORDER BY user_id")]


def read_lists(site: Site, *, now: datetime) -> dict[str, Items]:
    """Everybody's lists as he who reads them before they are warmed gets them."""
    users = everybody(site)
    site.services.cache.invalidate(users)
    documents = {user_id: site.recommend(user_id, now=now) for user_id in users}
    assert {document["source"] for document in documents.values()} == {"computed"}
    return {user_id: document["items"] for user_id, document in documents.items()}


def warmed_lists(site: Site, *, now: datetime) -> dict[str, Items]:
    """The lists of those who acted lately, all of whom the fixture's settings count."""
    users = everybody(site)
    site.services.cache.invalidate(users)
    services = Services(dataclasses.replace(site.services.settings, active_user_days=3_000.0))
    site.query("UPDATE user_actions SET received_at = greatest(received_at, %s)", NOW - timedelta(days=1))
    assert warm_cache(services, now, Deadline.after(60))["users_warmed"] == len(users)
    services.close()
    documents = {user_id: site.recommend(user_id, now=now) for user_id in users}
    assert {document["source"] for document in documents.values()} == {"cache"}
    return {user_id: document["items"] for user_id, document in documents.items()}


def assert_production_follows_from_the_log(site: Site, *, now: datetime) -> None:
    wanted = recomputed(site, now=now)
    assert len(wanted) > 0.9 * USERS
    assert_same_lists(read_lists(site, now=now), wanted)
    assert_same_lists(warmed_lists(site, now=now), wanted)


@pytest.fixture(params=["as a site of any size", "as if there were too many contents to look at all of them"])
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many candidates there are of each kind: with fewer of them the choice matters."""
    if request.param != "as a site of any size":
        monkeypatch.setattr(site_module, "_PER_HALF_LIFE", 4)
        monkeypatch.setattr(site_module, "_NEWEST", 2)
        monkeypatch.setattr(exploration, "FEWEST_NEW", 2)
        monkeypatch.setattr(personal_module, "_PER_CHANNEL", 5)


@pytest.mark.usefixtures("limits")
@both_ways
def test_every_list_equals_a_recompute_from_the_whole_log(replayed: Site, serves: bool) -> None:
    if serves:
        serve_a_ranker(replayed)
    assert_production_follows_from_the_log(replayed, now=NOW)


def test_every_list_equals_a_recompute_by_what_replaying_the_log_has_taught(replayed: Site) -> None:
    of_the_second_schema(replayed)
    replayed.embed(now=NOW)
    assert learned(replayed).trained.slices > 0
    assert_production_follows_from_the_log(replayed, now=NOW)


@both_ways
def test_after_others_have_acted_lists_equal_a_recompute_once_the_model_is_built_anew(
    replayed: Site, serves: bool
) -> None:
    rng = np.random.default_rng(12)
    tomorrow, version = NOW + timedelta(days=1), active_model(replayed).version
    push_and_drain(replayed, drawn_actions(rng, 300, until=tomorrow, days=1.0), rng)
    replayed.embed(now=tomorrow, seconds=0)
    assert active_model(replayed).version > version
    if serves:
        serve_a_ranker(replayed)
    assert_production_follows_from_the_log(replayed, now=tomorrow)


@both_ways
def test_as_time_passes_lists_equal_a_recompute_though_the_model_stays(replayed: Site, serves: bool) -> None:
    """What the model knows is carried to the moment of the read."""
    if serves:
        serve_a_ranker(replayed)
    later = NOW + timedelta(hours=9)
    assert_same_lists(read_lists(replayed, now=later), recomputed(replayed, now=later))


def add_later_content(site: Site, rng: np.random.Generator, *, count: int = 20) -> None:
    """After the model was built: of both kinds, of neither, of another size, without a vector, of long ago."""
    for number in range(count):
        vector = Vector(rng.standard_normal(12) + 2 * np.eye(12)[number % 2])
        if number % 9 == 4:
            vector = Vector(rng.standard_normal(5))
        columns = {"published_at": NOW - timedelta(days=2 * number), "available": number % 11 != 3}
        site.add_content(f"later {number:02}", **columns, embedding=None if number % 7 == 5 else vector)


@pytest.mark.usefixtures("limits")
@both_ways
def test_with_content_that_came_after_the_building_every_list_equals_a_recompute(replayed: Site, serves: bool) -> None:
    if serves:
        serve_a_ranker(replayed)
    add_later_content(replayed, np.random.default_rng(13))
    assert_production_follows_from_the_log(replayed, now=NOW)


@both_ways
def test_a_vector_that_changes_counts_once_the_model_is_built_anew(replayed: Site, serves: bool) -> None:
    before = read_lists(replayed, now=NOW)
    rng = np.random.default_rng(14)
    for number in range(CONTENTS):
        vector = Vector(rng.standard_normal(12) - 2 * np.eye(12)[number % 2])
        replayed.query("UPDATE content SET embedding = %s WHERE content_id = %s", vector, f"item {number:02}")
    assert read_lists(replayed, now=NOW) == before
    replayed.embed(now=NOW + timedelta(days=1), seconds=0)
    if serves:
        serve_a_ranker(replayed)
    assert read_lists(replayed, now=NOW + timedelta(days=1)) != before
    assert_production_follows_from_the_log(replayed, now=NOW + timedelta(days=1))


GENRES = ("comedy", "drama")


@pytest.fixture
def readers(site: Site) -> Site:
    """Content of two genres, of each of which four readers know most, and a model of it."""
    for genre, axis in zip(GENRES, np.eye(8)[:2], strict=True):
        for number in range(6):
            vector = Vector(axis + 0.1 * np.eye(8)[number + 2])
            site.add_content(f"{genre}{number}", embedding=vector, language={"comedy": "en", "drama": "de"}[genre])
    for number, genre in enumerate(GENRES * 4):
        site.act(*[action(f"{genre} fan {number}", f"{genre}{item}", days_ago=1 + item) for item in range(5)])
    site.act(action("ann", "comedy0"), action("dan", "drama0"), action("grump", "drama1", "hide"))
    site.embed()
    return site


def ids_of(items: Items) -> list[str]:
    return [item["content_id"] for item in items]


def item_of(site: Site, user_id: str, content_id: str) -> dict[str, Any]:
    """What a fresh list says of it."""
    site.services.cache.invalidate([user_id])
    items: Items = site.recommend(user_id)["items"]
    [item] = [item for item in items if item["content_id"] == content_id]
    return item


@both_ways
@pytest.mark.parametrize("columns", [{}, {"embedding": Vector(np.eye(8)[0])}], ids=["without a vector", "with one"])
def test_content_that_is_met_after_the_model_was_built_is_shown_as_what_it_is(
    readers: Site, serves: bool, columns: dict[str, Any]
) -> None:
    if serves:
        serve_a_ranker(readers)
    readers.add_content("hit", **columns)
    readers.act(*[action(f"user {number}", "hit", "like") for number in range(9)])
    for user_id in ("ann", "grump"):
        assert item_of(readers, user_id, "hit")["source"] in ("personal", "popular", "trending")
    if not serves:
        assert ids_of(readers.recommend("grump")["items"])[0] == "hit"


@both_ways
def test_content_that_only_the_model_knew_is_not_new_once_somebody_has_read_it(readers: Site, serves: bool) -> None:
    """Its vector was there when the model was built, and no reader."""
    if serves:
        serve_a_ranker(readers)
    assert item_of(readers, "ann", "drama5")["source"] == "new"
    readers.act(*[action(f"user {number}", "drama5") for number in range(9)])
    item = item_of(readers, "ann", "drama5")
    assert item["source"] in ("personal", "popular", "trending")
    everything = readers.recommend("ann")["items"]
    new = [other for other in everything if other["source"] == "new"]
    assert ids_of(new) == ["comedy5"]
    if serves:
        assert item["score"] > new[0]["score"]
    else:
        assert ids_of(readers.recommend("grump")["items"])[0] == "drama5"


def test_new_content_that_a_user_dislikes_is_in_his_list_no_more(readers: Site) -> None:
    readers.act(action("grump", "comedy5", "hide"))
    assert "comedy5" not in readers.ids("grump")
    assert item_of(readers, "ann", "comedy5")["source"] == "new"


def test_content_that_was_only_disliked_is_not_new_once_somebody_likes_it(readers: Site) -> None:
    readers.act(action("grump", "comedy5", "hide"))
    readers.embed(now=datetime.now(UTC) + timedelta(days=1))
    assert item_of(readers, "ann", "comedy5")["source"] == "new"
    readers.act(action("bob", "comedy5"))
    assert item_of(readers, "ann", "comedy5")["source"] != "new"


def add_new(site: Site) -> list[str]:
    """Content that nobody has met, the newest first."""
    new = ["b", "d", "a", "c"]
    for hours, content_id in enumerate(new):
        site.add_content(content_id, published_at=datetime.now(UTC) - timedelta(hours=hours))
    return new


def test_content_that_nobody_has_met_comes_below_what_is_known_and_the_newest_first(readers: Site) -> None:
    readers.query("DELETE FROM content WHERE content_id IN ('comedy5', 'drama5')")
    new = add_new(readers)
    serve_a_ranker(readers)
    for user_id in ("ann", "grump"):
        items = readers.recommend(user_id)["items"]
        assert ids_of(items)[-4:] == new
        assert {item["source"] for item in items[-4:]} == {"new"}
        assert "new" not in {item["source"] for item in items[:-4]}


def test_content_that_nobody_has_met_is_found_by_a_user_who_has_read_little_too(readers: Site) -> None:
    new = add_new(readers)
    items = readers.recommend("ann")["items"]
    found = [item for item in items if item["source"] == "new"]
    assert {item["content_id"] for item in found} == {*new, "comedy5", "drama5"}
    assert [content_id for content_id in ids_of(items) if content_id in new] == new


@both_ways
def test_new_content_stands_in_each_list_by_how_well_it_suits(readers: Site, serves: bool) -> None:
    """Who has read nothing gets it as everybody reads it, whatever he dislikes."""
    if serves:
        serve_a_ranker(readers)
    readers.act(action("grouch", "comedy1", "hide"))
    kinds = np.eye(8)[:2]
    for number in range(10):
        vector = kinds[number % 2] + 0.05 * np.eye(8)[2 + number // 2]
        readers.add_content(f"{GENRES[number % 2]} new {number}", embedding=Vector(vector))
    new = {}
    for user_id in ("ann", "dan", "grump", "grouch"):
        new[user_id] = [id_ for id_ in readers.ids(user_id) if "new" in id_]
    assert all(id_.startswith("comedy") for id_ in new["ann"][:5])
    assert all(id_.startswith("drama") for id_ in new["dan"][:5])
    assert new["grump"] == new["grouch"]
    assert sorted(new["grump"]) == sorted(new["ann"]) == sorted(new["dan"])


def test_of_new_content_that_nothing_is_known_of_the_newest_comes_first_after_what_suits(readers: Site) -> None:
    new = add_new(readers)
    readers.add_content(
        "suits", "suits too", embedding=Vector(np.eye(8)[0]), published_at=datetime(2020, 1, 1, tzinfo=UTC)
    )
    readers.add_content("doesn't", embedding=Vector(np.eye(8)[1]))
    items = [item for item in readers.recommend("ann")["items"] if item["source"] == "new"]
    assert [id_ for id_ in ids_of(items) if id_ not in ("comedy5", "drama5")] == ["suits", "suits too", *new, "doesn't"]
    scores = {item["content_id"]: item["score"] for item in items}
    assert scores["suits"] == scores["suits too"] > scores["a"] == scores["d"] > scores["doesn't"]


def test_new_content_comes_forward_as_often_as_is_set_and_not_once_it_is_too_old(
    readers: Site, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exploration, "FEWEST_NEW", 0)
    readers.query("DELETE FROM content WHERE content_id IN ('comedy5', 'drama5')")
    readers.add_content("old", published_at=datetime.now(UTC) - timedelta(days=9))
    readers.add_content(*[f"met{number}" for number in range(30)])
    readers.act(*[action("bob", f"met{number}") for number in range(30)])
    add_new(readers)
    for per_page, places in ((0, []), (1, [9, 29]), (2, [4, 14, 24, 34])):
        for days, is_there in ((8.0, False), (10.0, True)):
            set_ = dataclasses.replace(settings, new_items_per_page=per_page, new_content_max_age_days=days)
            services = Services(set_)
            services.cache.invalidate(["ann"])
            ids = dataclasses.replace(readers, services=services).ids("ann")
            services.close()
            assert ("old" in ids) is is_there
            assert [place for place, id_ in enumerate(ids[:36]) if id_ in ("a", "b", "c", "d", "old")] == places


@pytest.mark.parametrize("statement", ["UPDATE content SET available = false", "DELETE FROM content"])
@both_ways
def test_content_that_goes_after_the_model_was_built_is_in_no_list(readers: Site, statement: str, serves: bool) -> None:
    if serves:
        serve_a_ranker(readers)
    users = everybody(readers)
    assert "comedy1" in readers.ids("ann")
    readers.query(f"{statement} WHERE content_id IN ('comedy1', 'drama2')")
    readers.services.cache.invalidate(users)
    for language in (None, "en"):
        for user_id in users:
            assert {"comedy1", "drama2"}.isdisjoint(readers.ids(user_id, language=language))
    readers.services.cache.invalidate(users)
    warm_cache(readers.services, datetime.now(UTC), Deadline.after(60))
    for user_id in users:
        document, _ = readers.services.cache.user_list(user_id)
        assert document is not None
        assert {"comedy1", "drama2"}.isdisjoint(ids_of(document["items"]))


@both_ways
def test_no_author_fills_a_page_that_has_others(readers: Site, serves: bool) -> None:
    """The most popular are ann's, and a stranger's list is what is popular."""
    readers.add_content(*[f"ann's {number}" for number in range(10)], topics=["author:ann", None])
    readers.add_content(*[f"other {number}" for number in range(40)])
    readers.act(*[action(f"crowd{user}", f"ann's {number}") for number in range(10) for user in range(9)])
    readers.act(*[action(f"crowd{user}", f"other {number}") for number in range(40) for user in range(3)])
    readers.embed()
    for user_id in ("ann", "a stranger"):
        page = readers.ids(user_id)[:20]
        assert len(page) == 20
        assert sum(content_id.startswith("ann's") for content_id in page) <= 5  # one may be a discovery


@both_ways
def test_a_language_keeps_all_else_out_of_what_neighbours_make_candidates(readers: Site, serves: bool) -> None:
    if serves:
        serve_a_ranker(readers)
    readers.act(action("bob", "comedy0"), action("bob", "drama0"))
    assert set(readers.ids("bob", language="de")) == {f"drama{number}" for number in range(1, 6)}
    assert set(readers.ids("bob", language="en")) == {f"comedy{number}" for number in range(1, 6)}
    assert readers.ids("bob", language="fr") == []


@both_ways
def test_nothing_that_a_user_acted_on_is_in_his_list(replayed: Site, serves: bool) -> None:
    if serves:
        serve_a_ranker(replayed)
    acted: dict[str, set[str]] = {}
    for user_id, content_id in replayed.query("SELECT DISTINCT user_id, content_id FROM user_actions"):
        acted.setdefault(user_id, set()).add(content_id)
    for user_id, items in read_lists(replayed, now=NOW).items():
        assert acted[user_id].isdisjoint(ids_of(items))


def test_each_user_is_told_what_he_himself_read(replayed: Site) -> None:
    reads: dict[str, set[str]] = {}
    counted = replayed.services.settings.positive_actions
    rows = "SELECT DISTINCT user_id, content_id FROM user_actions WHERE action = ANY(%s)"
    for user_id, content_id in replayed.query(rows, counted):
        reads.setdefault(user_id, set()).add(content_id)
    reasons = 0
    for user_id, items in read_lists(replayed, now=NOW).items():
        told = {item["similar_to"] for item in items if "similar_to" in item}
        assert told <= reads.get(user_id, set())
        assert {item["source"] for item in items if "similar_to" in item} <= {"personal"}
        reasons += len(told)
    assert reasons > USERS


def test_two_users_see_the_same_content_for_reasons_of_their_own(readers: Site) -> None:
    readers.add_content("both", embedding=Vector(np.eye(8)[0] + np.eye(8)[1]))
    readers.add_content(*[f"opera{number}" for number in range(20)], embedding=Vector(np.eye(8)[7]))
    readers.act(action("bob", "both", days_ago=60))
    readers.act(*[action("zoe", f"opera{number}", days_ago=60) for number in range(20)])
    readers.embed(now=datetime.now(UTC) + timedelta(days=1))
    reasons = {user_id: item_of(readers, user_id, "both").get("similar_to") for user_id in ("ann", "dan")}
    assert reasons == {"ann": "comedy0", "dan": "drama0"}


def of_a_later_release(site: Site) -> None:
    """Which packs everything otherwise."""
    site.query("UPDATE recs_models SET format = format + 1, learned = 'not even JSON', learned_map = 'x' WHERE active")
    site.query("UPDATE recs_items SET vectors = 'x', circle = 'x', neighbours = 'x', statistics = ARRAY[1]")


def of_the_third_schema(site: Site) -> None:
    """As its migration leaves it."""
    document = json.loads(active_model(site).learned)
    del document["new_items"]
    site.query("UPDATE recs_models SET format = NULL, learned = %s WHERE active", json.dumps(document))
    site.query("UPDATE recs_items SET circle = NULL")


def of_the_second_schema(site: Site) -> None:
    site.query("UPDATE recs_models SET format = NULL, learned = NULL, half_life_position = NULL WHERE active")
    site.query("DELETE FROM recs_items")


@pytest.mark.parametrize("age", [of_a_later_release, of_the_third_schema, of_the_second_schema])
def test_a_model_of_another_release_counts_as_none_and_is_built_anew_at_the_next_run(
    readers: Site, age: Callable[[Site], None]
) -> None:
    serve_a_ranker(readers)
    readers.add_content("later", embedding=Vector(np.eye(8)[0]))
    version = active_model(readers).version
    age(readers)
    for user_id in ("dan", "grump", "comedy fan 0"):
        document = readers.recommend(user_id)
        assert document["source"] == "computed"
        assert [item["content_id"] for item in document["items"] if item["source"] == "personal"] == []
        assert len(document["items"]) >= 6
    warm_cache(readers.services, datetime.now(UTC), Deadline.after(60))
    refresh_cold_start(readers.services, datetime.now(UTC), Deadline.after(60))
    assert readers.recommend("stranger")["items"]
    readers.embed()
    assert active_model(readers).version > version
    readers.services.cache.invalidate(everybody(readers))
    ids = readers.ids("dan")
    assert ids.index("drama1") < ids.index("comedy1")  # which is as popular and comes first by its id
    assert readers.query("SELECT count(*) FROM recs_items") != [(0,)]


@contextmanager
def with_half_life(site: Site, settings: Settings, hours: float | None) -> Iterator[Site]:
    services = Services(dataclasses.replace(settings, popularity_half_life_hours=hours))
    yield dataclasses.replace(site, services=services)
    services.close()


def test_a_half_life_that_is_set_overrides_what_was_learned_in_every_list(readers: Site, settings: Settings) -> None:
    """A user of whom nothing is known but what he dislikes, and one of whom nothing is known, get what is popular."""
    readers.add_content("now", "once")
    readers.act(*[action(f"user {number}", "once", days_ago=20) for number in range(9)])
    readers.act(*[action(f"user {number}", "now") for number in range(2)])
    readers.embed(now=datetime.now(UTC) + timedelta(days=1))
    firsts = {}
    for hours in (3.0, 9_000.0):
        with with_half_life(readers, settings, hours) as set_:
            set_.services.cache.invalidate(["grump"])
            refresh_cold_start(set_.services, datetime.now(UTC), Deadline.after(60))
            lists = [set_.ids("grump"), set_.ids("stranger")]
            firsts[hours] = [[id_ for id_ in ids if id_ in ("now", "once")] for ids in lists]
    assert firsts == {3.0: [["now", "once"]] * 2, 9_000.0: [["once", "now"]] * 2}


@pytest.mark.parametrize("hours", [1.0, 24.0, 9_000.0])
def test_a_half_life_that_is_set_is_what_the_model_is_built_with(
    readers: Site, settings: Settings, hours: float
) -> None:
    with with_half_life(readers, settings, hours) as set_:
        set_.embed(now=datetime.now(UTC) + timedelta(days=1))
        model = active_model(set_)
    assert model.position == learned(readers).trained.position
    assert model.position == pytest.approx(position_of(hours))
