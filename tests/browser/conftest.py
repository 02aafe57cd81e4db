"""One browser for all tests, and each state of a page opened once in each language."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from lib.web.translation import CHINESE, ENGLISH
from tests.browser.chromium import Scheme, running_browser
from tests.browser.states import STATES, State, served
from tests.conftest import Servers, making_databases

DESKTOP, PHONE = 1280, 390
PHONE_HEIGHT = 844


@dataclass
class Visit:
    """A page, and what happened while it was opened."""

    state: State
    language: str
    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def look(self, *, width: int, height: int = PHONE_HEIGHT, scheme: Scheme = "light") -> None:
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.emulate_media(color_scheme=scheme)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module", params=STATES)
def state(request: pytest.FixtureRequest) -> State:
    return STATES[request.param]


@pytest.fixture(scope="module")
def address(state: State, servers: Servers, schema_template: str) -> Iterator[str]:
    """Where the page is in this state."""
    with making_databases(servers) as make_database, served(state, servers, make_database, schema_template) as address:
        yield address


@pytest.fixture(scope="module", params=[ENGLISH, CHINESE])
def visit(request: pytest.FixtureRequest, browser: Browser, state: State, address: str) -> Iterator[Visit]:
    with visiting(browser, state, address, language=request.param) as visit:
        yield visit


@contextmanager
def visiting(browser: Browser, state: State, address: str, *, language: str, **context: Any) -> Iterator[Visit]:
    """The page, opened with the key where the state has it."""
    if state.with_key:
        context["http_credentials"] = {"username": "", "password": "the-admin-key"}
    with browser.new_context(locale=language, **context) as opened:
        page = opened.new_page()
        visit = Visit(state, language, page, address)
        page.on("request", lambda request: visit.requests.append(request.url))
        page.on("console", lambda message: visit.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        if not state.with_key:
            _cancel_the_password_prompt(page)
        page.goto(address)
        yield visit


def _cancel_the_password_prompt(page: Page) -> None:
    session = page.context.new_cdp_session(page)

    def go_on(event: dict[str, Any]) -> None:
        session.send("Fetch.continueRequest", {"requestId": event["requestId"]})

    def cancel(event: dict[str, Any]) -> None:
        answer = {"requestId": event["requestId"], "authChallengeResponse": {"response": "CancelAuth"}}
        session.send("Fetch.continueWithAuth", answer)

    session.on("Fetch.requestPaused", go_on)
    session.on("Fetch.authRequired", cancel)
    session.send("Fetch.enable", {"handleAuthRequests": True})
