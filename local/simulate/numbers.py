"""Numbers as people read them."""

_STEPS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def short(value: float) -> str:
    """Three digits, and a letter for thousands and so on: 17.3 k."""
    for step, letter in _STEPS:
        if abs(value) >= 0.9995 * step:
            return f"{value / step:.3g} {letter}"
    return "0" if abs(value) < 5e-4 else f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def dollars(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def ratio(value: float) -> str:
    """Bold where it is beyond 1."""
    text = f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
    return f"**{text}**" if value > 1 else text
