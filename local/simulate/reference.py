"""The tables that the result stands on: prices with their sources, and unit costs with how they were measured."""

import dataclasses

from local.simulate.prices import SOURCES, Prices
from local.simulate.report import column, table_of
from local.simulate.units import UnitCosts
from local.simulate.words import FIELDS, PRICES, SCALARS, say

UNIT_FIELDS = (
    "function_seconds",
    "cpu_seconds",
    "redis_commands",
    "statements",
    "rows_written",
    "wal_bytes",
    "postgres_egress",
    "postgres_seconds",
)


def prices_table(prices: Prices, language: str) -> str:
    values = dataclasses.asdict(prices)
    rows = [
        [f"`{name}`", _price(values[name]), say(PRICES[name], language), _source(*source, language)]
        for name, source in SOURCES.items()
    ]
    return table_of([column("price", language), column("value", language), "", column("source", language)], rows)


def units_table(costs: UnitCosts, language: str) -> str:
    fields = [say(FIELDS[field], language) for field in UNIT_FIELDS]
    rows = [
        [f"`{name}`", *(_short(getattr(usage, field)) for field in UNIT_FIELDS), costs.how(name, language)]
        for name, usage in costs.units.items()
    ]
    scalars = [[f"`{name}`", _short(costs.scalars[name]), costs.how(name, language)] for name in SCALARS]
    one, value, how = (column(name, language) for name in ("unit", "value", "how"))
    return table_of([one, *fields, how], rows) + "\n\n" + table_of([one, value, how], scalars)


def _source(url: str, date: str, language: str) -> str:
    return f"{url} {date}" if url else column("assumed", language)


def _short(value: float) -> str:
    return f"{value:.3g}" if value else ""


def _price(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "; ".join(" / ".join(f"{part:,g}" for part in plan) for plan in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
