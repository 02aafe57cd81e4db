"""docs/qstash-guide.md's commands, one after the other, in the shell of somebody who has started scripts/dev."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.checkout import Dev
from tests.guide import CHINESE, ENGLISH, Block, is_said, read_guide
from tests.support import eventually

TICK_SECONDS = 20.0  # some of what is looked at comes with a tick


def steps_of(guide: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Each command that is to be run, and the lines that it then prints."""
    steps: list[tuple[str, tuple[str, ...]]] = []
    for section in read_guide(guide):
        before: Block | None = None
        for block in section.blocks:
            if block.language == "sh" and "run" in block.marks:
                steps.append((block.commands, ()))
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


@pytest.mark.parametrize("guide", [ENGLISH, CHINESE], ids=lambda path: path.name)
def test_every_command_does_what_the_guide_says(dev: Dev, guide: Path) -> None:
    for command, lines in steps_of(guide):

        def prints_them(command: str = command, lines: tuple[str, ...] = lines) -> bool:
            printed = run(dev, command)
            return all(is_said(line, printed) for line in lines)

        eventually(prints_them, TICK_SECONDS)


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
