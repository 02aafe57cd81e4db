import json
from typing import Any

import pytest

from lib.adapters import cache as cache_module
from lib.adapters.cache import COLD_START_KEY, TOPICS_KEY, Cache
from lib.adapters.redis_client import RedisClient
from lib.errors import RedisUnavailable
from local.resp import Connection
from tests.conftest import Servers

LIST = {"user_id": "ann", "items": [{"content_id": "a", "score": 1.0, "source": "personal"}], "source": "cache"}


@pytest.fixture
def cache(redis: RedisClient) -> Cache:
    return Cache(redis, ttl_seconds=600)


def keys_with_ttl(redis: RedisClient) -> dict[str, int]:
    return {key: redis.execute("TTL", key) for key in redis.execute("KEYS", "*")}


def test_a_stored_list_is_read_again(cache: Cache) -> None:
    assert cache.store_user_lists({"ann": LIST}, {"ann": ""}) == 1
    assert cache.user_list("ann") == (LIST, "")
    assert cache.user_list("bob") == (None, "")


def test_reads_are_counted_by_whether_there_was_a_list_some_at_a_time(
    cache: Cache, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.store_user_lists({"ann": LIST}, {"ann": ""})
    for user_id in ("ann", "bob", "ann", "cleo"):
        cache.user_list(user_id)
    assert redis.execute("HGETALL", "recs:totals") == {"cache_hits": "1"}, "the first; the others wait"
    monkeypatch.setattr(cache_module, "COUNT_EVERY_SECONDS", 0)
    cache.user_list("ann")
    assert redis.execute("HMGET", "recs:totals", "cache_hits", "cache_misses") == ["3", "2"]
    hours = redis.execute("KEYS", "recs:counts:*")
    by_hour = [redis.execute("HMGET", hour, "cache_hits", "cache_misses") for hour in hours]
    assert [sum(int(n or 0) for n in column) for column in zip(*by_hour, strict=True)] == [3, 2]
    assert min(redis.execute("TTL", key) for key in (*hours, "recs:totals")) > 0


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [
        pytest.param(b"CONFIG SET maxmemory 1", b"CONFIG SET maxmemory 0", id="it is full"),
        pytest.param(b"REPLICAOF 127.0.0.1 9", b"REPLICAOF NO ONE", id="it is a replica"),
    ],
)
def test_a_redis_that_takes_no_writes_still_gives_the_list(
    cache: Cache, redis: RedisClient, servers: Servers, spoil: bytes, mend: bytes
) -> None:
    cache.store_user_lists({"ann": LIST}, {"ann": ""})
    with Connection(servers.valkey.address) as valkey:
        valkey.call(*spoil.split())
        try:
            with pytest.raises(RedisUnavailable, match=r"OOM|READONLY"):
                cache.check_writable()
            assert cache.user_list("ann") == (LIST, "")
        finally:
            valkey.call(*mend.split())
    assert redis.execute("KEYS", "recs:counts:*") == []


def test_a_list_computed_before_an_action_is_not_stored(cache: Cache) -> None:
    _, generation = cache.user_list("ann")
    cache.invalidate(["ann"])
    assert cache.store_user_lists({"ann": LIST}, {"ann": generation}) == 0
    assert cache.user_list("ann")[0] is None


def test_a_list_computed_after_an_action_is_stored(cache: Cache) -> None:
    cache.invalidate(["ann"])
    _, generation = cache.user_list("ann")
    assert cache.store_user_lists({"ann": LIST}, {"ann": generation}) == 1
    assert cache.user_list("ann")[0] == LIST


def test_one_user_who_acted_does_not_keep_the_lists_of_others_from_being_stored(cache: Cache) -> None:
    users = ["ann", "bob", "cleo"]
    generations = dict(zip(users, cache.generations(users), strict=True))
    cache.invalidate(["bob"])
    assert cache.store_user_lists({user: LIST for user in users}, generations) == 2
    assert [cache.user_list(user)[0] is not None for user in users] == [True, False, True]


def test_more_users_than_a_command_holds_are_stored_and_invalidated(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "USERS_A_COMMAND", 2)
    monkeypatch.setattr(cache_module, "USERS_INVALIDATED", 2)
    users = ["ann", "bob", "cleo", "dan", "eve"]
    assert cache.store_user_lists({user: LIST for user in users}, dict.fromkeys(users, "")) == 5
    cache.invalidate(users)
    assert [cache.user_list(user)[0] for user in users] == [None] * 5
    first = cache.generations(users)
    cache.invalidate(users)
    assert all(first)
    assert not {*first} & {*cache.generations(users)}


def test_invalidating_nobody_is_fine(cache: Cache) -> None:
    cache.invalidate([])


def test_every_key_has_a_time_to_live(cache: Cache, redis: RedisClient) -> None:
    cache.invalidate(["ann"])
    cache.store_user_lists({"bob": LIST}, {"bob": ""})
    cache.store_cold_start({"items": []})
    cache.store_trending_topics([])
    cache.check_writable()
    ttls = keys_with_ttl(redis)
    limits = {
        "recs:generation:ann": 3_600,
        "recommend:user:bob": 600,
        COLD_START_KEY: 86_400,
        TOPICS_KEY: 86_400,
        "recs:check": 60,
    }
    assert ttls.keys() == limits.keys()
    assert all(limits[key] - 30 <= ttl <= limits[key] for key, ttl in ttls.items())


def test_cold_start_and_topics_are_read_again(cache: Cache) -> None:
    assert (cache.cold_start(), cache.trending_topics()) == (None, [])
    topics = [{"topic": "café", "score": 2.5}]
    cache.store_cold_start(LIST)
    cache.store_trending_topics(topics)
    assert (cache.cold_start(), cache.trending_topics()) == (LIST, topics)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("{", id="no JSON"),
        pytest.param("null", id="null"),
        pytest.param("7", id="a number"),
        pytest.param("[1]", id="an array of something else"),
        pytest.param('{"items": {}}', id="a document of another shape"),
    ],
)
def test_a_document_that_cannot_be_read_counts_as_absent(cache: Cache, redis: RedisClient, raw: str) -> None:
    for key in ("recommend:user:ann", COLD_START_KEY, TOPICS_KEY):
        redis.execute("SET", key, raw)
    assert cache.user_list("ann") == (None, "")
    assert cache.cold_start() is None
    assert cache.trending_topics() == []


@pytest.mark.parametrize("user_id", ["ann", "ann:bob", "安", "a b\n", '"', "{a}", "*"])
def test_any_user_id_has_a_list_of_its_own(cache: Cache, redis: RedisClient, user_id: str) -> None:
    mine: dict[str, Any] = {**LIST, "user_id": user_id}
    cache.store_user_lists({user_id: mine}, {user_id: ""})
    assert cache.user_list(user_id)[0] == mine
    assert json.loads(redis.execute("GET", f"recommend:user:{user_id}")) == mine
    assert cache.user_list(f"{user_id}x")[0] is None
