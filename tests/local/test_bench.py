"""scripts/bench at sizes that show that it works. Its figures mean nothing here, and no test looks at them."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from local.bench import table
from local.bench.figure import Figure, margin
from local.bench.growth_plot import draw_growth, points_of
from local.bench.main import BENCHMARKS
from local.bench.plot import draw_targets

ROOT = Path(__file__).resolve().parents[2]
FIELDS = {"name", "value", "unit", "against", "against_value", "ratio", "target"}


@pytest.fixture(scope="module")
def quick() -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "import sys; from local.bench.main import main; sys.exit(main())"]
    return subprocess.run([*command, "--quick", "--json"], cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_every_benchmark_answers_figures(quick: "subprocess.CompletedProcess[str]") -> None:
    assert quick.returncode == 0, quick.stderr
    figures = json.loads(quick.stdout)
    assert {frozenset(figure) for figure in figures} == {frozenset(FIELDS)}
    assert len({figure["name"] for figure in figures}) == len(figures) >= len(BENCHMARKS)
    for figure in figures:
        margin(Figure(**figure))  # its target can be read
        assert figure["ratio"] == pytest.approx(figure["value"] / figure["against_value"])
        assert figure["value"] > 0 or figure["target"] == "= 0"


def test_progress_is_told_apart_from_the_figures(quick: "subprocess.CompletedProcess[str]") -> None:
    told = [line for line in quick.stderr.splitlines() if "measuring" in line]
    assert told == [f"[{number}/{len(BENCHMARKS)}] measuring {name} ..." for number, name in enumerate(BENCHMARKS, 1)]


def test_the_table_goes_between_the_marks_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "performance.md"
    page.write_text(table.PAGE.read_text())
    (tmp_path / "images").mkdir()
    monkeypatch.setattr(table, "PAGE", page)
    for name in ("first", "second"):
        table.write_into_page([Figure(name, 1.0, "s", "another", 2.0, 0.5, "<= 1")])
    text = page.read_text()
    assert "| second | 1 s | another: 2 | 0.50 | <= 1 ✅ |" in text
    assert "| first |" not in text


def test_a_page_without_the_marks_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "performance.md"
    page.write_text("# nothing here\n")
    monkeypatch.setattr(table, "PAGE", page)
    with pytest.raises(ValueError, match=r"performance\.md lacks the marks"):
        table.write_into_page([])
    assert page.read_text() == "# nothing here\n"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(">= 0.5", 4.0, id="at least"),
        pytest.param("<= 1", 0.5, id="at most"),
        pytest.param("= 1", 0.5, id="exactly"),
        pytest.param("< 50 ms", 5.0, id="of the value, not of the ratio"),
        pytest.param("", None, id="nothing is asked"),
    ],
)
def test_how_much_better_than_its_target_a_figure_is(target: str, expected: float | None) -> None:
    assert margin(Figure("read", 10.0, "ms", "GET", 5.0, 2.0, target)) == expected


@pytest.mark.parametrize("target", ["at least 5", ">= 5 s"])
def test_a_target_that_says_nothing_of_the_figure_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="can't be read"):
        margin(Figure("read", 10.0, "ms", "GET", 5.0, 2.0, target))


def test_the_picture_tells_what_misses_its_target() -> None:
    figures = [Figure(f"<{name}>", 1.0, "s", "it", 1.0, 1.0, target) for name, target in (("a", ">= 2"), ("b", "<= 2"))]
    drawn = ElementTree.fromstring(draw_targets(figures))  # noqa: S314 (our own)
    bars = [element.get("class") for element in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    assert bars == ["page", "bar", "ours"]
    assert "<a> (>= 2)" in [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]


def test_growth_is_drawn_through_every_size() -> None:
    sizes = {"drain": (10, 100, 1_000), "lists": (2, 20)}
    figures = [
        Figure(f"growth: {of}{name} of {size:,} things", size * 0.5, "s", f"{before:,} of them", before * 0.5, 10, "")
        for name, of_each in sizes.items()
        for before, size in pairwise(of_each)
        for of in ("", "processor time of ")
    ]
    assert points_of(figures) == {
        f"{name}, things": [(size, size * 0.5) for size in of_each] for name, of_each in sizes.items()
    }
    drawn = ElementTree.fromstring(draw_growth(figures))  # noqa: S314 (our own)
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}circle"))) == 5
