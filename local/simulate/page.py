"""docs/scale.md and its translation, with the result between their marks."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from local.simulate import reference, report
from local.simulate.model import simulate
from local.simulate.prices import Prices
from local.simulate.site import Site
from local.simulate.units import UnitCosts
from local.simulate.words import LANGUAGES

if TYPE_CHECKING:
    from local.simulate.measuring.check import Outcome

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {"en": "scale.md", "zh-CN": "scale.zh-CN.md"}


def write_into_pages(sites: Sequence[Site], costs: UnitCosts, prices: Prices, *, docs: Path = DOCS) -> None:
    """Raises ValueError where a page lacks a mark."""
    for language in LANGUAGES:
        _write(docs / PAGES[language], blocks(sites, costs, prices, language))


def write_outcome(outcome: "Outcome", *, docs: Path = DOCS) -> None:
    """The same, of a check."""
    for language in LANGUAGES:
        _write(docs / PAGES[language], {"check": partial(report.outcome_table, outcome, language)})


def blocks(sites: Sequence[Site], costs: UnitCosts, prices: Prices, language: str) -> dict[str, Callable[[], str]]:
    simulations = [simulate(site, costs, prices) for site in sites]
    return {
        "sizes": partial(report.sizes_table, simulations, language),
        "dollars": partial(report.dollars_table, simulations, language),
        "quantities": lambda: "\n\n".join(report.quantities_table(s, prices, language) for s in simulations),
        "limits": partial(report.limits_table, simulations, costs, prices, language),
        "conclusions": partial(report.conclusions_text, sites, costs, prices, language),
        "levers": partial(report.levers_table, sites[-1], costs, prices, language),
        "prices": partial(reference.prices_table, prices, language),
        "units": partial(reference.units_table, costs, language),
    }


def _write(page: Path, found: Mapping[str, Callable[[], str]]) -> None:
    text = page.read_text()
    for name, block in found.items():
        text = _between_marks(text, name, block(), page.name)
    page.write_text(text)


def _between_marks(text: str, name: str, block: str, page: str) -> str:
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    head, found, rest = text.partition(begin)
    _, mark, tail = rest.partition(end)
    if not found or not mark:
        raise ValueError(f"{page} lacks the marks that {name} go between")
    return f"{head}{begin}\n{block}\n\n{end}{tail}"
