"""The product's one WSGI application, for gunicorn, with a line in the file RECORD as a call begins and as it ends."""

import io
import json
import os
from collections.abc import Iterable
from pathlib import Path

from lib.web.dispatcher import app as product
from lib.web.edge import Environ, StartResponse


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    _note("begin", body)
    try:
        return list(product({**environ, "wsgi.input": io.BytesIO(body)}, start_response))
    finally:
        _note("end", body)


def _note(what: str, body: bytes) -> None:
    """Appended at once, so that lines of several processes stand in the order of time."""
    line = json.dumps({"what": what, "process": os.getpid(), "body": json.loads(body or b"{}")}) + "\n"
    with Path(os.environ["RECORD"]).open("a", buffering=1) as file:
        file.write(line)
