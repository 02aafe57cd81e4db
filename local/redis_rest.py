"""Upstash's REST protocol in front of a Redis-compatible server: each token owns one of its logical databases."""

import contextlib
import functools
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

from local.resp import Address
from local.rest_handler import Handler, token_digest


class RedisRest:
    """The front of `server`; `tokens` maps each token to the number of its database. Port 0 means a free one. `handler`
    is what answers, for who looks at what is asked."""

    def __init__(
        self, server: Address, tokens: Mapping[str, int], *, port: int = 0, handler: Callable[..., Handler] = Handler
    ) -> None:
        self._http = _HttpServer(server, port, handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.1,), name="redis-rest", daemon=True)
        for token, database in tokens.items():
            self.add_token(token, database)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def add_token(self, token: str, database: int) -> None:
        """Let `token` use the database of that number."""
        self._http.databases[token_digest(token)] = database

    def start(self) -> None:
        """Answer requests from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection."""
        self._http.shutdown()
        self._http.close_connections()
        self._http.server_close()
        self._thread.join()


class _HttpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, redis: Address, port: int, handler: Callable[..., Handler]) -> None:
        self.databases: dict[bytes, int] = {}
        super().__init__(("127.0.0.1", port), functools.partial(handler, redis, self.databases))
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Wake the threads that wait for a client's next request, so that they end."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
