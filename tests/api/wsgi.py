"""Calls a WSGI application as a server would."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from wsgiref.validate import validator

from lib.web.edge import Application


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(
    application: Application,
    method: str = "GET",
    path: str = "/",
    *,
    query: str = "",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    remote_address: str = "127.0.0.1",
    **environ: object,
) -> Answer:
    """The answer to one request, checked against the WSGI specification on the way."""
    variables: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "3000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": remote_address,
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/json",
        "HTTP_HOST": "shop.example.com",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **environ,
    }
    variables |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()}
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, header_list: list[tuple[str, str]], *_: object) -> Any:
        started.append((status, header_list))
        return lambda _: None

    chunks = validator(application)(variables, start_response)
    content = b"".join(chunks)
    chunks.close()  # type: ignore[attr-defined]
    [(status, header_list)] = started
    return Answer(int(status.split()[0]), {name.lower(): value for name, value in header_list}, content)
