"""Makes the WSGI applications: methods, size, who may call, errors to HTTP statuses. No exception leaves it.

An exception out of a WSGI function sends no answer at all on Vercel, so what nobody foresaw becomes a JSON 500 with
a reference that stands in the log too.
"""

import logging
import os
import secrets
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lib.adapters.services import Services
from lib.errors import (
    ImpossibleJob,
    InvalidInput,
    PayloadTooLarge,
    RecommenderError,
    ServiceUnavailable,
    SettingsError,
    SignatureRejected,
    Unauthenticated,
)
from lib.settings import parse_settings
from lib.web.authentication import require_key, require_signature
from lib.web.http import Request, Response, json_response, read_head, read_request, send

log = logging.getLogger("recommendations")
logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each Redis command would drown ours

LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
RETRY_AFTER_SECONDS = 10

STATUSES: tuple[tuple[type[RecommenderError], str], ...] = (
    (InvalidInput, "400 Bad Request"),
    (Unauthenticated, "401 Unauthorized"),
    (PayloadTooLarge, "413 Content Too Large"),
    (ImpossibleJob, "489 Not Retryable"),
    (SettingsError, "503 Service Unavailable"),
    (ServiceUnavailable, "503 Service Unavailable"),
)

Handler = Callable[[Request, Services], Response]
StartResponse = Callable[..., object]
Environ = Mapping[str, Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]
Guard = Callable[[Request, Services], None]


def signed_application(path: str, handler: Handler, *, services: Services | None = None) -> Application:
    """POST only, for QStash: the signature is for the configured URL with this constant path."""

    def guard(request: Request, services: Services) -> None:
        require_signature(request, services.settings, path=path)

    return _application(_Endpoint(path, handler, guard, methods=("POST",)), services)


def keyed_application(
    path: str,
    handler: Handler,
    *,
    methods: tuple[str, ...] = ("GET",),
    has_page: bool = False,
    services: Services | None = None,
) -> Application:
    """For a person or the app's server, with the admin key. With `has_page` a browser gets errors as a page too."""

    def guard(request: Request, services: Services) -> None:
        require_key(request, services.settings)

    return _application(_Endpoint(path, handler, guard, methods, has_page), services)


@dataclass(frozen=True)
class _Endpoint:
    path: str
    handler: Handler
    guard: Guard
    methods: tuple[str, ...]
    has_page: bool = False

    def answer(self, environ: Environ, services: Services) -> Response:
        """Everything that a caller may get but the answer to a defect of ours."""
        if environ["REQUEST_METHOD"] not in self.methods:
            return _method_not_allowed(self.methods)
        redact = services.settings.redact
        try:
            request = read_request(environ)
            self.guard(request, services)
            return self.handler(request, services)
        except SignatureRejected as error:
            log.warning("%s refused: %s", _label(environ), redact(error.reason))
            return _error_response(error, redact)
        except RecommenderError as error:
            log.warning("%s %s: %s", _label(environ), error.code, redact(error.message))
            head = read_head(environ)
            as_page = self.has_page and head.wants_html
            return _error_page(error, redact, head) if as_page else _error_response(error, redact)


def _application(endpoint: _Endpoint, services: Services | None) -> Application:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            response = endpoint.answer(environ, services or process_services())
        except Exception as error:
            response = _internal_error(error, environ, services)
        return send(response, environ, start_response)

    return application


def _label(environ: Environ) -> str:
    """With QStash's message id, which its dashboard shows: it isn't signed, so for the log alone."""
    message_id = str(environ.get("HTTP_UPSTASH_MESSAGE_ID", ""))[:100]
    label = f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO', '')[:200]}"
    return f"{label} message={message_id}" if message_id.isprintable() and message_id else label


def _method_not_allowed(methods: tuple[str, ...]) -> Response:
    allowed = ", ".join(methods)
    document = _document("method_not_allowed", f"This answers {allowed} only.", "Use that method.")
    return json_response(document, "405 Method Not Allowed", {"Allow": allowed})


def _error_response(error: RecommenderError, redact: Callable[[str], str]) -> Response:
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    headers = {}
    if isinstance(error, Unauthenticated) and not isinstance(error, SignatureRejected):
        headers["WWW-Authenticate"] = 'Basic realm="recommendations", charset="UTF-8"'
    if isinstance(error, ImpossibleJob):
        headers["Upstash-NonRetryable-Error"] = "true"
    if status.startswith("503"):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return json_response(_document(error.code, redact(error.message), redact(error.fix)), status, headers)


def _error_page(error: RecommenderError, redact: Callable[[str], str], head: Request) -> Response:
    from lib.web.pages import page_response

    plain = _error_response(error, redact)
    shown = {"message": error.message.map(redact), "fix": error.fix.map(redact)}
    page = page_response(head, "error.html", plain.status, **shown)
    return replace(page, headers={**plain.headers, **page.headers})


def _internal_error(error: Exception, environ: Environ, services: Services | None) -> Response:
    reference = secrets.token_hex(6)
    text = "".join(traceback.format_exception(error))  # in the message itself: Vercel ships that alone
    used = services or _process.get("services")
    log.error("%s failed, reference %s: %s", _label(environ), reference, used.settings.redact(text) if used else "")
    message = f"Something went wrong that nobody foresaw. Reference: {reference}."
    document = _document("internal", message, f"Look for {reference} in the log of the function.")
    return json_response(document, "500 Internal Server Error")


def _document(code: str, message: str, fix: str) -> dict[str, dict[str, str]]:
    return {"error": {"code": code, "message": message, "fix": fix}}


_process: dict[str, Services] = {}
_process_lock = threading.Lock()


def process_services() -> Services:
    """Made from the environment at the first request, then shared by the process's threads."""
    with _process_lock:
        if "services" not in _process:
            # Nothing where the host has set up the root logger, as Vercel does; elsewhere INFO would be lost.
            logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
            settings = parse_settings(os.environ)
            for problem in settings.problems:
                log.warning("configuration: %s %s", problem.sentence, problem.fix.partition("\n")[0])
            _process["services"] = Services(settings)
        return _process["services"]
