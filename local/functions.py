"""Serves every function of api/ under the path that Vercel gives it, as one WSGI application.

python -m local.functions --port 3000
"""

import argparse
import importlib.util
import json
import logging
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import waitress
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError

ROOT = Path(__file__).resolve().parent.parent
THREADS = 16
MAX_BODY_BYTES = 64_000_000  # read before the function refuses it: a sender who is cut off early may miss the answer

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def find_routes(folder: Path) -> dict[str, Path]:
    """Path -> file: api/x/y.py is /api/x/y, and api/x/index.py is /api/x."""
    routes = {}
    for file in sorted(folder.rglob("*.py")):
        path = file.relative_to(folder.parent).with_suffix("")
        if not any(part.startswith(("_", ".")) for part in path.parts):
            routes["/" + str(path.parent if path.name == "index" else path)] = file
    return routes


class Functions:
    """The WSGI application. A function is imported at its first request, as on the platform."""

    def __init__(self, folder: Path = ROOT / "api") -> None:
        self._routes = find_routes(folder)
        self._loaded: dict[str, Application] = {}
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path not in self._routes:
            return _not_found(path, self._routes, start_response, head=environ["REQUEST_METHOD"] == "HEAD")
        return self._load(path)(environ, start_response)

    def _load(self, path: str) -> Application:
        with self._lock:
            if path not in self._loaded:
                self._loaded[path] = _import_application(self._routes[path])
            return self._loaded[path]


def _import_application(file: Path) -> Application:
    """By its path, because names such as batch-process.py can't be imported otherwise."""
    spec = importlib.util.spec_from_file_location("function_" + file.stem.replace("-", "_"), file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    application: Application = module.app
    return application


def _not_found(path: str, routes: Iterable[str], start_response: Callable[..., Any], *, head: bool) -> Iterable[bytes]:
    error = {"code": "not_found", "message": f"There is no {path}.", "fix": "Try one of " + ", ".join(routes)}
    body = json.dumps({"error": error}).encode() + b"\n"
    headers = [("Content-Type", "application/json; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response("404 Not Found", headers)
    return [b"" if head else body]


class StrictParser(HTTPRequestParser):  # type: ignore[misc]
    """Refuses a request that is both chunked and of a length: a proxy in front may see two where this sees one."""

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length and Transfer-Encoding exclude each other")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=3000)
    port = parser.parse_args().port
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.chdir(ROOT)
    HTTPChannel.parser_class = StrictParser
    # The proxy headers must stay: they tell a call that came through a tunnel from one of this machine.
    waitress.serve(
        Functions(),
        host="127.0.0.1",
        port=port,
        threads=THREADS,
        clear_untrusted_proxy_headers=False,
        max_request_body_size=MAX_BODY_BYTES,
    )


if __name__ == "__main__":
    main()
