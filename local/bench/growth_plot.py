"""How the time of a kind of work grows with its size, as a picture."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from local.bench.figure import Figure
from local.svg import document, text, vertical

WIDTH, HEIGHT = 740, 430
LEFT, TOP, BOTTOM = 80, 70, 370
TITLE = "Seconds by size, both by factors of ten: a straight line at 45° is linear growth"
_SECONDS = re.compile(r"growth: (?!exponent|memory|processor)(\w+) of ([\d,]+) (\w+)")

Points = list[tuple[float, float]]


def draw_growth(figures: Sequence[Figure]) -> str:
    """A line for each kind of work in growth's figures."""
    lines = points_of(figures)
    logarithms = {name: [(math.log10(x), math.log10(y)) for x, y in points] for name, points in lines.items()}
    everything = [point for points in logarithms.values() for point in points]
    low_x, low_y = (math.floor(min((point[axis] for point in everything), default=0)) for axis in (0, 1))
    decades = max(
        (math.ceil(point[axis]) - low for point in everything for axis, low in ((0, low_x), (1, low_y))), default=1
    )
    scale = (BOTTOM - TOP) / max(decades, 1)
    parts = [*_grid(low_x, low_y, decades, scale)]
    for name, points in logarithms.items():
        placed = [(LEFT + (x - low_x) * scale, BOTTOM - (y - low_y) * scale) for x, y in points]
        parts += _line(name, placed)
    return document(WIDTH, HEIGHT, TITLE, parts)


def points_of(figures: Sequence[Figure]) -> Mapping[str, Points]:
    """(size, seconds) of each kind, ascending; each figure also tells of the size before."""
    found: dict[str, dict[float, float]] = {}
    for figure in figures:
        if match := _SECONDS.fullmatch(figure.name):
            points = found.setdefault(f"{match[1]}, {match[3]}", {})
            points.setdefault(_number(figure.against.split()[0]), figure.against_value)
            points[_number(match[2])] = figure.value
    return {name: sorted(points.items()) for name, points in found.items()}


def _number(words: str) -> float:
    return float(words.replace(",", ""))


def _grid(low_x: int, low_y: int, decades: int, scale: float) -> Iterator[str]:
    for decade in range(decades + 1):
        x, y = LEFT + decade * scale, BOTTOM - decade * scale
        yield vertical(x, TOP, BOTTOM)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{LEFT + decades * scale:.1f}"/>'
        yield text(x, BOTTOM + 20, f"{10 ** (low_x + decade):,}", "soft middle")
        yield text(LEFT - 10, y + 4, f"{10.0 ** (low_y + decade):g} s", "soft end")


def _line(name: str, placed: Sequence[tuple[float, float]]) -> Iterator[str]:
    yield f'<path class="line" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in placed)}"/>'
    for x, y in placed:
        yield f'<circle class="ours" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    yield text(placed[-1][0] + 10, placed[-1][1] + 4, name)
