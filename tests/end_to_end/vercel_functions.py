"""Vercel's builder run on a copy of the project, and its runtime running what was built."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.functions import ROOT
from local.vercel import cli

PROJECT = {"projectId": "prj_none", "orgId": "team_none", "settings": {"framework": None}}
NOT_COPIED = (".git", ".venv", ".local", "node_modules", "__pycache__", ".*_cache", ".hypothesis", ".env*")
BUILD_SECONDS = 240.0
START_SECONDS = 60.0


@dataclass(frozen=True)
class Bundle:
    """One built function: its configuration, and where each file of it comes from."""

    name: str
    folder: Path
    configuration: dict[str, Any]
    files: dict[str, Path]

    @property
    def own_files(self) -> set[str]:
        return {name for name in self.files if not name.startswith("_vendor/")}

    @property
    def megabytes(self) -> float:
        return sum(file.stat().st_size for file in self.files.values()) / 1e6

    def unpack(self, folder: Path) -> Path:
        """The function as it lies on the platform."""
        shutil.copytree(self.folder, folder)
        for name, file in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(file, folder / name)
        return folder


@dataclass(frozen=True)
class Build:
    output: Path
    bundles: dict[str, Bundle]


def build(folder: Path, *, planted: Mapping[str, str]) -> Build:
    """Copies the project into `folder` with some more files, and builds it there."""
    program = cli.install()
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    for name, text in {**planted, ".vercel/project.json": json.dumps(PROJECT)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    command = [str(program), "build", "--yes", "--global-config", ".vercel/configuration"]
    environment = cli.environment(os.environ)
    built = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS)
    assert built.returncode == 0, built.stdout + built.stderr
    output = folder / ".vercel" / "output"
    bundles = [_read_bundle(file, folder) for file in (output / "functions").rglob(".vc-config.json")]
    return Build(output, {bundle.name: bundle for bundle in bundles})


def _read_bundle(file: Path, project: Path) -> Bundle:
    configuration = json.loads(file.read_text())
    files = {name: project / path for name, path in configuration.pop("filePathMap").items()}
    name = str(file.parent.relative_to(project / ".vercel" / "output" / "functions")).removesuffix(".func")
    return Bundle(name, file.parent, configuration, files)


@dataclass
class Running:
    """A function under the platform's runtime: where it answers, and what it has logged."""

    url: str
    started: dict[str, Any]
    logs: list[tuple[str, str]] = field(default_factory=list)  # level or stream, message


@contextmanager
def running(folder: Path, configuration: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[Running]:
    """Starts an unpacked function the way the platform does: it says on a socket where it answers, and logs there."""
    address = folder.with_suffix(".sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        listener.settimeout(START_SECONDS)
        process = subprocess.Popen(
            [sys._base_executable, "-c", f"import {configuration['handler'].partition('.')[0]}"],  # type: ignore[attr-defined]
            cwd=folder,
            env={**configuration["environment"], **variables, "VERCEL_IPC_PATH": str(address), "VERCEL": "1"},
        )
        try:
            connection, _ = listener.accept()
            messages = _messages(connection)
            started = next(message for message in messages if message["type"] == "server-started")["payload"]
            function = Running(f"http://127.0.0.1:{started['httpPort']}", started)
            reader = threading.Thread(target=_collect_logs, args=(messages, function.logs))
            reader.start()
            yield function
        finally:
            process.kill()
            process.wait()
    reader.join()
    connection.close()


def _messages(connection: socket.socket) -> Iterator[dict[str, Any]]:
    with connection.makefile("rb") as stream:
        rest = b""
        while chunk := stream.read1(65536):
            *complete, rest = (rest + chunk).split(b"\0")
            yield from (json.loads(message) for message in complete)


def _collect_logs(messages: Iterator[dict[str, Any]], logs: list[tuple[str, str]]) -> None:
    for message in messages:
        if message["type"] == "log":
            payload = message["payload"]
            logs.append((payload.get("level", payload.get("stream")), b64decode(payload["message"]).decode()))
