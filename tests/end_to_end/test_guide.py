"""docs/qstash-guide.md's commands, one after the other, in the shell of somebody who has started scripts/dev."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.checkout import Dev
from tests.guide import ENGLISH, Block, is_said, read_guide

TICK_SECONDS = 20.0  # some of what is looked at comes with a tick


def steps_of(guide: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Each command that is to be run, and the lines that it then prints."""
    steps: list[tuple[str, tuple[str, ...]]] = []
    for section in read_guide(guide):
        before: Block | None = None
        for block in section.blocks:
            if block.language == "sh" and "run" in block.marks:
                steps.append(("\n".join(block.lines), ()))
            elif "output" in block.marks:
                assert before is not None
                assert "run" in before.marks, "there is output of a command that isn't run"
                steps[-1] = (steps[-1][0], block.lines)
            before = block
    return steps


def run(dev: Dev, command: str) -> str:
    """In a shell that has read the variables, as the guide's first command does it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"PATH": path, "RECS_BOOTSTRAPPED": str(dev.folder / ".venv")}
    script = f"{steps_of(ENGLISH)[0][0]}\n{command.replace('http://localhost:3000', dev.url)}"
    done = subprocess.run(
        ["bash", "-euc", script], cwd=dev.folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(("command", "lines"), steps_of(ENGLISH), ids=lambda value: str(value)[:40])
def test_a_command_of_the_guide_prints_what_stands_below_it(dev: Dev, command: str, lines: tuple[str, ...]) -> None:
    """In this order; the Chinese guide has the same ones."""
    printed = run(dev, command)
    deadline = time.monotonic() + TICK_SECONDS
    while not all(is_said(line, printed) for line in lines) and time.monotonic() < deadline:
        printed = run(dev, command)
    assert [line for line in lines if not is_said(line, printed)] == [], printed


def test_the_ways_that_the_guide_promises_to_try_are_tried() -> None:
    commands = " ".join(command for command, _ in steps_of(ENGLISH))
    for way in (
        "scripts/check_qstash_config.py",
        "/api/init",
        "/api/status",
        "scripts/trigger process_user_actions",
        "/v2/schedules",
        "LLEN",
        "SELECT user_id, updated_at FROM user_embeddings ORDER BY updated_at DESC LIMIT 10",
    ):
        assert way in commands
