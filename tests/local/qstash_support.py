"""What the tests of the local QStash share: a clock to move, an endpoint to deliver to, a client."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from qstash import QStash

from local.qstash import QStashServer
from local.qstash.messages import Draft, draft_message
from tests.support import in_a_thread

# 2026-01-01 00:00:30 UTC: half a minute from the next run of `* * * * *`.
START = 1_767_225_630.0


def draft(headers: Mapping[str, str] | None = None, url: str = "https://example.com/hook", body: bytes = b"") -> Draft:
    return draft_message(url, headers or {}, body, "127.0.0.1")


@dataclass
class Clock:
    """Unix seconds that stand still until a test moves them."""

    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class Delivery:
    method: str
    path: str
    headers: Message
    body: bytes


@dataclass
class Answer:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Endpoint:
    """A real HTTP server that keeps what it is sent; `answers` come first, then 200 for good."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.answers: list[Answer] = []
        self.open = threading.Event()
        self.open.set()
        self.active = self.most_active = 0
        self._lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def bodies(self) -> list[bytes]:
        return [delivery.body for delivery in self.deliveries]

    def _take(self, delivery: Delivery) -> Answer:
        with self._lock:
            self.deliveries.append(delivery)
            self.active += 1
            self.most_active = max(self.most_active, self.active)
            answer = self.answers.pop(0) if self.answers else Answer()
        self.open.wait(10)
        with self._lock:
            self.active -= 1
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                answer = endpoint._take(Delivery(self.command, self.path, self.headers, body))
                try:
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(answer.body)
                except OSError:
                    pass  # the caller has given up, as some tests make it do

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 (http.server's names)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
                pass

        return Handler


@contextmanager
def serving_endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    with in_a_thread(endpoint.server):
        try:
            yield endpoint
        finally:
            endpoint.open.set()


@contextmanager
def client_of(server: QStashServer, token: str | None = None) -> Iterator[QStash]:
    client = QStash(token or server.token, base_url=server.url, retry=False)
    try:
        yield client
    finally:
        client.http._client.close()
