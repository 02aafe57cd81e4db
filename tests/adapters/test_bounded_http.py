"""A vendor's client, whatever the server at its other end does."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx
import pytest

from lib.adapters.bounded_http import bound
from lib.errors import OutOfTime
from lib.time_limit import time_limit

MARGIN_SECONDS = 1.0  # by which a busy machine may be late; what hangs is later by far
LONG_SECONDS = 30.0
FOR_EVER_SECONDS = 3.0  # enough for a test to fail, which else would not end
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"

Serve = Callable[[socket.socket, threading.Event], None]


@contextmanager
def serving(serve: Serve) -> Iterator[str]:
    """The URL of a server that does `serve(connection, ended)` with each connection, in a thread of its own."""
    ended, threads, connections = threading.Event(), list[threading.Thread](), list[socket.socket]()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.02)

    def answer(connection: socket.socket) -> None:
        with suppress(OSError):  # the caller has given up, as the tests make it do
            serve(connection, ended)

    def accept() -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            connections.append(connection)
            threads.append(threading.Thread(target=answer, args=(connection,)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        accepting.join()
        for thread in threads:
            thread.join()
        for each in (*connections, listener):
            each.close()


@contextmanager
def bounded_client(*, seconds: float) -> Iterator[httpx.Client]:
    with httpx.Client(timeout=600.0) as client:  # as the vendors make theirs
        bound(client, seconds=seconds)
        yield client


def hang(connection: socket.socket, ended: threading.Event) -> None:
    ended.wait()


def drip(head: bytes, part: bytes) -> Serve:
    """Says `head` at once and then so much, again and again."""

    def serve(connection: socket.socket, ended: threading.Event) -> None:
        connection.sendall(head)
        gives_up_at = time.monotonic() + FOR_EVER_SECONDS
        while not ended.wait(0.02) and time.monotonic() < gives_up_at:
            connection.sendall(part)

    return serve


def hang_after(text: bytes, seconds: float) -> Serve:
    """Is silent for a while, says something, and then nothing any more."""

    def serve(connection: socket.socket, ended: threading.Event) -> None:
        if not ended.wait(seconds):
            connection.sendall(text)
            ended.wait()

    return serve


UNENDING = {
    "it says nothing": hang,
    "it says a byte at a time": drip(HEAD, b"x"),
    "it says its headers a byte at a time": drip(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "it says one header after another": drip(b"HTTP/1.1 200 OK\r\n", b"X-Another: 1\r\n"),
    "it says to wait again and again": drip(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "it says the beginning": hang_after(HEAD + b"x", 0.0),
}


@pytest.mark.parametrize("serve", UNENDING.values(), ids=UNENDING.keys())
@pytest.mark.parametrize("limited", ["the client", "the request"])
def test_a_server_that_does_not_come_to_an_end_is_given_up_in_time(serve: Serve, limited: str) -> None:
    seconds = {"the client": (0.25, LONG_SECONDS), "the request": (LONG_SECONDS, 0.25)}[limited]
    with serving(serve) as url, bounded_client(seconds=seconds[0]) as client:
        started = time.monotonic()
        with time_limit(seconds[1]), pytest.raises((httpx.TimeoutException, OutOfTime)):
            client.get(url)
        assert time.monotonic() - started < 0.25 + MARGIN_SECONDS


def test_a_byte_shortly_before_the_end_gives_no_more_time() -> None:
    with serving(hang_after(HEAD, 1.3)) as url, bounded_client(seconds=1.5) as client:
        started = time.monotonic()
        with pytest.raises(httpx.TimeoutException):
            client.get(url)
        assert time.monotonic() - started < 1.5 + MARGIN_SECONDS


def read_nothing(connection: socket.socket, ended: threading.Event) -> None:
    ended.wait()


def test_a_server_that_takes_no_more_of_a_long_request_is_given_up_in_time() -> None:
    with serving(read_nothing) as url, bounded_client(seconds=0.4) as client:
        started = time.monotonic()
        with pytest.raises(httpx.TimeoutException):
            client.post(url, content=b"x" * 50_000_000)
        assert time.monotonic() - started < 0.4 + MARGIN_SECONDS


def test_where_no_time_is_left_nothing_is_sent() -> None:
    heard: list[bytes] = []

    def listen(connection: socket.socket, ended: threading.Event) -> None:
        heard.append(connection.recv(1))

    nothing_left = pytest.raises(OutOfTime)
    with serving(listen) as url, bounded_client(seconds=LONG_SECONDS) as client, time_limit(0.0), nothing_left:
        client.get(url)
    assert heard == []


BODY = bytes(range(256)) * 400


def answer_slowly(connection: socket.socket, ended: threading.Event) -> None:
    """A whole answer in many parts, to each request on the connection."""
    while connection.recv(65_536):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
        ended.wait(0.02)
        connection.sendall(b"ngth: %d\r\n\r\n" % len(BODY))
        for first in range(0, len(BODY), 20_000):
            ended.wait(0.02)
            connection.sendall(BODY[first : first + 20_000])


def test_an_answer_within_time_is_whole_and_its_connection_is_used_again() -> None:
    ports: list[int] = []

    def serve(connection: socket.socket, ended: threading.Event) -> None:
        ports.append(connection.getpeername()[1])
        answer_slowly(connection, ended)

    with serving(serve) as url, bounded_client(seconds=10.0) as client:
        for _ in range(3):
            with time_limit(5.0):
                assert client.get(url).content == BODY
    assert len(ports) == 1


def test_connections_of_many_requests_at_once_are_kept_for_the_next_ones() -> None:
    """More than the vendors' clients would keep."""
    at_once, ports = 32, list[int]()

    def serve(connection: socket.socket, ended: threading.Event) -> None:
        ports.append(connection.getpeername()[1])
        while connection.recv(65_536):
            together.wait(timeout=LONG_SECONDS)
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    together = threading.Barrier(at_once)
    with (
        serving(serve) as url,
        bounded_client(seconds=LONG_SECONDS) as client,
        ThreadPoolExecutor(at_once) as threads,
    ):
        for _ in range(3):
            answers = list(threads.map(lambda _: client.get(url).status_code, range(at_once)))
            assert answers == [204] * at_once
    assert len(ports) == at_once


def test_after_a_server_that_hung_the_client_goes_on() -> None:
    first = iter([True])

    def serve(connection: socket.socket, ended: threading.Event) -> None:
        (hang if next(first, False) else answer_slowly)(connection, ended)

    with serving(serve) as url, bounded_client(seconds=10.0) as client:
        with time_limit(0.2), pytest.raises(httpx.TimeoutException):
            client.get(url)
        assert client.get(url).content == BODY


def test_each_thread_has_the_limit_of_its_own_request() -> None:
    def seconds_until_given_up(client: httpx.Client, url: str, seconds: float) -> float:
        started = time.monotonic()
        with time_limit(seconds), pytest.raises(httpx.TimeoutException):
            client.get(url)
        return time.monotonic() - started

    with serving(hang) as url, bounded_client(seconds=LONG_SECONDS) as client, ThreadPoolExecutor() as threads:
        long, short = (threads.submit(seconds_until_given_up, client, url, seconds) for seconds in (1.2, 0.1))
        assert short.result() < 1.1
        assert 1.1 < long.result() < 1.2 + MARGIN_SECONDS
