"""Every function of api/ under the path that Vercel gives it, as one WSGI application for hosts other than Vercel:

gunicorn lib.web.dispatcher:app
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lib.web.http import json_response, send

if TYPE_CHECKING:  # the first function that is imported brings it: starting stays cheap
    from lib.web.edge import Application, Environ, StartResponse

ROOT = Path(__file__).resolve().parents[2]


def find_routes(folder: Path) -> dict[str, Path]:
    """Path -> file: api/x/y.py is /api/x/y, and api/x/index.py is /api/x."""
    routes = {}
    for file in sorted(folder.rglob("*.py")):
        path = file.relative_to(folder.parent).with_suffix("")
        if not any(part.startswith(("_", ".")) for part in path.parts):
            routes["/" + (path.parent if path.name == "index" else path).as_posix()] = file
    return routes


class Functions:
    """The WSGI application. A function is imported at its first request, as on the platform."""

    def __init__(self, folder: Path = ROOT / "api") -> None:
        self._routes = find_routes(folder)
        self._loaded: dict[str, Application] = {}
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        # Both, because gunicorn lets a caller of this machine choose by a header how much of the path is SCRIPT_NAME:
        # what a proxy in front doesn't let through must not be had under another path.
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        if path not in self._routes:
            return _not_found(path, self._routes, environ, start_response)
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


def _not_found(path: str, routes: Iterable[str], environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    error = {"code": "not_found", "message": f"There is no {path[:200]}.", "fix": "Try one of " + ", ".join(routes)}
    response = json_response({"error": error}, "404 Not Found")
    return send(response, environ, start_response)


app = Functions()
