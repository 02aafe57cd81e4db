"""Bounds the vendors' HTTP clients in time: by themselves they wait ten minutes, or for ever."""

import time
from collections.abc import Iterator

import httpx

from lib.time_limit import seconds_left

CONNECT_SECONDS = 5.0


def bound(client: httpx.Client, *, seconds: float) -> None:
    """From now on each request ends within so many seconds, or when its caller's time is spent.

    The client's own timeout would be one for all threads, and would begin anew with every byte of an answer.
    """
    client._transport = _BoundedTransport(client._transport, seconds)
    client.timeout = httpx.Timeout(seconds, connect=CONNECT_SECONDS)  # where a proxy of the environment stands between


class _BoundedTransport(httpx.BaseTransport):
    def __init__(self, inner: httpx.BaseTransport, seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        seconds = seconds_left(self._seconds)
        ends_at = time.monotonic() + seconds
        connect = min(seconds, CONNECT_SECONDS)
        request.extensions["timeout"] = {"connect": connect, "write": seconds, "read": seconds, "pool": seconds}
        response = self._inner.handle_request(request)
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _BoundedStream(response.stream, ends_at)
        return response

    def close(self) -> None:
        self._inner.close()


class _BoundedStream(httpx.SyncByteStream):
    def __init__(self, inner: httpx.SyncByteStream, ends_at: float) -> None:
        self._inner = inner
        self._ends_at = ends_at

    def __iter__(self) -> Iterator[bytes]:
        for part in self._inner:
            if time.monotonic() > self._ends_at:
                raise httpx.ReadTimeout("the answer takes too long")
            yield part

    def close(self) -> None:
        self._inner.close()
