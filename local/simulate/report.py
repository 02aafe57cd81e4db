"""The result as Markdown, and as JSON."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from local.simulate.conclusions import conclusions
from local.simulate.levers import NUMBERS, levers_of
from local.simulate.limits import Limit, limits_of
from local.simulate.model import Simulation, simulate
from local.simulate.numbers import dollars, ratio, short
from local.simulate.prices import GB, Prices
from local.simulate.site import Site
from local.simulate.units import UnitCosts
from local.simulate.usage import Usage
from local.simulate.words import COLUMNS, FIELDS, LEVERS, MEASURES, PARTS, SITES, say

if TYPE_CHECKING:
    from local.simulate.measuring.check import Outcome

QUANTITIES: dict[str, Callable[[Usage, Prices], float]] = {
    "messages": lambda usage, _: usage.messages,
    "function_hours": lambda usage, prices: usage.function_seconds * prices.vercel_gb / 3_600,
    "cpu_hours": lambda usage, _: usage.cpu_seconds / 3_600,
    "redis_commands": lambda usage, _: usage.redis_commands,
    "redis_gb": lambda usage, _: usage.redis_bytes / GB,
    "statements": lambda usage, _: usage.statements,
    "rows": lambda usage, _: usage.rows_written,
    "index_writes": lambda usage, _: usage.index_writes,
    "wal_gb": lambda usage, _: usage.wal_bytes / GB,
    "egress_gb": lambda usage, _: usage.postgres_egress / GB,
    "postgres_hours": lambda usage, _: usage.postgres_seconds / 3_600,
}
SIZES: dict[str, Callable[[Simulation], float]] = {
    "users": lambda s: s.site.users,
    "active": lambda s: s.site.active_users,
    "peak": lambda s: s.site.peak_actions,
    "mean": lambda s: s.site.mean_actions,
    "contents": lambda s: s.site.contents,
    "log_rows": lambda s: s.site.log_rows,
    "log_gb": lambda s: s.stored.log,
    "embeddings_gb": lambda s: s.stored.embeddings,
    "lists_gb": lambda s: s.stored.redis_lists,
    "cu": lambda s: s.postgres_cu,
}


def as_markdown(sites: Sequence[Site], costs: UnitCosts, prices: Prices, language: str) -> str:
    simulations = [simulate(site, costs, prices) for site in sites]
    blocks = [sizes_table(simulations, language), dollars_table(simulations, language)]
    blocks += [quantities_table(simulation, prices, language) for simulation in simulations]
    blocks += [limits_table(simulations, costs, prices, language), conclusions_text(sites, costs, prices, language)]
    blocks.append(levers_table(sites[-1], costs, prices, language))
    return "\n\n".join(blocks)


def sizes_table(simulations: Sequence[Simulation], language: str) -> str:
    rows = [[column(name, language), *(short(of(s)) for s in simulations)] for name, of in SIZES.items()]
    return table_of(["", *_names(simulations, language)], rows)


def dollars_table(simulations: Sequence[Simulation], language: str) -> str:
    """By part; what it comes to for a million actions stands below."""
    rows = [
        [say(PARTS[part], language), *(dollars(sum(s.dollars[part].values())) for s in simulations)] for part in PARTS
    ]
    for service in ("QStash", "Vercel", "Redis", "Postgres"):
        rows.append(
            [
                f"*{service}*",
                *(f"*{dollars(sum(row.get(service, 0) for row in s.dollars.values()))}*" for s in simulations),
            ]
        )
    rows.append([f"**{column('total', language)}**", *(f"**{dollars(s.dollars_a_month)}**" for s in simulations)])
    a_million = [1e6 * s.dollars_a_month / s.work.action for s in simulations]
    rows.append([column("an_action", language), *map(dollars, a_million)])
    return table_of([column("part", language), *_names(simulations, language)], rows)


def quantities_table(simulation: Simulation, prices: Prices, language: str) -> str:
    usages = {say(PARTS[part], language): usage for part, usage in simulation.parts.items()}
    usages[f"**{column('all', language)}**"] = simulation.all
    rows = [[name, *(short(of(usage, prices)) for of in QUANTITIES.values())] for name, usage in usages.items()]
    title = _names([simulation], language)[0]
    return f"**{title}**\n\n" + table_of(
        [column("part", language), *(column(name, language) for name in QUANTITIES)], rows
    )


def limits_table(simulations: Sequence[Simulation], costs: UnitCosts, prices: Prices, language: str) -> str:
    """What is needed of what is given."""
    found = [limits_of(simulation, costs, prices) for simulation in simulations]
    rows = [
        [f"`{row[0].name}`", _given(row), *(ratio(limit.ratio) for limit in row)] for row in zip(*found, strict=True)
    ]
    return table_of([column("limit", language), column("gives", language), *_names(simulations, language)], rows)


def conclusions_text(sites: Sequence[Site], costs: UnitCosts, prices: Prices, language: str) -> str:
    return "\n".join(
        f"- `{found.limit}` ({say(SITES[found.site.name], language)}): {found.text}"
        for found in conclusions(sites, costs, prices, language)
    )


def levers_table(site: Site, costs: UnitCosts, prices: Prices, language: str) -> str:
    rows = [
        [
            say(LEVERS[lever.name], language).format(**NUMBERS),
            say(MEASURES[lever.name], language),
            short(lever.before),
            short(lever.after),
            f"{lever.better:.3g}",
        ]
        for lever in levers_of(site, costs, prices)
    ]
    return table_of([column(name, language) for name in ("lever", "measure", "before", "after", "better")], rows)


def as_json(sites: Sequence[Site], costs: UnitCosts, prices: Prices) -> str:
    return json.dumps([_document(site, costs, prices) for site in sites], indent=2)


def _document(site: Site, costs: UnitCosts, prices: Prices) -> dict[str, object]:
    simulation = simulate(site, costs, prices)
    return {
        "site": {name: value for name, value in dataclasses.asdict(site).items() if name != "settings"},
        "parts": {part: usage.as_dict() for part, usage in simulation.parts.items()},
        "stored_gb": dataclasses.asdict(simulation.stored),
        "postgres_compute_units": simulation.postgres_cu,
        "dollars": simulation.dollars,
        "dollars_a_month": simulation.dollars_a_month,
        "limits": [
            dataclasses.asdict(limit) | {"ratio": limit.ratio} for limit in limits_of(simulation, costs, prices)
        ],
        "conclusions": [found.text for found in conclusions([site], costs, prices, "en")],
        "levers": [dataclasses.asdict(lever) for lever in levers_of(site, costs, prices)],
    }


def outcome_table(outcome: "Outcome", language: str) -> str:
    rows = [
        [say(FIELDS[row.name], language), short(row.predicted), short(row.measured), f"{row.difference:+.1%}"]
        for row in outcome.rows()
    ]
    return table_of(["", *(column(name, language) for name in ("predicted", "measured", "difference"))], rows)


def _given(row: Sequence[Limit]) -> str:
    """From the first site to the last one, where it differs."""
    found = dict.fromkeys(short(limit.given) for limit in (row[0], row[-1]))
    return f"{' … '.join(found)} {row[0].unit}"


def _names(simulations: Iterable[Simulation], language: str) -> list[str]:
    return [say(SITES[simulation.site.name], language) for simulation in simulations]


def column(name: str, language: str) -> str:
    return say(COLUMNS[name], language)


def table_of(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
