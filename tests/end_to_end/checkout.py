"""A copy of the project in a folder of its own, and scripts/dev running there as a process."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from dotenv import dotenv_values
from upstash_redis import Redis

from tests.support import eventually

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("api", "lib", "local", "public", "scripts")
FILES = ("requirements.txt", "vercel.dev.json", ".python-version")
NPM = Path("local", "vercel", "node_modules")
READY_SECONDS = 60.0  # a busy machine's first start makes a database cluster
FAST_TICKS = {"ACTIONS_INTERVAL_SECONDS": "1"}

Variables = dict[str, str]


class Dev:
    """One run of scripts/dev, and what another shell does with it."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str, folder: Path, output: Path) -> None:
        self.process = process
        self.url = url
        self.folder = folder
        self._output = output

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def variables(self) -> Variables:
        """What .local/env says."""
        return {name: value or "" for name, value in dotenv_values(self.folder / ".local" / "env").items()}

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> "Dev":
        eventually(lambda: self.has_said("ready ") or self.process.poll() is not None, seconds)
        assert self.has_said(f"ready {self.url}"), self.output
        return self

    def has_said(self, beginning: str) -> bool:
        """Whether a line of the output begins so."""
        return any(line.startswith(beginning) for line in self.output.splitlines())

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.variables["DATABASE_URL"]) as connection:
            return connection.execute(query.encode()).fetchall()

    def push(self, actions: Sequence[Mapping[str, object]]) -> None:
        """As an app does it, with the vendor's client."""
        variables = self.variables
        with Redis(variables["UPSTASH_REDIS_REST_URL"], variables["UPSTASH_REDIS_REST_TOKEN"]) as redis:
            for first in range(0, len(actions), 1_000):
                redis.lpush("pending_user_actions", *[json.dumps(action) for action in actions[first : first + 1_000]])

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(self.url + path, headers=headers, timeout=30)

    def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        return httpx.post(self.url + path, json=body, headers=headers, timeout=60)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal to scripts/dev itself; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(15)


class Checkout:
    """The product's files in `folder`, without a .venv: the running interpreter's packages serve for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._runs: list[subprocess.Popen[bytes]] = []

    def run(self, *arguments: str, port: int | None = None, variables: Variables | None = None) -> Dev:
        """Starts scripts/dev, on a free port, with these variables in its shell."""
        port = port or free_port()
        output = self.folder / f"output-{uuid.uuid4()}.txt"
        # This says to scripts/bootstrap.py that it has made .venv and runs in it already.
        prepared = {"RECS_BOOTSTRAPPED": str(self.folder / ".venv")}
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, self.folder / "scripts" / "dev", f"--port={port}", *arguments],
                stdout=file,
                stderr=file,
                env={**os.environ, **prepared, **(variables or {})},
            )
        self._runs.append(process)
        return Dev(process, f"http://localhost:{port}", self.folder, output)

    def processes(self) -> dict[int, str]:
        """Every process whose command names the folder or whose working folder lies in it: id -> command."""
        if not Path("/proc/self").exists():
            pytest.skip("needs /proc to find the processes")
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(self.folder) in command or (entry / "cwd").readlink().is_relative_to(self.folder):
                    found[int(entry.name)] = command
        return found

    def kill_everything(self) -> None:
        while left := self.processes():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for run in self._runs:
            run.wait()


@contextmanager
def copied() -> Iterator[Checkout]:
    """Not tmp_path: its parents are closed to the user that Postgres runs as under root."""
    with tempfile.TemporaryDirectory(prefix="recs-end-to-end-") as folder:
        for name in FOLDERS:
            ignored = shutil.ignore_patterns("__pycache__", "node_modules")
            shutil.copytree(ROOT / name, Path(folder, name), ignore=ignored)
        for name in FILES:
            shutil.copy(ROOT / name, folder)
        Path(folder, NPM).symlink_to(ROOT / NPM)
        checkout = Checkout(Path(folder))
        yield checkout
        checkout.kill_everything()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
