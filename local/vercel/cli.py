"""Vercel's command-line tool, installed once from npm beside this file, at the version that package-lock.json names."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from local.embedded import ServerError
from local.npm import install_packages

FOLDER = Path(__file__).resolve().parent
PROGRAM = FOLDER / "node_modules" / ".bin" / "vercel"
OLDEST_PYTHON = (3, 12)  # Vercel's runtime says so


def install() -> Path:
    """The program, once it is there; raises ServerError where something that it needs is missing."""
    if sys.version_info < OLDEST_PYTHON:
        raise ServerError("Vercel's tools need Python 3.12 or later: run this script with it, python3.12 for example.")
    install_packages(FOLDER, of="Vercel's tools")
    return PROGRAM


def environment(shell: Mapping[str, str]) -> dict[str, str]:
    """What the program runs in: uv, which makes the functions' environments, is in our own."""
    path = os.pathsep.join([str(Path(sys.executable).parent), shell.get("PATH", os.defpath)])
    return {**shell, "PATH": path, "VERCEL_TELEMETRY_DISABLED": "1", "NO_UPDATE_NOTIFIER": "1"}
