"""The figures as Markdown, and docs/performance.md with them and their pictures."""

from collections.abc import Sequence
from pathlib import Path

from local.bench.figure import Figure, margin
from local.bench.growth_plot import draw_growth
from local.bench.plot import draw_targets

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
PICTURES = {"performance.svg": draw_targets, "growth.svg": draw_growth}
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->"


def as_table(figures: Sequence[Figure]) -> str:
    head = ["| what | value | against | ratio | target |", "|---|---|---|---|---|"]
    return "\n".join([*head, *map(_row, figures)])


def write_into_page(figures: Sequence[Figure]) -> None:
    """Puts the table between the page's two marks, and draws the pictures anew."""
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise ValueError(f"{PAGE.name} lacks the marks that the table goes between")
    PAGE.write_text(f"{head}{BEGIN}\n{as_table(figures)}\n\n{END}{tail}")
    for name, draw in PICTURES.items():
        (PAGE.parent / "images" / name).write_text(draw(figures))


def _row(figure: Figure) -> str:
    against = f"{figure.against}: {figure.against_value:,.4g}"
    margin_ = margin(figure)
    reached = "" if margin_ is None else " ✅" if margin_ >= 1 else " ❌"
    return (
        f"| {figure.name} | {figure.value:,.4g} {figure.unit} | {against} | {figure.ratio:.2f} "
        f"| {figure.target}{reached} |"
    )
