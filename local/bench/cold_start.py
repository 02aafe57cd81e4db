"""What each function costs before it can answer its first request: importing its file in a fresh interpreter.

The bundle on Vercel holds no bytecode and none is written there, so all that is imported is compiled first, and so it
is here: the interpreter looks for bytecode in an empty folder. Most of the figure is Python's own library, of which
Vercel's runtime has imported nearly all before it comes to the function.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from local.bench.figure import Figure, seconds
from local.bench.stack import Bench

ROOT = Path(__file__).resolve().parents[2]
REPEATS = 9
QUICK_REPEATS = 1

IMPORT = """
import importlib.util, sys

spec = importlib.util.spec_from_file_location("function", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
"""
BARE = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b""]
"""


def cold_start(bench: Bench) -> list[Figure]:
    """A figure for each function. It and the bare one take turns, so that both meet the same noise."""
    with tempfile.TemporaryDirectory(prefix="recs-bench-") as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": folder}
        figures = []
        for file in sorted(ROOT.glob("api/**/*.py")):
            pairs = [
                (_seconds_of(file, environment), _seconds_of(bare, environment))
                for _ in range(QUICK_REPEATS if bench.quick else REPEATS)
            ]
            value, against = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
            name = f"cold start of {file.relative_to(ROOT)}"
            figures.append(Figure(name, value, "ms", "a bare WSGI function", against, value / against, "<= 12"))
        return figures


def _seconds_of(file: Path, environment: dict[str, str]) -> float:
    command = [sys.executable, "-c", IMPORT, str(file)]
    return seconds(lambda: subprocess.run(command, cwd=ROOT, env=environment, check=True))
