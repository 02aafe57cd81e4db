"""The functions that QStash calls, and the two pages, served on this machine, so that its deliveries arrive."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from lib.adapters.services import Services
from lib.core.schedules import BATCH_PROCESS_PATH, REFRESH_PATH, WARM_PATH
from lib.web import endpoints
from lib.web.edge import Application, Environ, StartResponse, keyed_application, signed_application
from tests.support import in_a_thread

HANDLERS = {
    BATCH_PROCESS_PATH: endpoints.batch_process,
    WARM_PATH: endpoints.warm,
    REFRESH_PATH: endpoints.refresh,
}
PAGES = {"/api/init": endpoints.init, "/api/status": endpoints.status}


class Deployment:
    """At `url`; answers 404 until `deploy` says with which services.

    What answers is closed by `afterwards`, when nothing is being answered any more: a client that is closed in the
    middle of a connect leaves the socket open.
    """

    def __init__(self, afterwards: ExitStack) -> None:
        self.afterwards = afterwards
        self.applications: dict[str, Application] = {}
        self.server = make_server("127.0.0.1", 0, self._answer, _Server, _Silent)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def deploy(self, services: Services) -> None:
        for path, handler in HANDLERS.items():
            self.applications[path] = signed_application(path, handler, services=services)
        for path, handler in PAGES.items():
            self.applications[path] = keyed_application(path, handler, has_page=True, services=services)

    def answer_instead(self, status: str, headers: Mapping[str, str], body: bytes) -> None:
        """As whatever stands in the functions' place."""

        def answer(_: Environ, start_response: StartResponse) -> Iterable[bytes]:
            start_response(status, list(headers.items()))
            return [body]

        self.applications = dict.fromkeys(HANDLERS, answer)

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        application = self.applications.get(environ["PATH_INFO"])
        if application is None:
            start_response("404 Not Found", [])
            return [b"nothing here"]
        return application(environ, start_response)


@contextmanager
def serving_deployment() -> Iterator[Deployment]:
    with ExitStack() as afterwards:
        deployment = Deployment(afterwards)
        with in_a_thread(deployment.server):
            yield deployment


class _Server(ThreadingMixIn, WSGIServer):
    """Waits at its end for what is being answered: nothing of it may run into the next test."""

    daemon_threads = False


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
