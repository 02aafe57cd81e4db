from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.adapters import action_queue
from lib.adapters import dead_letters as dead_letters_module
from lib.adapters.action_queue import (
    DEAD_LETTERS_BYTES_KEY,
    DEAD_LETTERS_KEY,
    LETTER_LENGTH,
    PENDING_KEY,
    SET_ASIDE_KEY,
    ActionQueue,
)
from lib.adapters.dead_letters import DeadLetters, SetAsideBatch, StoredLetter
from lib.adapters.redis_client import RedisClient
from lib.core.actions import DeadLetter
from lib.errors import RedisUnavailable
from tests.adapters.conftest import MakeQueue


def letters(count: int) -> list[DeadLetter]:
    return [DeadLetter(raw=f"raw {number}", reason="unreadable") for number in range(count)]


def test_dead_letters_are_kept_once_though_two_owners_acknowledge(
    redis: RedisClient, make_queue: MakeQueue, dead_letters: DeadLetters
) -> None:
    redis.execute("LPUSH", PENDING_KEY, "a", "b")
    slow, quick = make_queue(lease_seconds=0), make_queue()
    batch_id = slow.claim().batch_id
    assert quick.claim().batch_id == batch_id
    quick.acknowledge(batch_id, letters(2), at=1.0)
    slow.acknowledge(batch_id, letters(2), at=2.0)
    assert dead_letters.count() == 2
    assert [(letter.raw, letter.reason, letter.at) for letter in dead_letters.latest(10)] == [
        ("raw 1", "unreadable", 1.0),
        ("raw 0", "unreadable", 1.0),
    ]


def test_dead_letters_are_bounded_and_the_latest_stay(
    redis: RedisClient, make_queue: MakeQueue, dead_letters: DeadLetters
) -> None:
    queue = make_queue(dead_letters_max=3)
    for at in (1.0, 2.0):
        redis.execute("LPUSH", PENDING_KEY, "a")
        queue.acknowledge(queue.claim().batch_id, letters(2), at=at)
    assert dead_letters.count() == 3
    kept = [(letter.raw, letter.at) for letter in dead_letters.latest(10)]
    assert kept == [("raw 1", 2.0), ("raw 0", 2.0), ("raw 1", 1.0)]


def test_the_largest_element_that_can_be_pushed_does_not_block_the_queue(
    redis: RedisClient, queue: ActionQueue, dead_letters: DeadLetters
) -> None:
    largest = '"' * 5_200_000  # escaped, the request that pushes it is 10 MB, which is the most
    redis.execute("LPUSH", PENDING_KEY, largest)
    claim = queue.claim()
    assert claim.elements == [largest]
    queue.acknowledge(claim.batch_id, [DeadLetter(largest, "unreadable")], at=1.0)
    assert queue.count_in_flight() == 0
    [letter] = dead_letters.latest(1)
    assert letter.raw == largest[:LETTER_LENGTH]
    assert not letter.is_whole
    assert letter.reason == f"unreadable (only the first {LETTER_LENGTH} of its 5200000 characters are kept)"


@pytest.fixture
def small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that hold two dead letters of `letters` each."""
    monkeypatch.setattr(action_queue, "MAX_LETTERS_BYTES", 120)


@pytest.mark.usefixtures("small_requests")
def test_dead_letters_that_take_several_requests_are_all_kept(
    redis: RedisClient, queue: ActionQueue, dead_letters: DeadLetters
) -> None:
    redis.execute("LPUSH", PENDING_KEY, "a")
    claim = queue.claim()
    queue.acknowledge(claim.batch_id, letters(5), at=1.0)
    assert [letter.raw for letter in dead_letters.latest(10)] == [f"raw {number}" for number in (4, 3, 2, 1, 0)]
    assert redis.execute("KEYS", "recs:[^dj]*") == []


@pytest.mark.usefixtures("small_requests")
def test_an_acknowledgement_that_is_cut_off_goes_on_where_it_stopped(
    redis: RedisClient, queue: ActionQueue, monkeypatch: pytest.MonkeyPatch, dead_letters: DeadLetters
) -> None:
    redis.execute("LPUSH", PENDING_KEY, "a")
    claim = queue.claim()
    with monkeypatch.context() as patch:
        patch.setattr(redis, "script", failing_after(2, redis.script))
        with pytest.raises(RedisUnavailable):
            queue.acknowledge(claim.batch_id, letters(5), at=1.0)
    assert dead_letters.count() == 4
    queue.release(claim.batch_id)
    assert queue.claim() == claim
    queue.acknowledge(claim.batch_id, letters(5), at=2.0)
    assert [letter.raw for letter in dead_letters.latest(10)] == [f"raw {number}" for number in (4, 3, 2, 1, 0)]
    assert queue.count_in_flight() == 0


def failing_after(calls: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which Redis doesn't answer any more after so many calls."""
    left = iter(range(calls))

    def call(*arguments: Any) -> Any:
        if next(left, None) is None:
            raise RedisUnavailable
        return function(*arguments)

    return call


def keep(redis: RedisClient, queue: ActionQueue, *kept: DeadLetter, at: float = 1.0) -> None:
    """Has these dead letters kept as those of one batch."""
    redis.execute("LPUSH", PENDING_KEY, "a")
    queue.acknowledge(queue.claim().batch_id, kept, at=at)


def raws(found: Sequence[StoredLetter]) -> list[str]:
    return [letter.raw for letter in found]


def pending(redis: RedisClient) -> list[str]:
    """What a claim would take, in its order."""
    elements: list[str] = redis.execute("LRANGE", PENDING_KEY, 0, -1)
    return elements[::-1]


def assert_the_counter_is_right(redis: RedisClient) -> None:
    """It equals the length of the letters together, and is gone with the last of them."""
    found: list[str] = redis.execute("LRANGE", DEAD_LETTERS_KEY, 0, -1)
    counted = redis.execute("GET", DEAD_LETTERS_BYTES_KEY)
    assert counted == (str(sum(len(letter.encode()) for letter in found)) if found else None)


def test_dead_letters_are_bounded_in_bytes_and_the_latest_stay(
    redis: RedisClient, queue: ActionQueue, dead_letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(action_queue, "MAX_KEPT_BYTES", 1_000)
    for at in range(20):
        keep(redis, queue, DeadLetter("ü" * at, "unreadable"), DeadLetter("x" * 100, "unreadable"), at=at)
        assert_the_counter_is_right(redis)
        assert int(redis.execute("GET", DEAD_LETTERS_BYTES_KEY)) <= 1_000
    newest, before, *_ = dead_letters.latest(10)
    assert (newest.raw, newest.at, before.raw) == ("x" * 100, 19.0, "ü" * 19)
    assert 4 <= dead_letters.count() <= 8


def test_a_letter_that_is_larger_than_all_may_be_together_is_not_kept(
    redis: RedisClient, queue: ActionQueue, dead_letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(action_queue, "MAX_KEPT_BYTES", 100)
    keep(redis, queue, DeadLetter("x" * 200, "unreadable"))
    assert dead_letters.count() == queue.count_in_flight() == 0
    assert redis.execute("EXISTS", DEAD_LETTERS_BYTES_KEY) == 0


def test_letters_that_are_put_back_are_pending_and_a_second_time_none_is(
    redis: RedisClient, queue: ActionQueue, dead_letters: DeadLetters
) -> None:
    keep(redis, queue, *letters(5))
    some = dead_letters.all()[1:4]
    assert [dead_letters.put_back(some) for _ in range(3)] == [3, 0, 0]
    assert pending(redis) == ["raw 1", "raw 2", "raw 3"]
    assert raws(dead_letters.all()) == ["raw 0", "raw 4"]
    assert_the_counter_is_right(redis)


def test_letters_that_are_dropped_are_gone_and_not_pending(
    redis: RedisClient, queue: ActionQueue, dead_letters: DeadLetters
) -> None:
    keep(redis, queue, *letters(3))
    assert [dead_letters.drop(dead_letters.all()[:2]), dead_letters.drop([])] == [2, 0]
    assert raws(dead_letters.all()) == ["raw 2"]
    assert dead_letters.drop(dead_letters.all()) == 1
    assert pending(redis) == []
    assert redis.execute("EXISTS", DEAD_LETTERS_KEY, DEAD_LETTERS_BYTES_KEY) == 0


def test_two_who_put_the_same_letters_back_at_once_move_each_once(
    redis: RedisClient, queue: ActionQueue, dead_letters: DeadLetters, redis_credentials: tuple[str, str]
) -> None:
    keep(redis, queue, *letters(100))
    found = dead_letters.all()
    clients = [RedisClient(*redis_credentials) for _ in range(3)]
    with ThreadPoolExecutor() as threads:
        moved = list(threads.map(lambda client: DeadLetters(client).put_back(found), clients))
    for client in clients:
        client.close()
    assert sum(moved) == 100
    assert sorted(pending(redis)) == sorted(raws(found))


def test_identical_letters_are_each_their_own(
    redis: RedisClient, queue: ActionQueue, dead_letters: DeadLetters
) -> None:
    keep(redis, queue, *[DeadLetter("same", "unreadable")] * 3)
    found = dead_letters.all()
    assert len({letter.id for letter in found}) == 1
    assert dead_letters.drop(found[:1]) == 1
    assert dead_letters.put_back(found) == 2
    assert pending(redis) == ["same", "same"]
    assert_the_counter_is_right(redis)


def test_every_letter_is_read_oldest_first_however_many_there_are(
    redis: RedisClient, queue: ActionQueue, dead_letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters_module, "LETTERS_AT_ONCE", 3)
    for count in (0, 3, 7):
        keep(redis, queue, *letters(count))
    assert raws(dead_letters.all()) == [f"raw {number}" for count in (3, 7) for number in range(count)]


def test_no_letter_is_missed_though_others_come_while_they_are_read(
    redis: RedisClient, make_queue: MakeQueue, dead_letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters_module, "LETTERS_AT_ONCE", 2)
    queue, execute = make_queue(), redis.execute
    keep(redis, queue, *letters(6))

    def push_another(*command: str | float) -> Any:
        answer = execute(*command)
        if command[0] == "LRANGE" and len(answer) == 2:
            execute("LPUSH", DEAD_LETTERS_KEY, '{"raw": "new", "reason": "", "at": 1}')
        return answer

    monkeypatch.setattr(redis, "execute", push_another)
    found = raws(dead_letters.all())
    assert found[:6] == [f"raw {number}" for number in range(6)]
    assert set(found[6:]) <= {"new"}


TEXTS = ['quotes " and \\', "new\nline\ttab", "ü 用户 🙂", "\x00\x1f\x7f", "</script>", "{}", " "]


def test_what_is_put_back_is_what_was_pushed(redis: RedisClient, queue: ActionQueue, dead_letters: DeadLetters) -> None:
    keep(redis, queue, *[DeadLetter(text, f"unreadable {text}") for text in TEXTS])
    found = dead_letters.all()
    assert [(letter.raw, letter.reason) for letter in found] == [(text, f"unreadable {text}") for text in TEXTS]
    assert dead_letters.put_back(found) == len(TEXTS)
    assert pending(redis) == TEXTS


def test_more_letters_than_a_request_holds_are_put_back(
    redis: RedisClient, queue: ActionQueue, dead_letters: DeadLetters
) -> None:
    keep(redis, queue, *[DeadLetter('"' * 99_000 + str(number), "unreadable") for number in range(40)])
    assert dead_letters.count() == 40
    assert dead_letters.put_back(dead_letters.all()) == 40
    assert len({element[-2:] for element in pending(redis)}) == 40
    assert dead_letters.count() == 0


@pytest.mark.parametrize(("length", "is_whole"), [(59, True), (61, False)])
def test_a_letter_that_was_cut_is_not_whole(
    redis: RedisClient,
    queue: ActionQueue,
    dead_letters: DeadLetters,
    monkeypatch: pytest.MonkeyPatch,
    length: int,
    is_whole: bool,
) -> None:
    for module in (action_queue, dead_letters_module):
        monkeypatch.setattr(module, "LETTER_LENGTH", 60)
    keep(redis, queue, DeadLetter("x" * length, "unreadable"))
    [letter] = dead_letters.all()
    assert (letter.is_whole, len(letter.raw)) == (is_whole, min(length, 60))
    assert ("only the first 60" in letter.reason) is not is_whole


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
batches = st.lists(texts, max_size=5).map(lambda raws: ("keep", raws))
settlements = st.tuples(st.sampled_from(["put back", "drop"]), st.lists(st.integers(0, 9), max_size=4))


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(batches | settlements, min_size=4, max_size=12))
def test_the_bytes_that_are_counted_are_those_that_are_kept_whatever_comes_and_goes(
    redis: RedisClient,
    make_queue: MakeQueue,
    dead_letters: DeadLetters,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[tuple[str, list[Any]]],
) -> None:
    monkeypatch.setattr(action_queue, "MAX_KEPT_BYTES", 500)
    redis.execute("DEL", DEAD_LETTERS_KEY, DEAD_LETTERS_BYTES_KEY, PENDING_KEY)
    queue = make_queue(max_elements=1, dead_letters_max=6)
    for name, parts in steps:
        found, waiting = dead_letters.all(), len(pending(redis))
        chosen = [found[index] for index in set(parts) if index < len(found)] if name != "keep" else []
        if name == "keep":
            redis.execute("DEL", PENDING_KEY)
            keep(redis, queue, *[DeadLetter(raw, "unreadable") for raw in parts])
        elif name == "put back":
            assert dead_letters.put_back(chosen) == len(chosen)
            assert len(pending(redis)) == waiting + len(chosen)
        else:
            assert dead_letters.drop(chosen) == len(chosen)
            assert len(pending(redis)) == waiting
        assert_the_counter_is_right(redis)
        assert dead_letters.count() <= 6
        assert int(redis.execute("GET", DEAD_LETTERS_BYTES_KEY) or 0) <= 500


def test_batches_that_are_set_aside_are_told_the_longest_first(redis: RedisClient, dead_letters: DeadLetters) -> None:
    assert dead_letters.set_aside() == []
    for batch_id, at, elements in (("new", 1_700_000_002, "a"), ("old", 1_700_000_001, "abc")):
        redis.execute("ZADD", SET_ASIDE_KEY, at, batch_id)
        redis.execute("RPUSH", f"recs:batch:{batch_id}", *elements)
        redis.execute("HSET", f"recs:progress:{batch_id}", "tries", 5)
    redis.execute("HSET", "recs:progress:new", "error", "failed: KeyError")
    assert dead_letters.set_aside() == [
        SetAsideBatch("old", at=1_700_000_001, elements=3, tries=5, error=""),
        SetAsideBatch("new", at=1_700_000_002, elements=1, tries=5, error="failed: KeyError"),
    ]
