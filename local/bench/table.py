"""The figures as Markdown, and docs/performance.md with them in it."""

from collections.abc import Sequence
from pathlib import Path

from local.bench.figure import Figure

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->"


def as_table(figures: Sequence[Figure]) -> str:
    rows = ["| what | value | against | ratio | target |", "|---|---|---|---|---|"]
    rows += [
        f"| {f.name} | {f.value:,.4g} {f.unit} | {f.against}: {f.against_value:,.4g} | {f.ratio:.2f} | {f.target} |"
        for f in figures
    ]
    return "\n".join(rows)


def write_into_page(table: str) -> None:
    """Puts the table between the page's two marks."""
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise ValueError(f"{PAGE.name} lacks the marks that the table goes between")
    PAGE.write_text(f"{head}{BEGIN}\n{table}\n\n{END}{tail}")
