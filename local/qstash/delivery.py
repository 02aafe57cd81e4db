"""One delivery attempt: a request on a connection of its own, and what came back."""

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from socket import SHUT_RDWR, socket
from urllib.parse import quote, urlsplit

import certifi

from local.qstash.messages import Message, Reply
from local.qstash.options import canonical_name
from local.qstash.signing import sign

MAX_RESPONSE_BYTES = 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_SAFE_IN_TARGET = "%/?:@!$&'()*+,;=-._~[]|"


def delivery_headers(message: Message, key: str, now: float) -> dict[str, str]:
    """The headers of an attempt: those forwarded for the caller, and QStash's own, which none of them can replace."""
    own = {
        "Connection": "close",
        "User-Agent": "Upstash-QStash",
        "Upstash-Signature": sign(key, url=message.draft.url, body=message.draft.body, now=now),
        "Upstash-Message-Id": message.id,
        "Upstash-Retried": str(message.retried),
        "Upstash-Caller-Ip": message.draft.caller_ip,
        "Upstash-Region": "local",
    }
    scheduled = {"Upstash-Schedule-Id": message.schedule_id} if message.schedule_id else {}
    return {**message.draft.options.forward, **own, **scheduled}


class Courier:
    """Sends messages; `abort` ends every attempt that is under way."""

    def __init__(self) -> None:
        self._open: set[socket] = set()
        self._aborted = False
        self._lock = threading.Lock()
        self._tls = ssl.create_default_context(cafile=certifi.where())

    def send(self, message: Message, headers: dict[str, str]) -> Reply:
        """Makes one attempt; an endpoint that can't be reached, or is too slow, is a reply with status 0."""
        timeout = message.draft.options.timeout
        begun = time.monotonic()
        try:
            status, answer_headers, body = self._exchange(message, headers, begun + timeout)
        except TimeoutError:
            return Reply(0, f"no complete answer within {timeout:g} s", seconds=time.monotonic() - begun)
        except (OSError, HTTPException, ValueError) as error:
            return Reply(0, f"{type(error).__name__}: {error}", seconds=time.monotonic() - begun)
        error_text = "" if 200 <= status < 300 else f"answered {status}"
        return Reply(status, error_text, answer_headers, body, time.monotonic() - begun)

    def abort(self) -> None:
        """Breaks the open connections; none can be opened after it."""
        with self._lock:
            self._aborted = True
            for connected in self._open:
                with contextlib.suppress(OSError):
                    connected.shutdown(SHUT_RDWR)

    def _exchange(
        self, message: Message, headers: dict[str, str], deadline: float
    ) -> tuple[int, dict[str, list[str]], bytes]:
        connection = self._connection(message.draft.url, _left(deadline))
        with contextlib.closing(connection):
            connection.connect()
            connected = connection.sock
            with self._registered(connected):
                target = _target(message.draft.url)
                connection.request(message.draft.options.method, target, message.draft.body or None, headers)
                connected.settimeout(_left(deadline))
                with connection.getresponse() as response:
                    return response.status, _headers(response), _read(response, connected, deadline)

    def _connection(self, url: str, timeout: float) -> HTTPConnection:
        parts = urlsplit(url)
        if parts.scheme == "https":
            return HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout, context=self._tls)
        return HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)

    @contextlib.contextmanager
    def _registered(self, connected: socket) -> Iterator[None]:
        with self._lock:
            if self._aborted:
                raise ConnectionAbortedError("the server is stopping")
            self._open.add(connected)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connected)


def _target(url: str) -> str:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return quote(target, safe=_SAFE_IN_TARGET)


def _headers(response: HTTPResponse) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in response.getheaders():
        headers.setdefault(canonical_name(name.lower()), []).append(value)
    return headers


def _read(response: HTTPResponse, connected: socket, deadline: float) -> bytes:
    """The body, up to a limit; the timeout holds for all of it, however often a piece arrives."""
    body = b""
    while len(body) < MAX_RESPONSE_BYTES:
        connected.settimeout(_left(deadline))
        piece = response.read1(_CHUNK_BYTES)
        if not piece:
            break
        body += piece
    return body[:MAX_RESPONSE_BYTES]


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
