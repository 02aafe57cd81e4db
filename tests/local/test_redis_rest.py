import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from upstash_redis import Redis
from upstash_redis.errors import UpstashError

from local.redis_rest import RedisRest
from local.resp import Connection
from local.rest_handler import MAX_BODY_BYTES
from local.servers import Valkey
from tests.conftest import Servers
from tests.support import eventually

NPM = Path(__file__).parent.parent / "npm"

Node = Callable[..., dict[str, Any]]
Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def redis(redis_credentials: tuple[str, str]) -> Iterator[Redis]:
    """The vendor's Python client."""
    url, token = redis_credentials
    with Redis(url, token, rest_retries=0) as client:
        yield client


@pytest.fixture
def stored(servers: Servers, redis_credentials: tuple[str, str]) -> Iterator[Connection]:
    """What is really in the database of this test."""
    with Connection(servers.valkey.address, database_of(redis_credentials)) as connection:
        yield connection


@pytest.fixture
def ask(redis_credentials: tuple[str, str]) -> Iterator[Ask]:
    """`ask(method, path, body, **headers)`: status and JSON, all over one HTTP connection."""
    url, token = redis_credentials
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)

    def request(method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        connection.request(method, path, body, {"Authorization": f"Bearer {token}"} | headers)
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None

    yield request
    connection.close()


@pytest.fixture(scope="session")
def npm_client() -> Path:
    """The script that drives the vendor's npm client, which is installed once."""
    if not shutil.which("node") or not shutil.which("npm"):
        missing = "node and npm are needed to check the REST front with @upstash/redis"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    if not (NPM / "node_modules" / ".package-lock.json").exists():
        installed = subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=NPM, capture_output=True, text=True)
        if installed.returncode:
            pytest.fail(f"npm ci in {NPM} failed:\n{installed.stderr}")
    return NPM / "client.mjs"


@pytest.fixture
def node(npm_client: Path, redis_credentials: tuple[str, str]) -> Node:
    """`node(scenario, token=None)`: what the npm client returned, and the paths that it asked for."""

    def run(scenario: str, token: str | None = None) -> dict[str, Any]:
        url, own_token = redis_credentials
        command = ["node", str(npm_client), scenario, url, token or own_token]
        finished = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        outcome: dict[str, Any] = json.loads(finished.stdout)
        return outcome

    return run


def database_of(credentials: tuple[str, str]) -> int:
    return int(credentials[1].rpartition("-")[2])


# The vendor's Python client


def test_values_come_back_as_they_were_set(redis: Redis) -> None:
    for value in ("text", "OK", "", "é 漢字 😀", '{"a": "\\ud83d"}', "nul \x00 and \x7f", "line\r\nline"):
        assert redis.set("key", value)
        assert redis.get("key") == value
    assert redis.get("none") is None


def test_a_list_that_holds_the_word_ok_comes_back_whole(redis: Redis) -> None:
    redis.rpush("list", "OK", "b", 3)
    assert redis.lrange("list", 0, -1) == ["OK", "b", "3"]
    assert redis.execute(["LMPOP", 1, "list", "LEFT", "COUNT", 2]) == ["list", ["OK", "b"]]
    assert redis.execute(["LMPOP", 1, "none", "LEFT"]) is None


def test_a_client_that_takes_plain_text_reads_it(redis_credentials: tuple[str, str]) -> None:
    url, token = redis_credentials
    with Redis(url, token, rest_encoding=None, rest_retries=0) as redis:
        redis.rpush("list", "OK", "é")
        assert redis.lrange("list", 0, -1) == ["OK", "é"]


def test_a_pipeline_answers_each_command(redis: Redis) -> None:
    pipeline = redis.pipeline()
    pipeline.set("a", "1").incr("a").get("a").get("none")
    assert pipeline.exec() == [True, 2, "2", None]


def test_a_transaction_answers_each_command(redis: Redis) -> None:
    transaction = redis.multi()
    transaction.rpush("list", "a", "b").lpop("list").llen("list")
    assert transaction.exec() == [2, "a", 1]


def test_scripts_run_by_source_and_by_digest(redis: Redis) -> None:
    script = "redis.call('SET', KEYS[1], ARGV[1]) return {ARGV[1], 7, false, {redis.call('GET', KEYS[1])}}"
    assert redis.eval(script, ["key"], ["value"]) == ["value", 7, None, ["value"]]
    digest = redis.script_load(script)
    assert redis.evalsha(digest, ["key"], ["other"]) == ["other", 7, None, ["other"]]
    with pytest.raises(UpstashError, match="NOSCRIPT"):
        redis.evalsha("0" * 40)


def test_a_pipeline_of_nine_megabytes_is_taken(redis: Redis) -> None:
    pipeline = redis.pipeline()
    for _ in range(9_000):
        pipeline.rpush("list", "x" * 1000)
    assert pipeline.exec()[-1] == 9_000
    assert len(redis.lrange("list", 0, -1)) == 9_000


def test_a_request_over_ten_megabytes_is_refused_with_its_size(redis: Redis) -> None:
    with pytest.raises(UpstashError, match=rf"max request size exceeded. Limit: {MAX_BODY_BYTES} bytes"):
        redis.set("key", "x" * MAX_BODY_BYTES)
    assert redis.get("key") is None


def test_a_sender_of_a_body_far_over_the_limit_hears_so(ask: Ask) -> None:
    status, answer = ask("POST", "/", bytes(4 * MAX_BODY_BYTES))
    assert status == 400
    assert "max request size exceeded" in answer["error"]


def test_a_failed_command_raises_the_servers_message(redis: Redis) -> None:
    redis.set("text", "a")
    with pytest.raises(UpstashError, match="WRONGTYPE"):
        redis.lpush("text", "b")
    with pytest.raises(UpstashError, match="unknown command"):
        redis.execute(["NONSENSE"])


def test_a_wrong_token_is_refused(redis_credentials: tuple[str, str]) -> None:
    with Redis(redis_credentials[0], "wrong", rest_retries=0) as redis, pytest.raises(UpstashError, match="WRONGPASS"):
        redis.get("key")


# The vendor's npm client


@pytest.mark.parametrize(
    ("scenario", "elements"),
    [
        ("object", [b'{"user_id":"u1","content_id":"c1"}']),
        ("text", [b'{"user_id":"u1","content_id":"c1"}']),
        ("double text", [rb'"{\"user_id\":\"u1\",\"content_id\":\"c1\"}"']),
        ("array", [b'[{"user_id":"u1","content_id":"c1"},{"user_id":"u2","content_id":"c2"}]']),
        ("several", [b'{"user_id":"u2","content_id":"c2"}', b'{"user_id":"u1","content_id":"c1"}']),
        ("date", [b'"1970-01-01T00:00:00.000Z"']),
        ("null", [b"null"]),
        ("not a number", [b'{"value":null}']),
        ("large integer", [b'{"value":9007199254740992}']),
        ("lone surrogate", [rb'{"user_id":"\ud83d"}']),
        ("bare lone surrogate", ["\N{REPLACEMENT CHARACTER}".encode()]),
    ],
)
def test_what_the_npm_client_pushes(scenario: str, elements: list[bytes], node: Node, stored: Connection) -> None:
    assert node(scenario)["result"] == len(elements)
    assert stored.call(b"LRANGE", b"list", b"0", b"-1") == elements


@pytest.mark.parametrize(
    ("scenario", "result", "path"),
    [
        ("auto-pipelining", ["OK", 2, 3], "/pipeline"),
        ("pipeline", ["OK", {"b": [1, "é", None]}, 0], "/pipeline"),
        ("multi", [2, 2], "/multi-exec"),
        ("eval", ["key", "argument", 7, None], "/pipeline"),
    ],
)
def test_what_the_npm_client_reads_in_one_request(scenario: str, result: object, path: str, node: Node) -> None:
    assert node(scenario) == {"result": result, "paths": [path]}


def test_the_npm_client_reads_a_list_that_holds_the_word_ok(node: Node) -> None:
    assert node("range")["result"] == ["OK", "é", 5]


def test_the_npm_client_reads_errors_in_and_out_of_transactions(node: Node) -> None:
    assert "WRONGTYPE" in node("error")["result"]
    done, failed = node("failing multi")["result"]
    assert done["result"] == "OK"
    assert failed["error"].startswith("WRONGTYPE")


def test_the_npm_client_is_told_that_its_token_is_wrong(node: Node, stored: Connection) -> None:
    assert node("object", token="wrong")["result"]["rejected"].startswith("WRONGPASS")
    assert stored.call(b"DBSIZE") == 0


# Plain HTTP


def test_a_command_may_be_a_path(ask: Ask, stored: Connection) -> None:
    assert ask("GET", "/set/a%2Fb/caf%C3%A9%20%ff") == (200, {"result": "OK"})
    assert stored.call(b"GET", b"a/b") == b"caf\xc3\xa9 \xff"
    assert ask("HEAD", "/get/a%2Fb") == (200, None)
    assert ask("GET", "/get/a%2Fb") == (200, {"result": "café \N{REPLACEMENT CHARACTER}"})


def test_in_base64_every_string_but_a_plain_ok_is_encoded(ask: Ask) -> None:
    base64 = {"Upstash-Encoding": "base64"}
    assert ask("GET", "/rpush/list/OK/%ff", **base64) == (200, {"result": 2})
    assert ask("GET", "/lrange/list/0/1", **base64) == (200, {"result": ["T0s=", "/w=="]})
    assert ask("GET", "/set/key/value", **base64) == (200, {"result": "OK"})


def test_the_body_and_then_the_query_are_a_paths_last_arguments(ask: Ask, stored: Connection) -> None:
    assert ask("POST", "/set/key?EX=100", b"a body/with \xff") == (200, {"result": "OK"})
    assert stored.call(b"GET", b"key") == b"a body/with \xff"
    assert stored.call(b"TTL", b"key") in range(90, 101)
    assert ask("PUT", "/set/key?NX&GET", b"other")[1] == {"result": "a body/with \N{REPLACEMENT CHARACTER}"}


def test_the_token_may_be_a_parameter_of_the_query(ask: Ask, redis_credentials: tuple[str, str]) -> None:
    assert ask("GET", f"/ping?_token={redis_credentials[1]}", Authorization="") == (200, {"result": "PONG"})
    assert ask("GET", "/ping?_token=wrong", Authorization="")[0] == 401


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Bearer wrong", "Bearer \xe9", "Basic YTpi"])
def test_a_request_without_the_token_is_refused(authorization: str, ask: Ask) -> None:
    status, answer = ask("POST", "/", b'["PING"]', Authorization=authorization)
    assert status == 401
    assert answer["error"].startswith("WRONGPASS")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", b""),
        ("/", b"not JSON"),
        ("/", b"\xff\xfe\xff"),
        ("/", b"[" * 200_000),
        ("/", b"{}"),
        ("/", b"[]"),
        ("/", b'[""]'),
        ("/", b'["SET", "key", null]'),
        ("/", b'["SET", "key", ["nested"]]'),
        ("/", b'["SET", "key", NaN]'),
        ("/", b'["SET", "key"]'),
        ("/pipeline", b"[]"),
        ("/pipeline", b'["PING"]'),
        ("/multi-exec", b'[["PING"], []]'),
        ("/multi-exec", b'[["SET", "key", "1"], ["NONSENSE"]]'),
    ],
)
def test_a_bad_request_is_answered_with_an_error_and_changes_nothing(
    path: str, body: bytes, ask: Ask, stored: Connection
) -> None:
    status, answer = ask("POST", path, body)
    assert status == 400
    assert list(answer) == ["error"]
    assert stored.call(b"DBSIZE") == 0
    assert ask("GET", "/ping") == (200, {"result": "PONG"})


def test_numbers_keep_their_digits_and_booleans_their_names(ask: Ask, stored: Connection) -> None:
    ask("POST", "/", b'["RPUSH", "list", 1, 12345678901234567890123, 1.10, 1e3, true, false]')
    expected = [b"1", b"12345678901234567890123", b"1.10", b"1e3", b"true", b"false"]
    assert stored.call(b"LRANGE", b"list", b"0", b"-1") == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/get/key"), ("PATCH", "/"), ("OPTIONS", "/"), ("GET", "/"), ("GET", "/pipeline"), ("HEAD", "/")],
)
def test_a_method_that_does_not_fit_is_refused(method: str, path: str, ask: Ask) -> None:
    assert ask(method, path)[0] == 405


def test_in_a_pipeline_each_command_has_its_own_result_or_error(ask: Ask) -> None:
    status, answers = ask("POST", "/pipeline", b'[["SET", "a", "x"], ["INCR", "a"], ["GET", "a"]]')
    assert status == 200
    assert answers == [
        {"result": "OK"},
        {"error": "ERR value is not an integer or out of range"},
        {"result": "x"},
    ]


@pytest.mark.parametrize("command", ["SUBSCRIBE", "MONITOR", "MULTI", "select", "Auth", "HELLO", "QUIT", "FLUSHALL"])
def test_a_command_that_would_break_the_connection_or_other_databases_is_refused(command: str, ask: Ask) -> None:
    refusal = (400, {"error": f"ERR Command is not available: '{command.upper()}'"})
    assert ask("GET", f"/{command}/1") == refusal
    for path in ("/pipeline", "/multi-exec"):
        assert ask("POST", path, json.dumps([["PING"], [command, "1"]]).encode()) == refusal
    assert ask("GET", "/ping") == (200, {"result": "PONG"})


def test_a_body_of_unknown_length_is_refused(ask: Ask) -> None:
    status, answer = ask("POST", "/", **{"Transfer-Encoding": "chunked", "Content-Length": "0"})
    assert status == 411
    assert "Content-Length" in answer["error"]


def test_every_answer_carries_a_sync_token(redis_credentials: tuple[str, str]) -> None:
    url, token = redis_credentials
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("GET", f"/ping?_token={token}")
    with connection.getresponse() as response:
        assert response.headers["Upstash-Sync-Token"]
    connection.close()


# Databases and the server behind


def test_each_token_owns_a_database(servers: Servers, redis: Redis, redis_credentials: tuple[str, str]) -> None:
    servers.rest.add_token("another", 0)
    with Redis(servers.rest.url, "another", rest_retries=0) as another:
        another.set("theirs", "1")
        redis.set("ours", "1")
        assert redis.keys("*") == ["ours"]
        redis.flushdb()
        assert another.get("theirs") == "1"
        another.delete("theirs")


def test_one_http_connection_may_use_two_tokens(servers: Servers, ask: Ask) -> None:
    servers.rest.add_token("another", 0)
    ask("GET", "/set/key/ours")
    assert ask("GET", "/get/key", Authorization="Bearer another") == (200, {"result": None})
    assert ask("GET", "/get/key") == (200, {"result": "ours"})


def test_a_lost_connection_to_the_server_is_an_error_once(
    ask: Ask, stored: Connection, redis_credentials: tuple[str, str]
) -> None:
    ask("GET", "/set/key/value")
    clients = stored.call(b"CLIENT", b"LIST")
    assert isinstance(clients, bytes)
    (ours,) = (
        line.split()[0].removeprefix(b"id=")
        for line in clients.splitlines()
        if b" db=%d " % database_of(redis_credentials) in line and b"cmd=set" in line
    )
    assert stored.call(b"CLIENT", b"KILL", b"ID", ours) == 1
    assert ask("GET", "/get/key")[0] == 503
    assert ask("GET", "/get/key") == (200, {"result": "value"})


def test_a_server_that_is_away_is_503_and_stop_closes_idle_connections(tmp_path: Path) -> None:
    with Valkey(tmp_path / "valkey", durable=False) as valkey:
        rest = RedisRest(valkey.address, {"token": 3})
        rest.start()
    connection = http.client.HTTPConnection(urlsplit(rest.url).netloc, timeout=10)
    connection.request("GET", "/ping?_token=token")
    with connection.getresponse() as response:
        assert response.status == 503
        assert "away" in json.load(response)["error"]
    rest.stop()
    assert eventually(lambda: connection.sock is None or connection.sock.recv(1) == b"")
    connection.close()
