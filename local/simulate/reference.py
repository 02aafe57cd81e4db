"""The tables that the result stands on: prices with their sources, and unit costs with how they were measured."""

import dataclasses

from local.simulate.prices import SOURCES, Prices
from local.simulate.report import column, table_of
from local.simulate.units import SCALARS, UnitCosts

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
        [f"`{name}`", _price(values[name]), what, f"{source} {date}".strip()]
        for name, (source, date, what) in SOURCES.items()
    ]
    return table_of([column("price", language), column("value", language), "", column("source", language)], rows)


def units_table(costs: UnitCosts, language: str) -> str:
    how = costs.how()
    rows = [
        [f"`{name}`", *(_short(getattr(usage, field)) for field in UNIT_FIELDS), how[name]]
        for name, usage in costs.units.items()
    ]
    table = table_of([column("unit", language), *UNIT_FIELDS, column("how", language)], rows)
    scalars = [[f"`{name}`", _short(costs.scalars[name]), how[name]] for name in SCALARS]
    return (
        table
        + "\n\n"
        + table_of([column("unit", language), column("value", language), column("how", language)], scalars)
    )


def _short(value: float) -> str:
    return f"{value:.3g}" if value else ""


def _price(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "; ".join(" / ".join(f"{part:,g}" for part in plan) for plan in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
