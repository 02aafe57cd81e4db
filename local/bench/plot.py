"""How far each figure is from its target, as a picture."""

import math
from collections.abc import Iterator, Sequence

from local.bench.figure import Figure, margin
from local.svg import bar, document, text, vertical

WIDTH, LABELS, PANEL = 930, 410, 430
TOP, ROW, BAR = 84, 26, 16
MOST = 8  # times better: what is further is drawn to there, and its number says it
TITLE = "How many times better than its target each figure is"


def draw_targets(figures: Sequence[Figure]) -> str:
    """A bar for each figure that has a target, on an axis of doublings; what misses its target is left of the line.
    Growth has a picture of its own."""
    rows = [
        (figure, margin_)
        for figure in figures
        if not figure.name.startswith("growth: ") and (margin_ := margin(figure)) is not None
    ]
    height = TOP + ROW * len(rows) + 40
    return document(WIDTH, height, TITLE, [*_axis(TOP + ROW * len(rows)), *_bars(rows)])


def _axis(bottom: int) -> Iterator[str]:
    for power in range(-3, 4):
        factor = 2.0**power
        yield vertical(_x(factor), TOP - 10, bottom, "error" if factor == 1 else "grid")
        yield text(_x(factor), TOP - 20, f"{factor:g}×", "soft middle")


def _bars(rows: Sequence[tuple[Figure, float]]) -> Iterator[str]:
    for row, (figure, margin_) in enumerate(rows):
        y, end = TOP + ROW * row, _x(margin_)
        left, right = sorted((_x(1), end))
        yield text(LABELS - 12, y + BAR - 3, f"{figure.name} ({figure.target})", "end")
        yield bar(left, y, max(right - left, 2), BAR, "ours" if margin_ >= 1 else "bar")
        yield text(right + 6, y + BAR - 3, f"{margin_:.2g}×", "soft")


def _x(factor: float) -> float:
    power = math.log2(min(max(factor, 1 / MOST), MOST))
    return LABELS + PANEL * (power + 3) / 6
