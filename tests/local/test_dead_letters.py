"""scripts/dead_letters, told by the environment where Redis is."""

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lib.adapters import action_queue
from lib.adapters import dead_letters as dead_letters_module
from lib.adapters.dead_letters import DeadLetters
from lib.adapters.redis_client import RedisClient
from lib.core.actions import DeadLetter
from local import dead_letters as script

Run = Callable[..., int]
Output = pytest.CaptureFixture[str]

AT = 1_700_000_000  # 2023-11-14 22:13:20Z


@dataclasses.dataclass(frozen=True)
class Store:
    """What the script looks into."""

    redis: RedisClient
    letters: DeadLetters

    def keep(self, *raws: str, reason: str = "it is not JSON") -> None:
        queue = action_queue.ActionQueue(self.redis, max_elements=1, lease_seconds=60, dead_letters_max=100)
        self.redis.execute("LPUSH", "pending_user_actions", "a")
        queue.acknowledge(queue.claim().batch_id, [DeadLetter(raw, reason) for raw in raws], at=AT)

    def set_aside(self, batch_id: str, *, error: str = "") -> None:
        self.redis.execute("RPUSH", f"recs:batch:{batch_id}", "one", "two")
        self.redis.execute("HSET", f"recs:progress:{batch_id}", "tries", 5, *(["error", error] if error else []))
        self.redis.execute("ZADD", "recs:set_aside", AT, batch_id)

    def pending(self) -> list[str]:
        elements: list[str] = self.redis.execute("LRANGE", "pending_user_actions", 0, -1)
        return elements[::-1]

    def id_of(self, raw: str) -> str:
        return next(letter.id for letter in self.letters.all() if letter.raw == raw)

    def raws(self) -> list[str]:
        return [letter.raw for letter in self.letters.all()]

    def batches(self) -> list[str]:
        return [batch.batch_id for batch in self.letters.set_aside()]


@pytest.fixture
def store(redis_credentials: tuple[str, str]) -> Iterator[Store]:
    redis = RedisClient(*redis_credentials)
    yield Store(redis, DeadLetters(redis))
    redis.close()


@pytest.fixture
def run(redis_credentials: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """`run(*arguments, **changes)`: the exit status, with the test's Redis."""
    url, token = redis_credentials

    def run(*arguments: str, **changes: str) -> int:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["scripts/dead_letters", *arguments])
        environment = {"UPSTASH_REDIS_REST_URL": url, "UPSTASH_REDIS_REST_TOKEN": token}
        for name in ("KV_REST_API_URL", "KV_REST_API_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        for name, value in (environment | changes).items():
            monkeypatch.setenv(name, value)
        return script.main()

    return run


@pytest.mark.parametrize("arguments", [(), ("list",)])
def test_where_there_is_nothing_it_says_so(run: Run, capsys: Output, arguments: tuple[str, ...]) -> None:
    assert run(*arguments) == 0
    assert capsys.readouterr().out == "0 batches set aside, 0 dead letters.\n"


def test_batches_and_letters_are_listed_with_their_ids_and_reasons(run: Run, store: Store, capsys: Output) -> None:
    store.keep("first", "second\nline " + "x" * 300)
    store.set_aside("b1", error="failed: KeyError")
    store.set_aside("b2")
    assert run() == 0
    newest, oldest = store.letters.latest(2)
    assert capsys.readouterr().out.splitlines() == [
        "2 batches set aside, 2 dead letters.",
        "b1  2023-11-14 22:13:20Z  batch of 2 elements, tried 5 times: failed: KeyError",
        "b2  2023-11-14 22:13:20Z  batch of 2 elements, tried 5 times: its drains ended without a word",
        f"{newest.id}  2023-11-14 22:13:20Z  it is not JSON",
        f"    {'second' + chr(10) + 'line ' + 'x' * 188 + ' ...'!r}",
        f"{oldest.id}  2023-11-14 22:13:20Z  it is not JSON",
        "    'first'",
    ]


@pytest.mark.parametrize(("latest", "shown"), [("2", ["c", "b"]), ("0", []), ("-1", []), ("9", ["c", "b", "a"])])
def test_as_many_letters_are_listed_as_are_asked_for_and_the_others_counted(
    run: Run, store: Store, capsys: Output, latest: str, shown: list[str]
) -> None:
    store.keep("a", "b", "c")
    assert run("list", "--latest", latest) == 0
    output = capsys.readouterr().out
    assert [line.strip("' ") for line in output.splitlines() if line.startswith("    ")] == shown
    left = 3 - len(shown)
    assert (f"... and {left} older letters (list --latest 3)." in output) is (left > 0)


def test_a_letter_and_a_batch_are_put_back_by_their_ids(run: Run, store: Store, capsys: Output) -> None:
    store.keep("a", "b", "c")
    store.set_aside("b1")
    store.set_aside("b2")
    assert run("put-back", store.id_of("b"), "b1") == 0
    assert capsys.readouterr().out == "✅ 1 dead letters and 1 batches put back.\n"
    assert (store.pending(), store.raws(), store.batches()) == (["b"], ["a", "c"], ["b2"])
    assert store.redis.execute("ZRANGE", "recs:leases", 0, -1) == ["b1"]


def test_everything_is_put_back_and_a_second_time_nothing(run: Run, store: Store, capsys: Output) -> None:
    store.keep("a", "b", "b")
    store.set_aside("b1")
    assert [run("put-back", "--all"), run("put-back", "--all")] == [0, 0]
    assert capsys.readouterr().out.splitlines() == [
        "✅ 3 dead letters and 1 batches put back.",
        "✅ 0 dead letters and 0 batches put back.",
    ]
    assert (store.pending(), store.raws(), store.batches()) == (["a", "b", "b"], [], [])


def test_what_is_dropped_is_gone_and_nothing_is_pending(run: Run, store: Store, capsys: Output) -> None:
    store.keep("a", "b")
    store.set_aside("b1")
    assert run("drop", store.id_of("a"), "b1") == 0
    assert capsys.readouterr().out == "✅ 1 dead letters and 1 batches dropped.\n"
    assert run("drop", "--all") == 0
    assert (store.pending(), store.raws(), store.batches()) == ([], [], [])
    assert store.redis.execute("KEYS", "recs:[^j]*") == []


@pytest.mark.parametrize("command", ["put-back", "drop"])
def test_an_id_that_is_not_there_is_said_and_the_others_are_done(
    run: Run, store: Store, capsys: Output, command: str
) -> None:
    store.keep("a", "b")
    assert run(command, "unknown", store.id_of("a"), "0123456789") == 1
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("✅ 1 dead letters and 0 batches ")
    assert rest == [f"❌ There is no dead letter and no batch {name}." for name in ("0123456789", "unknown")]
    assert store.raws() == ["b"]


def test_a_letter_that_was_cut_is_not_put_back_and_that_is_said(
    run: Run, store: Store, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (action_queue, dead_letters_module):
        monkeypatch.setattr(module, "LETTER_LENGTH", 20)
    store.keep("x" * 21, "whole")
    cut = store.id_of("x" * 20)
    assert run("put-back", "--all") == 1
    assert capsys.readouterr().out.splitlines() == [
        "✅ 1 dead letters and 0 batches put back.",
        f"❌ {cut} is too long to be put back: only its beginning is kept. Push it again, or drop it.",
    ]
    assert (store.pending(), store.raws()) == (["whole"], ["x" * 20])
    assert run("drop", cut) == 0
    assert store.raws() == []


@pytest.mark.parametrize(
    "arguments", [("put-back",), ("drop",), ("put-back", "an-id", "--all"), ("throw-away",), ("list", "--latest", "x")]
)
def test_a_command_that_does_not_say_what_is_meant_does_nothing(
    run: Run, store: Store, capsys: Output, arguments: tuple[str, ...]
) -> None:
    store.keep("a")
    with pytest.raises(SystemExit, match="2"):
        run(*arguments)
    assert "usage: scripts/dead_letters" in capsys.readouterr().err
    assert (store.raws(), store.pending()) == (["a"], [])


@pytest.mark.parametrize("arguments", [(), ("put-back", "--all"), ("drop", "an-id")], ids=["list", "put back", "drop"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"UPSTASH_REDIS_REST_URL": ""}, "❌ UPSTASH_REDIS_REST_URL is not set", id="no address"),
        pytest.param({"UPSTASH_REDIS_REST_TOKEN": ""}, "❌ UPSTASH_REDIS_REST_TOKEN is not set", id="no token"),
        pytest.param({"UPSTASH_REDIS_REST_URL": "http://127.0.0.1:9"}, "❌ Redis doesn't answer", id="redis away"),
        pytest.param({"UPSTASH_REDIS_REST_TOKEN": "a-wrong-one"}, "❌ Redis doesn't know", id="a wrong token"),
    ],
)
def test_what_keeps_it_from_its_work_is_said_with_its_mend(
    run: Run,
    capsys: Output,
    redis_credentials: tuple[str, str],
    arguments: tuple[str, ...],
    changes: dict[str, str],
    said: str,
) -> None:
    assert run(*arguments, **changes) == 1
    captured = capsys.readouterr()
    first, second, *block = captured.out.splitlines()
    assert first.startswith(said)
    assert second.startswith("   → ")
    assert all(line.startswith("     ") for line in block)
    assert "a-wrong-one" not in captured.out + captured.err
    assert redis_credentials[1] not in captured.out + captured.err
