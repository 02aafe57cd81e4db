"""Vercel's command-line tool, installed once from npm beside this file, at the version that package-lock.json names."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from local.embedded import ServerError

FOLDER = Path(__file__).resolve().parent
PROGRAM = FOLDER / "node_modules" / ".bin" / "vercel"
OLDEST_PYTHON = (3, 12)  # Vercel's runtime says so


def install() -> Path:
    """The program, once it is there; raises ServerError where something that it needs is missing."""
    if sys.version_info < OLDEST_PYTHON:
        raise ServerError("Vercel's tools need Python 3.12 or later: run this script with it, python3.12 for example.")
    if not (shutil.which("node") and shutil.which("npm")):
        raise ServerError("Vercel's tools need Node.js 20 or later, with npm: https://nodejs.org/")
    with (FOLDER / "package.json").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two that are started together would install over each other
        _install()
    return PROGRAM


def _install() -> None:
    lock, installed = FOLDER / "package-lock.json", FOLDER / "node_modules" / ".installed"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        print("Installing Vercel's tools from npm (once; about half a minute) ...", file=sys.stderr, flush=True)
        # Not `npm ci`: it refuses a lock that lacks the parts of other systems, which not every registry has.
        command = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"]
        npm = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True)
        if npm.returncode:
            raise ServerError(f"npm could not install {FOLDER / 'package.json'}:\n{npm.stderr.strip()}")
        shutil.copy(lock, installed)


def environment(shell: Mapping[str, str]) -> dict[str, str]:
    """What the program runs in: uv, which makes the functions' environments, is in our own."""
    path = os.pathsep.join([str(Path(sys.executable).parent), shell.get("PATH", os.defpath)])
    return {**shell, "PATH": path, "VERCEL_TELEMETRY_DISABLED": "1", "NO_UPDATE_NOTIFIER": "1"}
