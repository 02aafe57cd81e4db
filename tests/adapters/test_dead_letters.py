from collections.abc import Callable
from typing import Any

import pytest

from lib.adapters import action_queue
from lib.adapters.action_queue import LETTER_LENGTH, PENDING_KEY, ActionQueue
from lib.adapters.dead_letters import DeadLetters
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
