"""A request and a response, as much as six endpoints need of WSGI."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs

from lib.errors import InvalidInput, PayloadTooLarge

MAX_BODY_BYTES = 1_000_000  # QStash's free plan ends there; our own messages have some 100


@dataclass(frozen=True)
class Request:
    """`headers` by lower-case name; `query` with the values of each name.

    `remote_address` is None where the server tells none, and empty where a proxy calls over a Unix socket.
    """

    method: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    remote_address: str | None

    @property
    def wants_html(self) -> bool:
        """A browser names text/html; curl and programs don't."""
        return "text/html" in self.headers.get("accept", "")

    @property
    def wants_plain_text(self) -> bool:
        """A scraper of Prometheus names text/plain, and a browser's or an app's own client names its kind too."""
        accept = self.headers.get("accept", "")
        return "text/plain" in accept and not self.wants_html and "application/json" not in accept

    def parameter(self, name: str) -> str | None:
        """The value of a query parameter, None where it is absent. Raises InvalidInput where it comes twice."""
        values = self.query.get(name, [])
        if len(values) > 1:
            raise InvalidInput(f"{name} is given {len(values)} times.", fix=f"Give {name} once.")
        return values[0] if values else None


@dataclass(frozen=True)
class Response:
    status: str  # "200 OK"
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def read_request(environ: Mapping[str, Any]) -> Request:
    """Raises PayloadTooLarge, without reading, for a body that is too long."""
    return replace(read_head(environ), body=_read_body(environ))


def read_head(environ: Mapping[str, Any]) -> Request:
    """The request without its body."""
    headers = {name[5:].lower().replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
    return Request(
        method=environ["REQUEST_METHOD"],
        query=parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True),
        headers=headers,
        body=b"",
        remote_address=environ.get("REMOTE_ADDR"),
    )


def _read_body(environ: Mapping[str, Any]) -> bytes:
    length = environ.get("CONTENT_LENGTH") or ""
    if length:
        if not length.isascii() or not length.isdigit():
            raise InvalidInput("Content-Length is no number.")
        if int(length.lstrip("0")[:12] or 0) > MAX_BODY_BYTES:
            raise PayloadTooLarge(fix=f"Send at most {MAX_BODY_BYTES:,} bytes.")
        return _read(environ["wsgi.input"], int(length))
    if not environ.get("wsgi.input_terminated"):
        return b""  # without a length and an end, reading would wait for ever
    body = _read(environ["wsgi.input"], MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise PayloadTooLarge(fix=f"Send at most {MAX_BODY_BYTES:,} bytes.")
    return body


def _read(stream: Any, size: int) -> bytes:
    try:
        return bytes(stream.read(size))
    except Exception as error:  # by each server's own types: a caller who has gone, or chunks that are none
        raise InvalidInput(f"The body can't be read to its end ({type(error).__name__}).") from error


def send(response: Response, environ: Mapping[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    """Answers a WSGI server. Nothing of ours is to be kept by a cache, and HEAD gets no body."""
    headers = {
        **response.headers,
        "Content-Length": str(len(response.body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    start_response(response.status, list(headers.items()))
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else response.body]


def json_response(document: Any, status: str = "200 OK", headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    return Response(status, body, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


def text_response(text: str, content_type: str) -> Response:
    return Response("200 OK", text.encode("utf-8", "replace"), {"Content-Type": content_type})
