"""Bounds the vendors' HTTP clients in time: by themselves they wait ten minutes, or for ever. And lets them keep every
connection that they have made: by themselves they keep twenty, and more requests than that connect again and again."""

from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from lib.errors import OutOfTime
from lib.time_limit import seconds_left, time_limit

CONNECT_SECONDS = 5.0
PART_BYTES = 65_536  # of a request, between two looks at the clock


def bound(client: httpx.Client, *, seconds: float) -> None:
    """From now on each exchange ends within so many seconds, or when its caller's time is spent.

    The client's own timeout would be one for all threads, and would begin anew with every byte of an answer.
    """
    transport = client._transport
    assert isinstance(transport, httpx.HTTPTransport)
    pool = transport._pool
    pool._network_backend = _BoundedBackend(pool._network_backend)
    pool._max_keepalive_connections = pool._max_connections
    client._transport = _BoundedTransport(transport, seconds)
    client.timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)


class _BoundedTransport(httpx.BaseTransport):
    def __init__(self, inner: httpx.BaseTransport, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        seconds_left(self._seconds)  # raises OutOfTime before anything is sent
        with time_limit(self._seconds):
            response = self._inner.handle_request(request)
            response.read()
        return response

    def close(self) -> None:
        self._inner.close()


class _BoundedBackend(httpcore.NetworkBackend):
    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _BoundedSocket(self._inner.connect_tcp(host, port, left, local_address, socket_options))


class _BoundedSocket(httpcore.NetworkStream):
    """Each read and write has what is left of the exchange, not a time of its own."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for first in range(0, len(buffer), PART_BYTES):
            self._inner.write(buffer[first : first + PART_BYTES], _left(timeout, httpcore.WriteTimeout))

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Any:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _BoundedSocket(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def close(self) -> None:
        self._inner.close()


def _left(timeout: float | None, too_late: type[httpcore.TimeoutException]) -> float:
    try:
        return seconds_left(CONNECT_SECONDS if timeout is None else timeout)
    except OutOfTime:
        raise too_late("no complete answer in time") from None
