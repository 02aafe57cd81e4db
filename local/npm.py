"""Packages from npm, installed once into a folder, at the versions that its package-lock.json names."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

from local.embedded import ServerError


def install_packages(folder: Path, *, of: str) -> None:
    """What the folder's package.json names goes into its node_modules; `of` names the whole for people.

    Raises ServerError where it can't be installed.
    """
    if not (shutil.which("node") and shutil.which("npm")):
        raise ServerError(f"{of} need Node.js 20 or later, with npm: https://nodejs.org/")
    with (folder / "package.json").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two that are started together would install over each other
        lock, installed = folder / "package-lock.json", folder / "node_modules" / ".installed"
        if not installed.exists() or installed.read_bytes() != lock.read_bytes():
            print(f"Installing {of} from npm (once; about half a minute) ...", file=sys.stderr, flush=True)
            # Not `npm ci`: it refuses a lock that lacks the parts of other systems, which not every registry has.
            command = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"]
            npm = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if npm.returncode:
                raise ServerError(f"npm could not install {folder / 'package.json'}:\n{npm.stderr.strip()}")
            shutil.copy(lock, installed)
