"""Small bar charts as inline SVG: bars alone, because text in a drawing that stretches with the page would stretch too.

No script and no style of their own: how bars look is in the page's style sheet.
"""

from collections.abc import Sequence

from markupsafe import Markup

STEP = 10  # units of the drawing from one bar to the next
WIDTH = 8
HEIGHT = 40
LOWEST = 1.5  # of a bar that isn't zero: it must be seen


def bars(values: Sequence[float], *, name: str, title: str, description: str, kind: str = "") -> Markup:
    """A bar for each value from 0 to the largest. `name` is unique on the page; a screen reader reads the two texts.

    `kind` is a class of the style sheet.
    """
    drawn = "".join(_bar(number, value, max(values)) for number, value in enumerate(values) if value > 0)
    return Markup(
        '<svg class="plot {kind}" role="img" aria-labelledby="{name}-title" aria-describedby="{name}-description"'
        ' viewBox="0 0 {width} {height}" preserveAspectRatio="none">'
        '<title id="{name}-title">{title}</title><desc id="{name}-description">{description}</desc>{drawn}</svg>'
    ).format(
        kind=kind,
        name=name,
        width=len(values) * STEP,
        height=HEIGHT,
        title=title,
        description=description,
        drawn=Markup(drawn),  # noqa: S704 (numbers)
    )


def _bar(number: int, value: float, largest: float) -> str:
    height = max(LOWEST, HEIGHT * value / largest)
    x = number * STEP + (STEP - WIDTH) / 2
    return f'<rect x="{x:g}" y="{HEIGHT - height:.4g}" width="{WIDTH}" height="{height:.4g}"/>'
