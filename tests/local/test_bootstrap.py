"""scripts/bootstrap.py, with pip and venv replaced by notes of what they were asked for."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from local.functions import ROOT

SCRIPTS = sorted(file for file in (ROOT / "scripts").iterdir() if file.is_file())
FILES = (
    "requirements.txt",
    "local/requirements.txt",
    "local/vercel/requirements.txt",
    "local/evaluation/requirements.txt",
    "local/bench/requirements.txt",
    "tests/requirements.txt",
)
LAST = dict(zip(("local", "vercel", "evaluate", "bench", "tests"), FILES[1:], strict=True))


class Restarted(Exception):
    """The script would go on in another interpreter."""


class Installed:
    """Stands for a pip that succeeds."""

    returncode = 0
    stdout = ("Collecting numpy==2.5.0 (from -r requirements.txt)\n", "Requirement already satisfied\n")

    def __enter__(self) -> "Installed":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as if the project lay in `tmp_path`, with a .venv that holds nothing yet."""
    spec = importlib.util.spec_from_file_location("bootstrap_under_test", ROOT / "scripts" / "bootstrap.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"of {name}")
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").touch()
    (venv / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages" / "pip").mkdir(parents=True)
    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    monkeypatch.setattr(module, "VENV", str(venv))
    monkeypatch.setattr(module, "VENV_PYTHON", str(venv / "bin" / "python"))
    monkeypatch.setattr(sys, "argv", ["scripts/dev", "--port", "4000"])
    monkeypatch.setattr(sys, "path", ["scripts", *sys.path[1:]])
    monkeypatch.delenv("RECS_BOOTSTRAPPED", raising=False)
    return module


@pytest.fixture
def installed(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requirements files that pip was given, by their paths in the project."""
    given: list[str] = []

    def pip(command: list[str], **_: Any) -> Installed:
        given.append(str(Path(command[-1]).relative_to(bootstrap.ROOT)))
        return Installed()

    monkeypatch.setattr(bootstrap.subprocess, "Popen", pip)
    return given


@pytest.fixture
def restarts(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that replaced the process."""
    commands: list[list[str]] = []

    def replace(python: str, command: list[str]) -> None:
        commands.append(command)
        raise Restarted

    monkeypatch.setattr(bootstrap.os, "execv", replace)
    return commands


def run(bootstrap: ModuleType, needs: str) -> None:
    with pytest.raises(Restarted):
        bootstrap.enter(needs)
    del bootstrap.os.environ["RECS_BOOTSTRAPPED"]


@pytest.mark.usefixtures("installed")
def test_a_script_runs_again_inside_the_venv_with_its_arguments(
    bootstrap: ModuleType, restarts: list[list[str]]
) -> None:
    run(bootstrap, "local")
    assert restarts == [[bootstrap.VENV_PYTHON, "scripts/dev", "--port", "4000"]]


def test_inside_the_venv_it_goes_on_with_the_project_on_the_path(
    bootstrap: ModuleType, installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECS_BOOTSTRAPPED", bootstrap.VENV)
    bootstrap.enter("local")
    assert sys.path[0] == bootstrap.ROOT
    assert "RECS_BOOTSTRAPPED" not in bootstrap.os.environ
    assert installed == []


@pytest.mark.usefixtures("restarts")
@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param(["local", "local"], ["local"], id="once"),
        pytest.param(["local", "tests", "local"], ["local", "tests"], id="more when more is needed"),
        pytest.param(["local", "vercel", "local"], ["local", "vercel"], id="more for the platform's tools"),
        pytest.param(["vercel", "evaluate", "local"], ["vercel", "evaluate"], id="more for the peers of an evaluation"),
        pytest.param(["tests", "evaluate", "vercel", "local"], ["tests"], id="what the tests need holds the rest"),
        pytest.param(["local", "change", "local"], ["local", "local"], id="again after a change"),
        pytest.param(
            ["tests", "change", "local", "change back", "tests"],
            ["tests", "local", "tests"],
            id="again after a change and its undoing",
        ),
    ],
)
def test_packages_are_installed(
    bootstrap: ModuleType, installed: list[str], steps: list[str], expected: list[str]
) -> None:
    requirements = Path(bootstrap.ROOT, "requirements.txt")
    for step in steps:
        if step.startswith("change"):
            requirements.write_text("of requirements.txt" + ("" if step == "change back" else ", changed"))
        else:
            run(bootstrap, step)
    assert installed == [LAST[needs] for needs in expected]


def test_a_failed_installation_ends_in_words_and_is_tried_again(
    bootstrap: ModuleType, installed: list[str], monkeypatch: pytest.MonkeyPatch, restarts: list[list[str]]
) -> None:
    monkeypatch.setattr(Installed, "returncode", 1)
    with pytest.raises(SystemExit, match=r"pip could not install local/requirements\.txt"):
        bootstrap.enter("local")
    assert restarts == []
    monkeypatch.setattr(Installed, "returncode", 0)
    run(bootstrap, "local")
    assert installed == ["local/requirements.txt"] * 2


def test_a_venv_of_another_python_is_made_anew(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []

    def run_venv(command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        made.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(bootstrap.subprocess, "run", run_venv)
    bootstrap._ensure_venv()
    assert made == []
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    bootstrap._ensure_venv()
    assert made == [[sys.executable, "-m", "venv", "--clear", bootstrap.VENV]]


def test_a_python_that_is_too_old_looks_for_a_newer_one(
    bootstrap: ModuleType, restarts: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: sys.executable if name == "python3.12" else None)
    with pytest.raises(Restarted):
        bootstrap.enter("local")
    assert restarts == [[sys.executable, "scripts/dev", "--port", "4000"]]


def test_where_no_newer_python_is_found_one_sentence_says_so(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(bootstrap.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=r"This needs Python 3\.11 or later; .* is 3\.9\. Install one from"):
        bootstrap.enter("local")


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_every_script_can_be_parsed_by_an_old_python(file: Path) -> None:
    ast.parse(file.read_text(), feature_version=(3, 7))
