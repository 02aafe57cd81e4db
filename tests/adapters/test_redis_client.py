import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from lib.adapters import redis_client
from lib.adapters.action_queue import ActionQueue
from lib.adapters.redis_client import RedisClient
from lib.errors import RedisUnavailable
from tests.support import in_a_thread


@contextmanager
def client_of(url: str, token: str) -> Iterator[RedisClient]:
    client = RedisClient(url, token)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def http_server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """The URL of a server whose every answer to a POST is what `answer` writes."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer(self)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with in_a_thread(server):
        yield f"http://127.0.0.1:{server.server_port}"


def test_commands_and_scripts_answer_what_redis_answers(redis: RedisClient) -> None:
    assert redis.execute("APPEND", "key", 1.5) == 3
    assert redis.execute("MGET", "key", "other") == ["1.5", None]
    assert redis.script("return {KEYS[1], ARGV[1], 7}", ["key"], ["argument"]) == ["key", "argument", 7]


def test_a_wrong_token_is_said_without_saying_the_token(redis_credentials: tuple[str, str]) -> None:
    refused = pytest.raises(RedisUnavailable, match="UPSTASH_REDIS_REST_TOKEN: WRONGPASS")
    with client_of(redis_credentials[0], "not-the-token") as client, refused as caught:
        client.execute("GET", "key")
    assert "not-the-token" not in caught.value.message
    assert "UPSTASH_REDIS_REST_TOKEN" in caught.value.fix


def test_a_refused_command_is_said(redis: RedisClient) -> None:
    redis.execute("SET", "key", "text")
    with pytest.raises(RedisUnavailable, match="WRONGTYPE"):
        redis.execute("LLEN", "key")
    assert redis.execute("GET", "key") == "text", "the connection goes on"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://[", "ftp://127.0.0.1"])
def test_a_server_that_is_not_there_is_said(url: str) -> None:
    with client_of(url, "a-token") as client, pytest.raises(RedisUnavailable, match="doesn't answer: ") as caught:
        client.execute("GET", "key")
    assert "UPSTASH_REDIS_REST_URL" in caught.value.fix


def test_a_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_client, "ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # connects, and says nothing
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        with client_of(url, "a-token") as client, pytest.raises(RedisUnavailable, match="ReadTimeout"):
            client.execute("GET", "key")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>Bad gateway</html>", id="a page"),
        pytest.param(b"", id="nothing"),
        pytest.param(b'"text"', id="JSON of another shape"),
        pytest.param(b"[]", id="an array"),
        pytest.param(b"{}", id="an object without a result"),
    ],
)
def test_an_answer_that_is_not_of_redis_is_said(body: bytes) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(502)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    with http_server(answer) as url, client_of(url, "a-token") as client, pytest.raises(RedisUnavailable):
        client.execute("GET", "key")


@pytest.fixture
def lossy(redis_credentials: tuple[str, str]) -> Iterator[RedisClient]:
    """A client whose every command runs and whose every answer gets lost."""
    url, token = redis_credentials

    def run_and_hang_up(request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        httpx.post(url, content=body, headers={"Authorization": request.headers["Authorization"]})

    with http_server(run_and_hang_up) as lossy_url, client_of(lossy_url, token) as client:
        yield client


def test_a_command_whose_answer_got_lost_is_not_run_again(redis: RedisClient, lossy: RedisClient) -> None:
    with pytest.raises(RedisUnavailable, match="RemoteProtocolError"):
        lossy.execute("INCR", "counter")
    assert redis.execute("GET", "counter") == "1"


def test_a_batch_whose_claim_got_lost_is_claimed_again_after_its_lease(redis: RedisClient, lossy: RedisClient) -> None:
    redis.execute("LPUSH", "pending_user_actions", "a", "b", "c")
    with pytest.raises(RedisUnavailable):
        ActionQueue(lossy, max_elements=2, lease_seconds=0, dead_letters_max=1).claim()
    claim = ActionQueue(redis, max_elements=2, lease_seconds=60, dead_letters_max=1).claim()
    assert (claim.elements, claim.pending) == (["a", "b"], 1)
