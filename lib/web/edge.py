"""Makes the WSGI applications: methods, size, who may call, errors to HTTP statuses. No exception leaves it.

An exception out of a WSGI function sends no answer at all on Vercel, so what nobody foresaw becomes a JSON 500 with
a reference that stands in the log too.
"""

import logging
import os
import threading
import time
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
from lib.log_lines import formatter, line, log, log_defect, naming
from lib.settings import parse_settings
from lib.web.authentication import require_key, require_signature
from lib.web.http import Request, Response, json_response, read_head, read_request, send

logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each Redis command would drown ours

RETRY_AFTER_SECONDS = 10
ID_LENGTH = 100  # characters of an id of QStash's that are logged

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
Redact = Callable[[str], str]


def signed_application(path: str, handler: Handler, *, services: Services | None = None) -> Application:
    """POST only, for QStash: the signature is for the configured URL with this constant path."""

    def guard(request: Request, services: Services) -> None:
        require_signature(request, services.settings, path=path)

    return _application(_Endpoint(path, handler, guard, methods=("POST",), call="QStash delivery"), services)


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

    return _application(_Endpoint(path, handler, guard, methods, call="request", has_page=has_page), services)


@dataclass(frozen=True)
class _Endpoint:
    path: str
    handler: Handler
    guard: Guard
    methods: tuple[str, ...]
    call: str  # what a log line names it
    has_page: bool = False

    def answer(self, environ: Environ, services: Services) -> Response:
        """Everything that a caller may get but the answer to a defect of ours."""
        if environ["REQUEST_METHOD"] not in self.methods:
            return _method_not_allowed(self.methods)
        started, redact = time.monotonic(), services.settings.redact
        try:
            request = read_request(environ)
            self.guard(request, services)
            return self.handler(request, services)
        except RecommenderError as error:
            head = read_head(environ)
            as_page = self.has_page and head.wants_html
            response = _error_page(error, redact, head) if as_page else _error_response(error, redact)
            log.warning(self._refusal(error, response, started, redact))
            return response

    def _refusal(self, error: RecommenderError, response: Response, started: float, redact: Redact) -> str:
        is_refused = isinstance(error, Unauthenticated)
        reason = error.reason if isinstance(error, SignatureRejected) else error.message
        return line(
            f"{self.call} {'refused' if is_refused else 'failed'}: {redact(reason)}",
            path=self.path,
            status=response.status.partition(" ")[0],
            code=error.code,
            duration_ms=int((time.monotonic() - started) * 1000),
        )


def _application(endpoint: _Endpoint, services: Services | None) -> Application:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        with naming(**_delivery(environ)):
            try:
                response = endpoint.answer(environ, services or process_services())
            except Exception as error:
                response = _internal_error(error, endpoint, services)
        return send(response, environ, start_response)

    return application


def _delivery(environ: Environ) -> dict[str, str]:
    """The ids by which QStash's dashboard shows a delivery. They aren't signed, so they are for the log alone."""
    retried = environ.get("HTTP_UPSTASH_RETRIED", "0")
    return {
        "message": environ.get("HTTP_UPSTASH_MESSAGE_ID", "")[:ID_LENGTH],
        "schedule": environ.get("HTTP_UPSTASH_SCHEDULE_ID", "")[:ID_LENGTH],
        "retried": "" if retried == "0" else retried[:ID_LENGTH],
    }


def _method_not_allowed(methods: tuple[str, ...]) -> Response:
    allowed = ", ".join(methods)
    document = _document("method_not_allowed", f"This answers {allowed} only.", "Use that method.")
    return json_response(document, "405 Method Not Allowed", {"Allow": allowed})


def _error_response(error: RecommenderError, redact: Redact) -> Response:
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    headers = {}
    if isinstance(error, Unauthenticated) and not isinstance(error, SignatureRejected):
        headers["WWW-Authenticate"] = 'Basic realm="recommendations", charset="UTF-8"'
    if isinstance(error, ImpossibleJob):
        headers["Upstash-NonRetryable-Error"] = "true"
    if status.startswith("503"):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return json_response(_document(error.code, redact(error.message), redact(error.fix)), status, headers)


def _error_page(error: RecommenderError, redact: Redact, head: Request) -> Response:
    from lib.web.pages import page_response

    plain = _error_response(error, redact)
    shown = {"message": error.message.map(redact), "fix": error.fix.map(redact)}
    page = page_response(head, "error.html", plain.status, **shown)
    return replace(page, headers={**plain.headers, **page.headers})


def _internal_error(error: Exception, endpoint: _Endpoint, services: Services | None) -> Response:
    used = services or _process.get("services")
    redact = used.settings.redact if used else lambda _: "no settings, so nothing that might hold a secret"
    reference = log_defect(f"{endpoint.call} failed", error, redact, path=endpoint.path, status=500)
    message = f"Something went wrong that nobody foresaw. Reference: {reference}."
    document = _document("internal", message, f"Look for {reference} in the log of the function.")
    return json_response(document, "500 Internal Server Error")


def _document(code: str, message: str, fix: str) -> dict[str, dict[str, str]]:
    return {"error": {"code": code, "message": message, "fix": fix}}


def log_to_stderr_unless_the_host_does() -> None:
    """Vercel sets up the root logger, with levels; elsewhere INFO would be lost."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


_process: dict[str, Services] = {}
_process_lock = threading.Lock()


def process_services() -> Services:
    """Made from the environment at the first request, then shared by the process's threads."""
    with _process_lock:
        if "services" not in _process:
            # Nothing where the host has set up the root logger, as Vercel does; elsewhere INFO would be lost.
            log_to_stderr_unless_the_host_does()
            settings = parse_settings(os.environ)
            for problem in settings.problems:
                fix = problem.fix.partition("\n")[0]
                log.warning(line(f"configuration: {problem.sentence} {fix}"))
            _process["services"] = Services(settings)
        return _process["services"]
