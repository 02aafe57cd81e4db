"""The comparison as a picture: an SVG that can be read on a light and on a dark page."""

import math
from collections.abc import Iterator, Sequence

from local.evaluation.compare import OURS, Comparison
from local.evaluation.metrics import Figures, pool
from local.evaluation.report import conclude, label
from local.svg import bar, document, text, vertical

WIDTH, LABELS, PANEL, GAP = 880, 196, 300, 52
TOP, ROW, BAR = 92, 38, 20
PANELS = {"warm": "all items", "tail": "without the 50 most read lately"}


def draw(comparison: Comparison) -> str:
    """For each list a bar of its NDCG with the standard error, for all items and for the tail."""
    names = list(comparison.lists)
    height = TOP + ROW * len(names) + 62
    parts: list[str] = []
    for row, name in enumerate(names):
        parts.append(text(LABELS - 12, TOP + ROW * row + BAR - 5, label(comparison, name), "end"))
    for position, (part, title) in enumerate(PANELS.items()):
        figures = [pool(comparison.lists[name], part) for name in names]
        left = LABELS + position * (PANEL + GAP)
        parts += [text(left, 70, f"NDCG@20, {title}", "soft"), *_panel(left, names, figures)]
    note = f"Users with a history: {conclude(comparison).users:,}. Lines: ± one standard error."
    parts.append(text(LABELS, height - 14, note, "soft"))
    return document(WIDTH, height, conclude(comparison).sentence, parts)


def _panel(left: int, names: Sequence[str], figures: Sequence[Figures | None]) -> Iterator[str]:
    bottom = TOP + ROW * len(names) - 8
    step = _step(max((one.ndcg + one.error for one in figures if one), default=0.0))
    for tick in range(5):
        x = left + PANEL * tick / 4
        yield vertical(x, TOP - 10, bottom)
        yield text(x, bottom + 18, f"{tick * step:.3g}", "soft middle")
    for row, (name, one) in enumerate(zip(names, figures, strict=True)):
        if one:
            yield from _bar(left, TOP + ROW * row, one, PANEL / (4 * step), "ours" if name == OURS else "bar")


def _bar(left: int, y: int, one: Figures, scale: float, style: str) -> Iterator[str]:
    end, middle = left + one.ndcg * scale, y + BAR / 2
    low, high = max(end - one.error * scale, left), end + one.error * scale
    yield bar(left, y, end - left, BAR, style)
    path = f"M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 4}v8M{high:.1f} {middle - 4}v8"
    yield f'<path class="error" fill="none" stroke-width="1.5" d="{path}"/>'


def _step(largest: float) -> float:
    """A round quarter of an axis that holds the largest bar with its error."""
    wanted = max(largest, 1e-3) / 4
    magnitude = 10.0 ** math.floor(math.log10(wanted))
    return next(unit * magnitude for unit in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10) if unit * magnitude >= wanted)
