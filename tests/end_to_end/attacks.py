"""HTTP byte by byte, because a client library would put right what an attacker sends, and tokens not of QStash."""

import base64
import hmac
import json
import re
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.api.signing import claims, sign
from tests.end_to_end.checkout import Dev

BATCH_PROCESS = "/api/actions/batch-process"
WARM = "/api/recommend/cache/warm"
REFRESH = "/api/recommend/cold-start/refresh"
SIGNED_ENDPOINTS = (BATCH_PROCESS, WARM, REFRESH)
KEYED_ENDPOINTS = ("/api/init", "/api/status", "/api/recommend")

PING = b'{"action": "ping"}'
DRAIN = b'{"action": "process_user_actions"}'
OUTSIDE = "shop.example.com"  # a Host that makes the call none of this machine's
INSIDE = "localhost"
TIMEOUT_SECONDS = 30

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """One answer as it came over the wire; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def write_request(
    method: str, target: str, headers: Headers = (), body: bytes = b"", *, host: str = OUTSIDE, closes: bool = True
) -> bytes:
    """The bytes of a request, with nothing put in but Host and, where it is the connection's last, its end."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    if closes:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def length_of(body: bytes) -> tuple[str, str]:
    return "Content-Length", str(len(body))


def as_one_chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def read_answers(stream: bytes) -> list[Answer]:
    """Every answer of a connection, by their Content-Lengths."""
    answers = []
    while stream:
        head, _, rest = stream.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.[01] (\d{3}) .*", status_line)
        assert match, f"no answer of HTTP, but {stream[:200]!r}"
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        answers.append(Answer(int(match[1]), headers, rest[:length]))
        stream = rest[length:]
    return answers


class Target:
    """scripts/dev as an attacker sees it, and what its owner knows of it."""

    def __init__(self, dev: Dev) -> None:
        self.dev = dev
        self.variables = dev.variables
        self.address = ("127.0.0.1", int(dev.url.rpartition(":")[2]))
        self.key = ("Authorization", f"Bearer {self.variables['ADMIN_API_KEY']}")

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=TIMEOUT_SECONDS)

    def exchange(self, data: bytes) -> bytes:
        """What comes until the server closes the connection; it may do so before it has read everything."""
        received = b""
        with self.connect() as connection, suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(data)
            while part := connection.recv(65_536):
                received += part
        return received

    def send(self, data: bytes) -> list[Answer]:
        return read_answers(self.exchange(data))

    def ask(self, method: str, target: str, headers: Headers = (), body: bytes = b"", *, host: str = OUTSIDE) -> Answer:
        """The one answer to one request."""
        [answer] = self.send(write_request(method, target, headers, body, host=host))
        return answer

    def post(self, path: str, body: bytes, headers: Headers = (), *, host: str = OUTSIDE) -> Answer:
        return self.ask("POST", path, [length_of(body), *headers], body, host=host)

    def signed(self, body: bytes, path: str = BATCH_PROCESS) -> tuple[str, str]:
        """The header of a right signature."""
        return "Upstash-Signature", self.token(body, path=path)

    def token(
        self, body: bytes = PING, /, *, path: str = BATCH_PROCESS, url: str = "", key: str = "", **changes: Any
    ) -> str:
        """A right signature, but for what is changed of it."""
        key = key or self.variables["QSTASH_CURRENT_SIGNING_KEY"]
        return sign(body, url or self.dev.url + path, key, **changes)

    def forged_token(self, header: Mapping[str, object], *, key: str = "", hash_name: str = "sha256") -> str:
        """Right claims under a JOSE header of the attacker's, with an HMAC over both, or none without a hash."""
        head = f"{_part(header)}.{_part(claims(PING, self.dev.url + BATCH_PROCESS))}"
        key = key or self.variables["QSTASH_CURRENT_SIGNING_KEY"]
        return f"{head}.{_encoded(hmac.digest(key.encode(), head.encode(), hash_name)) if hash_name else ''}"

    def redis(self, *command: object) -> Any:
        answer = httpx.post(
            self.variables["UPSTASH_REDIS_REST_URL"],
            json=command,
            headers={"Authorization": f"Bearer {self.variables['UPSTASH_REDIS_REST_TOKEN']}"},
        )
        return answer.json()["result"]

    def scheduled(self) -> list[tuple[str, str]]:
        """The id and the destination of every schedule that QStash holds."""
        answer = httpx.get(
            f"{self.variables['QSTASH_URL']}/v2/schedules",
            headers={"Authorization": f"Bearer {self.variables['QSTASH_TOKEN']}"},
        )
        return sorted((schedule["scheduleId"], schedule["destination"]) for schedule in answer.json())

    @property
    def log(self) -> str:
        """What the functions have written so far: a request's lines are there before its answer is."""
        return log_file(self.dev).read_text(errors="replace")


def log_file(dev: Dev) -> Path:
    return dev.folder / ".local" / "functions.log"


def _part(document: Mapping[str, object]) -> str:
    return _encoded(json.dumps(document).encode())


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
