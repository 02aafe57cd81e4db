import dataclasses
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from lib.adapters import action_queue
from lib.adapters.action_queue import PENDING_KEY, ActionQueue, Claim
from lib.adapters.redis_client import RedisClient
from local.resp import Connection
from tests.adapters.conftest import MakeQueue
from tests.conftest import Servers


def claims_of(queue: ActionQueue) -> Iterator[Claim]:
    while (claim := queue.claim()).batch_id:
        yield claim


@pytest.mark.parametrize("push", ["LPUSH", "RPUSH"])
def test_whatever_a_producer_pushed_is_claimed(redis: RedisClient, queue: ActionQueue, push: str) -> None:
    redis.execute(push, PENDING_KEY, "a", "b", "c")
    claim = queue.claim()
    assert sorted(claim.elements) == ["a", "b", "c"]
    assert claim.pending == 0


def test_the_oldest_comes_first_where_the_producer_uses_lpush(redis: RedisClient, make_queue: MakeQueue) -> None:
    redis.execute("LPUSH", PENDING_KEY, "first", "second", "third")
    queue = make_queue(max_elements=2)
    assert [claim.elements for claim in claims_of(queue)] == [["first", "second"], ["third"]]


def test_a_claim_is_bounded_by_count_and_says_what_is_left(redis: RedisClient, make_queue: MakeQueue) -> None:
    redis.execute("LPUSH", PENDING_KEY, *map(str, range(5)))
    queue = make_queue(max_elements=3)
    assert [(len(claim.elements), claim.pending) for claim in claims_of(queue)] == [(3, 2), (2, 0)]


def test_a_claim_is_bounded_by_bytes(redis: RedisClient, queue: ActionQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action_queue, "MAX_CLAIM_BYTES", 100)
    redis.execute("LPUSH", PENDING_KEY, *["x" * 40] * 5)
    assert [len(claim.elements) for claim in claims_of(queue)] == [2, 2, 1]


def test_an_element_over_the_byte_bound_is_claimed_alone(
    redis: RedisClient, queue: ActionQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(action_queue, "MAX_CLAIM_BYTES", 100)
    redis.execute("LPUSH", PENDING_KEY, "x" * 500, "small")
    assert [list(map(len, claim.elements)) for claim in claims_of(queue)] == [[500], [5]]


def test_identical_payloads_stay_apart(redis: RedisClient, queue: ActionQueue) -> None:
    redis.execute("LPUSH", PENDING_KEY, *["same"] * 5)
    assert queue.claim().elements == ["same"] * 5
    assert queue.count_in_flight() == 5


def test_drains_at_once_and_a_producer_lose_nothing_and_share_nothing(
    redis: RedisClient, make_queue: MakeQueue
) -> None:
    pushed = [str(number) for number in range(300)]
    done_pushing = threading.Event()

    def produce() -> None:
        for first in range(0, 300, 10):
            redis.execute("LPUSH", PENDING_KEY, *pushed[first : first + 10])
        done_pushing.set()

    def drain() -> list[str]:
        queue, taken = make_queue(max_elements=7), []
        while not done_pushing.is_set() or queue.count_pending():
            for claim in claims_of(queue):
                taken += claim.elements
        return taken

    with ThreadPoolExecutor() as threads:
        drains = [threads.submit(drain) for _ in range(3)]
        threads.submit(produce).result()
    assert sorted(element for drain in drains for element in drain.result()) == sorted(pushed)


def test_a_batch_in_flight_is_not_claimed_by_another_drain(redis: RedisClient, make_queue: MakeQueue) -> None:
    redis.execute("LPUSH", PENDING_KEY, "a")
    assert make_queue().claim().elements == ["a"]
    assert make_queue().claim() == Claim(batch_id="", tries=0, elements=[], pending=0)


def test_after_its_lease_another_drain_gets_the_same_batch_under_the_same_id(
    redis: RedisClient, make_queue: MakeQueue
) -> None:
    redis.execute("LPUSH", PENDING_KEY, "a", "b", "c", "d")
    abandoned = make_queue(max_elements=3, lease_seconds=0).claim()
    assert make_queue().claim() == dataclasses.replace(abandoned, tries=2)
    assert make_queue().claim().elements == ["d"], "the batch has a lease again"


def test_a_released_batch_is_claimed_at_once(redis: RedisClient, queue: ActionQueue) -> None:
    redis.execute("LPUSH", PENDING_KEY, "a")
    claim = queue.claim()
    queue.release(claim.batch_id)
    assert queue.claim() == claim


def test_releasing_a_batch_that_is_done_does_not_bring_it_back(redis: RedisClient, queue: ActionQueue) -> None:
    redis.execute("LPUSH", PENDING_KEY, "a")
    claim = queue.claim()
    queue.acknowledge(claim.batch_id, [], at=1.0)
    queue.release(claim.batch_id)
    assert queue.claim().batch_id == ""
    assert redis.execute("KEYS", "recs:*") == ["recs:job:process_user_actions"]


def test_an_acknowledged_batch_is_gone(redis: RedisClient, make_queue: MakeQueue) -> None:
    redis.execute("LPUSH", PENDING_KEY, "a", "b")
    queue = make_queue(lease_seconds=0)
    claim = queue.claim()
    assert queue.count_in_flight() == 2
    queue.acknowledge(claim.batch_id, [], at=1.0)
    assert queue.count_in_flight() == 0
    assert queue.claim().batch_id == ""


def test_an_idle_claim_is_exactly_one_command_and_stamps_the_last_run(
    servers: Servers, redis: RedisClient, queue: ActionQueue
) -> None:
    redis.execute("PING")  # connects
    with Connection(servers.valkey.address) as connection:
        connection.call(b"CONFIG", b"RESETSTAT")
        assert queue.claim().batch_id == ""
        statistics = connection.call(b"INFO", b"commandstats")
    assert isinstance(statistics, bytes)
    calls = dict(re.findall(r"cmdstat_(\S+):calls=(\d+)", statistics.decode()))
    in_the_script = {name.lower() for name in re.findall(r"redis\.call\('(\w+)'", action_queue._CLAIM)}
    assert calls.pop("eval") == "1"
    assert calls.pop("config|resetstat") == "1"
    assert calls.keys() < in_the_script
    assert set(calls.values()) == {"1"}, "what the script runs, and nothing besides"
    assert redis.execute("HGET", "recs:job:process_user_actions", "last_run")
    assert 0 < redis.execute("TTL", "recs:job:process_user_actions") <= 30 * 86_400


def test_an_element_that_is_not_utf_8_does_not_hide_the_others(
    redis: RedisClient, redis_credentials: tuple[str, str], queue: ActionQueue
) -> None:
    url, token = redis_credentials
    redis.execute("LPUSH", PENDING_KEY, "before")
    pushed = httpx.post(
        f"{url}/lpush/{PENDING_KEY}", content=b'{"user_id": "\xff\xfe"}', headers={"Authorization": f"Bearer {token}"}
    )
    assert pushed.json() == {"result": 2}
    redis.execute("LPUSH", PENDING_KEY, "after")
    before, broken, after = queue.claim().elements
    assert (before, after) == ("before", "after")
    assert "\N{REPLACEMENT CHARACTER}" in broken
