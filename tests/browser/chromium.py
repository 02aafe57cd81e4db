"""The browser that pages are tried in, and axe-core, which they are checked with."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from local.embedded import ServerError
from local.npm import install_packages
from tests.support import needing

Scheme = Literal["light", "dark"]

SCHEMES: tuple[Scheme, ...] = ("light", "dark")
FOLDER = Path(__file__).resolve().parent
AXE = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
OPTIONS = {"runOnly": RULES, "rules": {"target-size": {"enabled": True}}, "resultTypes": ["violations"]}


@contextmanager
def running_browser() -> Iterator[Browser]:
    """While it is there an event loop runs in this thread, which allows no other one."""
    with needing(_install), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_program())
        yield browser
        browser.close()


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it is shown: rule, element, and why.

    It comes through the debugging protocol, so the page's policy stays as it is.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(f"() => {{ {AXE.read_text()} }}")
    found = page.evaluate("options => axe.run(options)", OPTIONS)["violations"]
    return [f"{rule['id']}: {node['html']} ({node['failureSummary']})" for rule in found for node in rule["nodes"]]


def _install() -> None:
    """Raises ServerError where there is no browser, or axe-core can't be installed."""
    _program()
    install_packages(FOLDER, of="The browser tests' packages")


def _program() -> str:
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise ServerError("The browser tests need Chromium, on Debian and Ubuntu: apt install chromium")
    return found
