"""Imports go one way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# From the ground up: a room imports from its own and lower ones.
ROOMS = ("lib.text", "lib.errors", "lib.core", "lib.settings", "lib.adapters", "lib.jobs", "lib.web", "api")
FLOOR = {
    **{room: floor for floor, room in enumerate(ROOMS)},
    "lib.setting_fixes": ROOMS.index("lib.settings"),
    "lib.setting_values": ROOMS.index("lib.settings"),
    "lib.time_limit": ROOMS.index("lib.settings"),
    "lib.log_lines": ROOMS.index("lib.settings"),
}
PRODUCT = sorted([*ROOT.glob("lib/**/*.py"), *ROOT.glob("api/**/*.py")])
CORE = sorted(ROOT.glob("lib/core/**/*.py"))
FUNCTIONS = sorted(ROOT.glob("api/**/*.py"))


def imports(file: Path) -> Iterator[str]:
    """The modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def room_of(name: str) -> str | None:
    return next((room for room in FLOOR if name == room or name.startswith(f"{room}.")), None)


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("file", PRODUCT, ids=name_of)
def test_imports_go_one_way(file: Path) -> None:
    room = room_of(name_of(file))
    for name in imports(file):
        assert name.partition(".")[0] not in ("local", "tests", "scripts")
        if name.startswith(("lib.", "api.")):
            assert room is not None, "a file outside every room imports nothing of ours"
            assert FLOOR[room] >= FLOOR[room_of(name) or "nowhere"], f"{room} imports {name}"


@pytest.mark.parametrize("file", CORE, ids=name_of)
def test_the_core_is_pure(file: Path) -> None:
    """No I/O, no environment, no clock: nothing but itself, errors, texts, numpy and a few of Python's own modules."""
    allowed = {
        *("numpy", "math", "re", "json", "bisect", "datetime", "dataclasses", "typing", "collections", "itertools"),
        "urllib",
    }
    for name in imports(file):
        assert name.partition(".")[0] in allowed or room_of(name) in ("lib.core", "lib.errors", "lib.text"), name
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"today", "utcnow", "read_text", "open"}
            assert not ast.unparse(node).endswith("datetime.now"), "a site's `now` is a value, and given"


@pytest.mark.parametrize("file", FUNCTIONS, ids=name_of)
def test_a_function_is_a_docstring_and_its_app(file: Path) -> None:
    tree = ast.parse(file.read_text())
    *imported, last = tree.body[1:]
    assert ast.get_docstring(tree)
    assert all(isinstance(node, ast.ImportFrom) for node in imported)
    assert isinstance(last, ast.Assign)
    assert [ast.unparse(target) for target in last.targets] == ["app"]


def test_there_is_a_function_for_every_endpoint_and_no_other() -> None:
    assert [str(file.relative_to(ROOT)) for file in FUNCTIONS] == [
        "api/actions/batch-process.py",
        "api/init.py",
        "api/recommend/cache/warm.py",
        "api/recommend/cold-start/refresh.py",
        "api/recommend/index.py",
        "api/status.py",
    ]
