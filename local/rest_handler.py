"""Requests in Upstash's REST protocol, over HTTP/1.1, answered by a Redis-compatible server.

Statuses are Upstash's 200, 400 (a request over 10 MB too), 401 and 405; besides, 411 for a body of unknown length and
503 where the server behind is away.
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl

from local.resp import Address, Connection, Reply, ServerReplyError
from local.rest_protocol import (
    Command,
    RequestError,
    base64_text,
    envelope,
    parse_command,
    parse_commands,
    parse_path,
    plain_text,
)

MAX_BODY_BYTES = 10 * 1024 * 1024
DRAIN_BYTES = 64 * 1024 * 1024  # read and dropped of a body that is too long, so that its sender sees the answer


def token_digest(token: str) -> bytes:
    """Tokens are looked up by digest: how long a look-up takes then says nothing about the token."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


class Handler(BaseHTTPRequestHandler):
    """One client's HTTP connection, and the one connection to Redis that it has.

    `databases` maps the digest of each token to the number of its logical database.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, redis: Address, databases: Mapping[bytes, int], *request: Any) -> None:
        self._address = redis
        self._databases = databases
        self._redis: Connection | None = None
        self._database = -1
        super().__init__(*request)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client went away
            super().handle()

    def finish(self) -> None:
        self._disconnect()
        super().finish()

    def log_message(self, *_: object) -> None:
        """Nothing: a line for each command would bury everything else."""

    def do_POST(self) -> None:
        status, answer = self._answer()
        text = json.dumps(answer, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Upstash-Sync-Token", "local")  # one server: every read sees every earlier write
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_POST  # noqa: N815 - http.server's names

    def _answer(self) -> tuple[HTTPStatus, object]:
        try:
            return HTTPStatus.OK, self._run(self._read_body())
        except RequestError as error:
            return error.status, {"error": str(error)}
        except ServerReplyError as error:
            return HTTPStatus.BAD_REQUEST, {"error": str(error)}
        except OSError as error:
            self._disconnect()
            return HTTPStatus.SERVICE_UNAVAILABLE, {"error": f"ERR the Redis server is away: {error}"}

    def _read_body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self.close_connection = True
            raise RequestError("ERR a Content-Length is needed", HTTPStatus.LENGTH_REQUIRED)
        size = int(length)
        if size > MAX_BODY_BYTES:
            self._drop(size)
            raise RequestError(f"ERR max request size exceeded. Limit: {MAX_BODY_BYTES} bytes, Actual: {size} bytes")
        body = self.rfile.read(size)
        if len(body) < size:
            self.close_connection = True
            raise RequestError("ERR the body is shorter than its Content-Length")
        return body

    def _drop(self, size: int) -> None:
        self.close_connection = True
        left = min(size, DRAIN_BYTES)
        while left > 0 and (part := self.rfile.read(min(left, 1 << 20))):
            left -= len(part)

    def _run(self, body: bytes) -> object:
        path, _, query = self.path.partition("?")
        parameters = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
        database = self._authorized_database(dict(parameters).get("_token"))
        self._check_method(path)
        if path == "/pipeline":
            commands = parse_commands(body)
            return [self._envelope(reply) for reply in self._connection(database).send(commands)]
        if path == "/multi-exec":
            return self._run_transaction(parse_commands(body), database)
        arguments = [(name, value) for name, value in parameters if name != "_token"]
        command = parse_command(body) if path == "/" else parse_path(path, arguments, body)
        return self._envelope(self._connection(database).call(*command))

    def _run_transaction(self, commands: list[Command], database: int) -> list[dict[str, object]]:
        *_, outcome = self._connection(database).send([[b"MULTI"], *commands, [b"EXEC"]])
        if isinstance(outcome, ServerReplyError):  # one of the commands was not accepted, so none ran
            raise outcome
        assert isinstance(outcome, list)
        return [self._envelope(reply) for reply in outcome]

    def _envelope(self, reply: Reply) -> dict[str, object]:
        encoded = self.headers.get("Upstash-Encoding") == "base64"
        return envelope(reply, base64_text if encoded else plain_text)

    def _authorized_database(self, token_parameter: str | None) -> int:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = token_parameter or ""
        database = self._databases.get(token_digest(token))
        if database is None:
            raise RequestError("WRONGPASS invalid or missing auth token", HTTPStatus.UNAUTHORIZED)
        return database

    def _check_method(self, path: str) -> None:
        body_needed = path in ("/", "/pipeline", "/multi-exec")
        if self.command not in (("POST", "PUT") if body_needed else ("GET", "HEAD", "POST", "PUT")):
            raise RequestError(f"ERR {self.command} is not supported here", HTTPStatus.METHOD_NOT_ALLOWED)

    def _connection(self, database: int) -> Connection:
        """This HTTP connection's own connection to the server."""
        if self._redis is None or database != self._database:
            self._disconnect()
            self._redis, self._database = Connection(self._address, database), database
        return self._redis

    def _disconnect(self) -> None:
        if self._redis:
            self._redis.close()
            self._redis = None
