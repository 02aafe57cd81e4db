"""The browser of the tests and what they check pages with, each found or installed once."""

import shutil
from pathlib import Path

from local.embedded import ServerError
from local.npm import install_packages

FOLDER = Path(__file__).resolve().parent
AXE = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def install() -> None:
    """Raises ServerError where there is no browser, or axe-core can't be installed."""
    program()
    install_packages(FOLDER, of="The browser tests' packages")


def program() -> str:
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise ServerError("The browser tests need Chromium, on Debian and Ubuntu: apt install chromium")
    return found
