"""The HTTP face, and the server as a whole."""

import contextlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_urlsafe
from types import TracebackType
from urllib.parse import urlsplit

from local.qstash import api
from local.qstash.engine import Engine
from local.qstash.errors import Refused
from local.qstash.page import render_page
from local.qstash.requests import Answer, Request
from local.qstash.signing import SigningKeys
from local.qstash.state import State

MAX_REQUEST_BYTES = 10 * 1024 * 1024
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

Reply = tuple[int, Mapping[str, str], bytes]

logger = logging.getLogger(__name__)


class QStashServer:
    """A local QStash on 127.0.0.1.

    A token and keys that are not given are made at random; port 0 takes any free one. `clock` (unix seconds) may be
    a test's own, which calls `wake` after moving it. At most `parallelism` deliveries run at once, and at most
    `schedule_cap` schedules exist. With a `message_limit` no more than so many messages are taken, as after a day's
    quota; `tokens_elsewhere` are those of accounts in another region.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        token: str | None = None,
        current_key: str | None = None,
        next_key: str | None = None,
        clock: Callable[[], float] = time.time,
        parallelism: int = 10,
        schedule_cap: int = 10,
        message_limit: int | None = None,
        tokens_elsewhere: Collection[str] = (),
    ) -> None:
        self.token = token or token_urlsafe(32)
        self._keys = SigningKeys(current_key, next_key)
        state = State(parallelism=parallelism, schedule_cap=schedule_cap, message_limit=message_limit)
        self._engine = Engine(state, self._keys, clock)
        self._face = _Face(port, self._engine, self.token, tokens_elsewhere)
        self._thread = threading.Thread(target=self._face.serve_forever, args=(0.05,), name="qstash-http", daemon=True)
        self.url = f"http://127.0.0.1:{self._face.server_port}"

    @property
    def current_signing_key(self) -> str:
        return self._keys.current

    @property
    def next_signing_key(self) -> str:
        return self._keys.next

    def environment(self) -> dict[str, str]:
        """The variables with which a client uses this server."""
        return {
            "QSTASH_URL": self.url,
            "QSTASH_TOKEN": self.token,
            "QSTASH_CURRENT_SIGNING_KEY": self.current_signing_key,
            "QSTASH_NEXT_SIGNING_KEY": self.next_signing_key,
        }

    def start(self) -> None:
        self._engine.start()
        self._thread.start()

    def stop(self) -> None:
        """Stops serving and delivering within seconds; attempts under way are broken off."""
        if self._thread.is_alive():
            self._face.shutdown()
            self._thread.join()
        self._face.server_close()
        self._engine.stop()

    def wake(self) -> None:
        """Does now what the clock says is due."""
        self._engine.wake()

    def __enter__(self) -> "QStashServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Face(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, engine: Engine, token: str, tokens_elsewhere: Collection[str]) -> None:
        self.engine = engine
        self.tokens_elsewhere = tokens_elsewhere
        self.authorization = f"Bearer {token}".encode()
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Face
    # A caller that sends nothing frees its thread after this many seconds.
    timeout = 30

    def _handle(self) -> None:
        try:
            status, headers, body = self._answer()
        except Refused as refusal:
            status, headers, body = _json(api.refused(refusal))
        except Exception:
            logger.exception("%s %s", self.command, self.path)
            status, headers, body = _json(Answer(500, {"error": "internal error of the local QStash, see its log"}))
        with contextlib.suppress(ConnectionError):
            self._send(status, headers, body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 (the names are http.server's)

    def _answer(self) -> Reply:
        body = self._read_body()
        if self.command == "GET" and self.path.partition("?")[0] == "/":
            return self._page()
        given = self.headers.get("Authorization", "").encode()
        if given.decode(errors="replace").removeprefix("Bearer ") in self.server.tokens_elsewhere:
            raise Refused(404, "user not found in this region (local)")
        if not hmac.compare_digest(given, self.server.authorization):
            raise Refused(401, "unauthorized: the token is missing or wrong")
        headers = {name.lower(): value for name, value in self.headers.items()}
        caller_ip = str(self.client_address[0])
        return _json(api.answer(self.server.engine, Request(self.command, self.path, headers, body, caller_ip)))

    def _read_body(self) -> bytes:
        if "Transfer-Encoding" in self.headers:
            raise Refused(411, "send a Content-Length")
        text = self.headers.get("Content-Length", "0")
        if not text.isdecimal():
            raise Refused(400, "the Content-Length is not a number")
        if int(text) > MAX_REQUEST_BYTES:
            raise Refused(413, f"a request of {text} bytes, {MAX_REQUEST_BYTES} are allowed")
        body = self.rfile.read(int(text))
        if len(body) < int(text):
            raise Refused(400, "the body ends early")
        return body

    def _page(self) -> Reply:
        """The page needs no token; a name that is not loopback's may be a foreign web page's doing."""
        if urlsplit(f"//{self.headers.get('Host', '')}").hostname not in _LOOPBACK:
            raise Refused(403, "the page is shown on localhost only")
        engine = self.server.engine
        with engine.changed:
            events, schedules = list(engine.state.events), engine.state.schedules.all()
        return 200, {"Content-Type": "text/html; charset=utf-8"}, render_page(events, schedules).encode()

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the parameter is http.server's)
        logger.debug(format, *args)


def _json(answer: Answer) -> Reply:
    return answer.status, {**answer.headers, "Content-Type": "application/json"}, json.dumps(answer.value).encode()
