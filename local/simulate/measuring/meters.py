"""Counts what reaches the services: commands at the REST front, statements and bytes at a proxy before Postgres."""

import contextlib
import functools
import socket
import socketserver
import struct
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from local.resp import Connection, Reply
from local.rest_handler import Handler

PIECE = 256 * 1024
_ENCRYPTION_REQUESTS = (80877103, 80877104)  # of SSL and GSS: a greeting without a type, before the real one


class Meter:
    """Numbers that threads add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, **counts: int) -> None:
        with self._lock:
            self._counts.update(counts)

    def read(self) -> Counter[str]:
        with self._lock:
            return Counter(self._counts)


class MeteredHandler(Handler):
    """Answers, and counts what it answers."""

    def __init__(self, meter: Meter, *arguments: Any) -> None:
        self._meter = meter
        super().__init__(*arguments)

    def _read_body(self) -> bytes:
        body = super()._read_body()
        self._meter.add(redis_bytes=len(body))
        return body

    def send_header(self, keyword: str, value: str) -> None:
        if keyword == "Content-Length":
            self._meter.add(redis_bytes=int(value))
        super().send_header(keyword, value)

    def _connection(self, database: int) -> Connection:
        return _Metered(super()._connection(database), self._meter)  # type: ignore[return-value]


class _Metered:
    """A connection whose commands are counted, each once, as Upstash bills them."""

    def __init__(self, connection: Connection, meter: Meter) -> None:
        self._connection = connection
        self._meter = meter

    def call(self, *command: bytes) -> Reply:
        self._meter.add(redis_commands=1)
        return self._connection.call(*command)

    def send(self, commands: Sequence[Sequence[bytes]]) -> list[Reply]:
        self._meter.add(redis_commands=len(commands))
        return self._connection.send(commands)


class PostgresProxy:
    """Passes connections on to the server at (host, port), and counts statements, round trips and bytes."""

    def __init__(self, host: str, port: int, meter: Meter) -> None:
        self._server = _ProxyServer(("127.0.0.1", 0), functools.partial(_Pass, (host, port), meter))
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="postgres-proxy")

    def __enter__(self) -> "PostgresProxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _ProxyServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _Pass(socketserver.BaseRequestHandler):
    def __init__(self, address: tuple[str, int], meter: Meter, *arguments: Any) -> None:
        self._address = address
        self._meter = meter
        super().__init__(*arguments)

    def handle(self) -> None:
        with socket.create_connection(self._address) as server:
            for end in (server, self.request):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader = FrontendReader(self._meter)
            back = threading.Thread(target=_pump, args=(server, self.request, self._count_answer), daemon=True)
            back.start()
            _pump(self.request, server, reader.feed)
            back.join()

    def _count_answer(self, piece: bytes) -> None:
        self._meter.add(postgres_egress=len(piece))


def _pump(source: socket.socket, target: socket.socket, count: Callable[[bytes], None]) -> None:
    """Until one end closes; then both directions end."""
    with contextlib.suppress(OSError):
        while piece := source.recv(PIECE):
            count(piece)
            target.sendall(piece)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class FrontendReader:
    """Counts what a client asks of Postgres, in pieces as they come. A statement is a simple query or the execution of
    a prepared one; the client then waits: for a simple query's answer, or for what a Sync ends.

    https://www.postgresql.org/docs/current/protocol-message-formats.html
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._buffer = b""
        self._skip = 0
        self._greeted = False

    def feed(self, piece: bytes) -> None:
        statements = round_trips = 0
        if self._skip >= len(piece):
            self._skip -= len(piece)
            return
        data, self._skip = self._buffer + piece[self._skip :], 0
        while len(data) >= (5 if self._greeted else 8):
            kind, size = self._read(data)
            statements += kind in b"QE"
            round_trips += kind in b"QS"
            self._skip = max(0, size - len(data))
            data = data[size:]
            if self._skip:
                break
        self._buffer = data
        if statements or round_trips:
            self._meter.add(statements=statements, round_trips=round_trips)

    def _read(self, data: bytes) -> tuple[bytes, int]:
        """The type and the length of the message that `data` begins with."""
        if self._greeted:
            return data[:1], 1 + int(struct.unpack_from("!I", data, 1)[0])
        size, code = struct.unpack_from("!II", data)
        self._greeted = code not in _ENCRYPTION_REQUESTS
        return b"-", int(size)
