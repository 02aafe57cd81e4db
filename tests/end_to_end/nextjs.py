"""The guide for Next.js apps as code: its blocks, the example made of them, and both served by Next.js."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from local.functions import ROOT
from local.npm import install_packages
from local.tether import Tethered
from tests.end_to_end.checkout import free_port
from tests.support import eventually

EXAMPLE = ROOT / "examples" / "nextjs-feed"
GUIDES = {"en": ROOT / "docs" / "nextjs.md", "zh": ROOT / "docs" / "nextjs.zh-CN.md"}
PACKAGES = ROOT / ".local" / "nextjs"  # apps are built in folders of it, and find its node_modules
OUR_OWN = ("node_modules", ".next", ".env*", "package*.json", "next-env.d.ts", "*.tsbuildinfo")
BUILD_SECONDS = 240.0
START_SECONDS = 30.0
CALLS = """
import { embed, embedPost } from "@/lib/embed";
import { reasonOf } from "@/lib/reasons";
import * as recommendations from "@/lib/recommendations";

const functions: Record<string, (...given: any[]) => unknown> = {
  ...recommendations,
  embed,
  reasonOf: (item, language) => reasonOf(item, language, (contentId) => `the title of ${contentId}`),
  embedPost: async (post) => {
    const queries: unknown[] = [];
    await embedPost({ query: async (...query) => queries.push(query) }, post);
    return queries;
  },
};

export async function POST(request: Request): Promise<Response> {
  const [name, ...given] = await request.json();
  return Response.json((await functions[name](...given)) ?? null);
}
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a guide. The first line of TypeScript names its file."""

    language: str
    text: str

    @property
    def file(self) -> str:
        return self.text.partition("\n")[0].removeprefix("// ") if self.language.startswith("ts") else ""

    @property
    def without_comments(self) -> str:
        text = re.sub(r"/\*.*?\*/", "", self.text, flags=re.DOTALL)
        return re.sub(r"(^|\s)(//|--|#) .*$", "", text, flags=re.MULTILINE)


def blocks_of(guide: Path) -> list[Block]:
    return [
        Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", guide.read_text(), re.DOTALL | re.MULTILINE)
    ]


def install() -> None:
    """The example's packages. Raises ServerError where they can't be installed."""
    PACKAGES.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(EXAMPLE / name, PACKAGES)
    install_packages(PACKAGES, of="Next.js and the example's packages")


@contextmanager
def app_folder(extra: Mapping[str, str]) -> Iterator[Path]:
    """A copy of the example with more files, and with a route for the tests that calls the guide's functions."""
    with tempfile.TemporaryDirectory(prefix="app-", dir=PACKAGES) as name:
        folder = Path(name)
        shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*OUR_OWN))
        for file, text in {**extra, "app/call/route.ts": CALLS}.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
        yield folder


def build(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [_next(), "build"], cwd=folder, env=_environment({}), capture_output=True, text=True, timeout=BUILD_SECONDS
    )


@dataclass(frozen=True)
class App:
    """A built app that runs."""

    url: str
    log: Path

    def call(self, function: str, *arguments: object) -> Any:
        """What a function of the guide answers."""
        return self.try_to_call(function, *arguments).raise_for_status().json()

    def try_to_call(self, function: str, *arguments: object) -> httpx.Response:
        return httpx.post(f"{self.url}/call", json=[function, *arguments], timeout=30)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(self.url + path, headers=headers, timeout=30)


@contextmanager
def serving(folder: Path, variables: Mapping[str, str]) -> Iterator[App]:
    """`next start` on a free port, with these variables."""
    port = free_port()
    log = folder / f"log-of-{port}.txt"
    command: list[str | Path] = [_next(), "start", "--hostname", "127.0.0.1", "--port", str(port)]
    process = Tethered(command, output=log, env=_environment(variables), cwd=folder)
    try:
        eventually(lambda: "Ready" in log.read_text() or process.poll() is not None, START_SECONDS)
        assert process.poll() is None, log.read_text()
        yield App(f"http://127.0.0.1:{port}", log)
    finally:
        process.stop()


def _next() -> Path:
    return PACKAGES / "node_modules" / ".bin" / "next"


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The shell's, without what it may say of services."""
    shell = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    return {**shell, "NEXT_TELEMETRY_DISABLED": "1", **variables}
