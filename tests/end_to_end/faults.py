"""Proxies that break on purpose: one for HTTP (Redis's REST front, QStash), one for Postgres."""

import contextlib
import http.client
import json
import select
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal, Self
from urllib.parse import urlsplit

HOST = "127.0.0.1"
POLL_SECONDS = 0.02
DRIP_SECONDS = 0.05  # between two bytes
DRIPS_FOR_SECONDS = 8.0  # longer than anybody here may wait, and still an end


class Proxy(ABC):
    """Listens on a port of its own and serves each connection in a thread, until it is told to refuse them all."""

    def __init__(self) -> None:
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.accepted = 0  # connections, so far
        self._open(port=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.mend()
        self._close()

    def refuse(self) -> None:
        """Nobody listens any more."""
        self._close()

    @abstractmethod
    def mend(self) -> None:
        """From now on everything is as it should be; what the trouble has in its hands is closed."""

    @abstractmethod
    def _serve(self, client: socket.socket) -> None: ...

    def _open(self, port: int) -> None:
        self._listener = socket.create_server((HOST, port))
        self._listener.settimeout(POLL_SECONDS)
        self.port: int = self._listener.getsockname()[1]
        self._is_open = True
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def _reopen(self) -> None:
        if not self._is_open:
            self._open(self.port)

    def _close(self) -> None:
        self._is_open = False
        self._accepting.join()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _accept(self) -> None:
        with self._listener:
            while self._is_open:
                with contextlib.suppress(TimeoutError):
                    client, _ = self._listener.accept()
                    client.settimeout(None)
                    self.accepted += 1
                    thread = threading.Thread(target=self._serve_and_close, args=(client,))
                    self._threads.append(thread)
                    thread.start()

    def _serve_and_close(self, client: socket.socket) -> None:
        with client, self._known(client), contextlib.suppress(OSError):
            self._serve(client)

    @contextlib.contextmanager
    def _known(self, connection: socket.socket) -> Any:
        with self._lock:
            self._connections.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._connections.discard(connection)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """One request, and what may be done with it."""

    def __init__(self, handler: BaseHTTPRequestHandler, body: bytes, target: str, over: threading.Event) -> None:
        self._handler = handler
        self._target = target
        self._over = over
        self.body = body

    @property
    def command(self) -> list[Any]:
        """The Redis command; empty where it is none."""
        value = json.loads(self.body or b"[]")
        return value if isinstance(value, list) else []

    def forward(self) -> Answer:
        """Has it executed."""
        place = urlsplit(self._target)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        with contextlib.closing(connection):
            headers = {name: value for name, value in self._handler.headers.items() if name.lower() != "connection"}
            connection.request(self._handler.command, self._handler.path, self.body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())

    def answer(self, answer: Answer) -> None:
        self._handler.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self._handler.send_header(name, value)
        self._handler.send_header("Content-Length", str(len(answer.body)))
        self._handler.end_headers()
        self._handler.wfile.write(answer.body)

    def hang(self) -> None:
        """Until all is mended."""
        self._over.wait()
        self.cut()

    def cut(self) -> None:
        self._handler.close_connection = True
        self._handler.connection.shutdown(socket.SHUT_RDWR)

    def drip(self, beginning: bytes) -> None:
        """That at once, then a letter at a time, and no end."""
        ends_at = time.monotonic() + DRIPS_FOR_SECONDS
        self._handler.wfile.write(beginning)
        while time.monotonic() < ends_at and not self._over.wait(DRIP_SECONDS):
            self._handler.wfile.write(b"a")
        self.cut()


HttpTrouble = Callable[[Exchange], None]


def says(status: int, body: object, **headers: str) -> HttpTrouble:
    """Answers so, and does nothing; a header's `_` stands for a hyphen."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)
    return lambda exchange: exchange.answer(answer)


def hangs(exchange: Exchange) -> None:
    exchange.hang()


def hangs_after_executing(exchange: Exchange) -> None:
    exchange.forward()
    exchange.hang()


def cuts(exchange: Exchange) -> None:
    exchange.cut()


def cuts_after_executing(exchange: Exchange) -> None:
    exchange.forward()
    exchange.cut()


def drips_its_body(exchange: Exchange) -> None:
    exchange.drip(b'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{"result": "')


def drips_its_headers(exchange: Exchange) -> None:
    exchange.drip(b"HTTP/1.1 200 OK\r\nX-Slow: ")


def dates_its_answers(seconds: float) -> HttpTrouble:
    """Does what it should, with a clock that is ahead by so much."""

    def trouble(exchange: Exchange) -> None:
        answer = exchange.forward()
        exchange.answer(
            Answer(answer.status, {**answer.headers, "Date": formatdate(time.time() + seconds)}, answer.body)
        )

    return trouble


class HttpProxy(Proxy):
    """In front of the HTTP server at `target`."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._over = threading.Event()
        self._trouble: HttpTrouble | None = None
        self._only: Callable[[Exchange], bool] = lambda _: True
        super().__init__()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def give(self, trouble: HttpTrouble, *, only: Callable[[Exchange], bool] = lambda _: True) -> None:
        """From now on that is what requests meet, or only those that `only` picks."""
        self._over = threading.Event()
        self._trouble, self._only = trouble, only

    def mend(self) -> None:
        self._trouble = None
        self._over.set()
        self._reopen()

    def _serve(self, client: socket.socket) -> None:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                proxy._answer(Exchange(self, body, proxy._target, proxy._over))

            do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                pass

        Handler(client, ("", 0), None)  # type: ignore[arg-type]

    def _answer(self, exchange: Exchange) -> None:
        if self._trouble is not None and self._only(exchange):
            self._trouble(exchange)
        else:
            exchange.answer(exchange.forward())


@dataclass(frozen=True)
class PostgresTrouble:
    """What becomes of a connection, at its beginning or when the client sends `at`, `before` or after that is done."""

    does: Literal["cut", "hang"]
    at: bytes = b""
    before: bool = True
    over: threading.Event = field(default_factory=threading.Event)


class PostgresProxy(Proxy):
    """In front of the server at (host, port); it reads along."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._trouble: PostgresTrouble | None = None
        self._frozen: set[socket.socket] = set()
        self._delay_seconds = 0.0
        self.met = 0  # how often the trouble has struck
        super().__init__()

    def give(self, does: Literal["cut", "hang"], *, at: bytes = b"", before: bool = True) -> None:
        self._trouble = PostgresTrouble(does, at, before)

    def slow_down(self, seconds: float) -> None:
        """From now on everything that the server says comes so much later, on each connection."""
        self._delay_seconds = seconds

    def freeze(self) -> None:
        """Nobody answers on the connections that exist; new ones are accepted."""
        with self._lock:
            self._frozen = set(self._connections)

    def mend(self) -> None:
        if self._trouble is not None:
            self._trouble.over.set()
        self._trouble = None
        self._delay_seconds = 0.0
        with self._lock:
            for connection in self._frozen & self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._frozen = set()
        self._reopen()

    def _serve(self, client: socket.socket) -> None:
        trouble = self._trouble
        if trouble is not None and not trouble.at:
            self._strike(trouble)
            return
        with socket.create_connection(self._target) as server:
            while self._is_open and self._pass_on(client, server):
                pass

    def _pass_on(self, client: socket.socket, server: socket.socket) -> bool:
        """What has come meanwhile; False at the end."""
        if client in self._frozen:
            time.sleep(POLL_SECONDS)
            return True
        readable, _, _ = select.select([client, server], [], [], POLL_SECONDS)
        if client in self._frozen:
            return True
        for source in readable:
            data = source.recv(1 << 16)
            trouble = self._trouble
            if data and source is client and trouble is not None and trouble.at and trouble.at in data:
                if not trouble.before:
                    server.sendall(data)
                    self._wait_for_answer(client, server)  # so it is done
                self._strike(trouble)
                return False
            if not data:
                return False
            if source is server:
                time.sleep(self._delay_seconds)
            (server if source is client else client).sendall(data)
        return True

    def _wait_for_answer(self, client: socket.socket, server: socket.socket) -> None:
        """Passes on what else the client sends: a pipeline comes in pieces, and is answered when all of it is there."""
        while self._is_open:
            readable, _, _ = select.select([client, server], [], [], POLL_SECONDS)
            if server in readable:
                server.recv(1 << 16)
                return
            if client in readable:
                data = client.recv(1 << 16)
                if not data:
                    return
                server.sendall(data)

    def _strike(self, trouble: PostgresTrouble) -> None:
        self.met += 1
        if trouble.does == "hang":
            trouble.over.wait()
