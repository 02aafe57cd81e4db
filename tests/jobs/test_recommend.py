import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pgvector import Vector

from lib.adapters.redis_client import RedisClient
from lib.adapters.services import Services
from lib.errors import PostgresUnavailable
from lib.jobs.rank_lists import rank_lists
from lib.jobs.refresh_cold_start import refresh_cold_start
from lib.jobs.run import Deadline
from lib.settings import Settings
from tests.jobs.site import Site, action
from tests.support import after, count_calls, count_round_trips

GENRES = ("comedy", "drama")
CONTENT = {f"{genre}{number}" for genre in GENRES for number in range(5)}


@pytest.fixture
def readers(site: Site) -> Site:
    """A site with content of two genres, each read by three users, and a model."""
    for genre, axis in zip(GENRES, np.eye(8)[:2], strict=True):
        for number in range(5):
            vector = Vector(axis + 0.1 * np.eye(8)[number + 2])
            site.add_content(f"{genre}{number}", embedding=vector, language={"comedy": "en", "drama": "de"}[genre])
        site.act(*[action(f"{genre} fan {fan}", f"{genre}{number}") for fan in range(3) for number in range(3)])
    site.embed()
    return site


@contextmanager
def without(site: Site, settings: Settings, **away: Any) -> Iterator[Site]:
    """The site as a process sees it for which a service is away."""
    services = Services(dataclasses.replace(settings, **away))
    yield dataclasses.replace(site, services=services)
    services.close()


def no_redis(site: Site, settings: Settings) -> Any:
    return without(site, settings, redis_url="http://127.0.0.1:9")


def no_postgres(site: Site, settings: Settings) -> Any:
    return without(site, settings, database_url="postgresql://ann:secret@127.0.0.1:9/site")


def test_a_list_is_computed_from_the_log_and_then_cached(readers: Site) -> None:
    readers.act(action("ann", "comedy0"))
    computed = readers.recommend("ann")
    assert (computed["user_id"], computed["source"]) == ("ann", "computed")
    assert {item["content_id"] for item in computed["items"]} == CONTENT - {"comedy0"}
    cached = readers.recommend("ann")
    assert cached["source"] == "cache"
    assert (cached["items"], cached["generated_at"]) == (computed["items"], computed["generated_at"])
    assert 0 < readers.redis.execute("TTL", "recommend:user:ann") <= 7_200


def test_a_cached_read_is_one_round_trip_to_each_service(readers: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    readers.act(action("ann", "comedy0"))
    items = readers.recommend("ann")["items"]
    commands = count_calls(monkeypatch, RedisClient, "execute")

    def read() -> None:
        assert readers.recommend("ann", n=4)["items"] == items[:4]

    assert count_round_trips(readers.services.database, read) == 1
    assert len(commands) == 1


def test_a_strangers_published_list_is_two_round_trips_to_each_service(
    readers: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One to see that nothing is known of him, one for what he gets then."""
    refresh_cold_start(readers.services, datetime.now(UTC), Deadline.after(60))
    commands = count_calls(monkeypatch, RedisClient, "execute")
    assert count_round_trips(readers.services.database, lambda: readers.recommend("stranger")) == 2
    assert len(commands) == 2


def test_where_some_of_the_first_are_not_available_those_after_them_are_shown(readers: Site) -> None:
    readers.act(action("ann", "comedy0"))
    ids = readers.ids("ann")
    hidden = [ids[0], ids[3], ids[5]]
    readers.query("UPDATE content SET available = false WHERE content_id = ANY(%s)", hidden)
    shown = [content_id for content_id in ids if content_id not in hidden]
    for n in range(1, len(ids) + 1):
        document = readers.recommend("ann", n=n)
        assert document["source"] == "cache"
        assert [item["content_id"] for item in document["items"]] == shown[:n]


def test_the_users_own_kind_comes_first_among_equally_popular_content(readers: Site) -> None:
    readers.act(action("ann", "comedy4"), action("dan", "drama4"), action("bob", "comedy3"), action("bob", "drama3"))
    assert set(readers.ids("ann")[:3]) == {"comedy0", "comedy1", "comedy2"}
    assert set(readers.ids("dan")[:3]) == {"drama0", "drama1", "drama2"}
    sources = {item["content_id"]: item["source"] for item in readers.recommend("ann")["items"]}
    assert sources["comedy3"] == "personal"
    assert sources["drama0"] in ("popular", "trending")


def test_what_is_popular_lately_comes_first_for_a_user_whose_kind_is_not_known(readers: Site) -> None:
    readers.act(*[action(f"user {number}", "drama4") for number in range(9)], action("ann", "never heard of"))
    first, *_ = readers.recommend("ann")["items"]
    assert first["content_id"] == "drama4"
    assert first["source"] in ("popular", "trending")


def test_at_most_n_are_given_and_scores_fall(readers: Site) -> None:
    readers.act(action("ann", "comedy0"))
    scores = [item["score"] for item in readers.recommend("ann")["items"]]
    assert scores == sorted(scores, reverse=True)
    assert [len(readers.recommend("ann", n=n)["items"]) for n in (1, 3, 100)] == [1, 3, 9]


def test_a_click_changes_the_list_at_once(readers: Site) -> None:
    readers.act(action("ann", "comedy3"))
    first, second, *_ = readers.ids("ann")
    readers.act(action("ann", first, "click"))
    assert first not in readers.ids("ann")
    readers.act(action("ann", "drama4", "purchase"), action("ann", "drama3", "purchase"))
    assert readers.ids("ann")[0] != second


@pytest.mark.parametrize("name", ["view", "purchase", "skip", "hide"])
def test_nothing_that_the_user_acted_on_in_any_way_comes_back(readers: Site, name: str) -> None:
    readers.act(action("ann", "comedy0", days_ago=300), action("ann", "drama0", name))
    assert set(readers.ids("ann")) == CONTENT - {"comedy0", "drama0"}


def test_a_user_who_has_seen_everything_gets_an_empty_list(readers: Site) -> None:
    readers.act(*[action("ann", content_id) for content_id in CONTENT])
    assert [readers.recommend("ann")["items"], readers.recommend("ann")["items"]] == [[], []]


@pytest.mark.parametrize("statement", ["UPDATE content SET available = false", "DELETE FROM content"])
@pytest.mark.parametrize("user_id", ["ann", "stranger"])
def test_what_is_not_available_any_more_is_in_no_list_a_cached_one_included(
    readers: Site, statement: str, user_id: str
) -> None:
    readers.act(action("ann", "comedy0"))
    refresh_cold_start(readers.services, datetime.now(UTC), Deadline.after(60))
    assert "comedy1" in readers.ids(user_id)
    readers.query(f"{statement} WHERE content_id = 'comedy1'")
    assert "comedy1" not in readers.ids(user_id)
    readers.redis.execute("DEL", "recommend:user:ann", "recommend:cold-start")
    assert "comedy1" not in readers.ids(user_id)


@pytest.mark.parametrize("user_id", ["ann", "stranger"])
def test_a_language_keeps_all_else_out_and_is_not_cached(readers: Site, user_id: str) -> None:
    readers.act(action("ann", "drama0"))
    wanted = {f"drama{number}" for number in range(5)} - ({"drama0"} if user_id == "ann" else set())
    assert set(readers.ids(user_id, language="de")) == wanted
    assert readers.ids(user_id, language="fr") == []
    assert readers.cached([user_id]) == set()


def test_a_stranger_gets_what_is_popular_now_then_what_is_new(readers: Site) -> None:
    readers.act(*[action(f"user {number}", "drama1") for number in range(3)])
    readers.query("UPDATE content SET published_at = now() WHERE content_id = 'drama4'")
    readers.query("UPDATE content SET updated_at = now() - interval '1 day'")
    document = readers.recommend("stranger")
    assert (document["user_id"], document["source"]) == ("stranger", "cold_start")
    items = [(item["content_id"], item["source"]) for item in document["items"]]
    assert (items[0], items[6]) == (("drama1", "popular"), ("drama4", "new"))
    assert {content_id for content_id, _ in items} == CONTENT


def test_a_stranger_gets_the_published_cold_start_where_there_is_one(readers: Site) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    refresh_cold_start(readers.services, yesterday, Deadline.after(60))
    document = readers.recommend("stranger", n=2)
    assert (document["user_id"], document["source"], len(document["items"])) == ("stranger", "cold_start", 2)
    assert document["generated_at"] == yesterday.isoformat()


@pytest.mark.parametrize("user_id", ["ann", "stranger"])
def test_a_site_without_content_or_model_answers_with_what_the_log_knows(site: Site, user_id: str) -> None:
    assert site.ids(user_id) == []
    site.act(action("ann", "a"), action("bob", "b"))
    assert set(site.ids(user_id)) == ({"b"} if user_id == "ann" else {"a", "b"})


@pytest.mark.parametrize(("user_id", "source"), [("ann", "computed"), ("stranger", "cold_start")])
def test_without_redis_lists_are_computed(readers: Site, settings: Settings, user_id: str, source: str) -> None:
    readers.act(action("ann", "comedy0"))
    with no_redis(readers, settings) as cut_off:
        document = cut_off.recommend(user_id)
    assert document["source"] == source
    assert document["items"]


def test_without_postgres_a_cached_list_is_served(readers: Site, settings: Settings) -> None:
    readers.act(action("ann", "comedy0"))
    computed = readers.recommend("ann")
    with no_postgres(readers, settings) as cut_off:
        assert cut_off.recommend("ann")["items"] == computed["items"]
        with pytest.raises(PostgresUnavailable):
            cut_off.recommend("stranger")


def test_a_cached_list_that_cannot_be_read_is_computed_anew(readers: Site) -> None:
    readers.act(action("ann", "comedy0"))
    readers.redis.execute("SET", "recommend:user:ann", "{")
    assert [readers.recommend("ann")["source"] for _ in range(2)] == ["computed", "cache"]


def test_a_list_is_not_cached_where_the_user_acted_while_it_was_computed(
    readers: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers.act(action("ann", "comedy0"))
    with monkeypatch.context() as patch:
        acts = after(rank_lists, lambda: readers.act(action("ann", "comedy1")))
        patch.setattr("lib.jobs.rank_lists.rank_lists", acts)
        assert "comedy1" in readers.ids("ann")
    assert readers.cached(["ann"]) == set()
    assert "comedy1" not in readers.ids("ann")
