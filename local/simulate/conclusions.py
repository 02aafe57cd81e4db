"""What the limits mean, in plain words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local.simulate.bill import qstash_dollars
from local.simulate.levers import LISTS, PUSH, RETENTION
from local.simulate.limits import (
    Limit,
    actions_of_a_drain,
    at_the_peak,
    interval_that_fits,
    limits_of,
    seconds_of_outage,
)
from local.simulate.model import Simulation, simulate
from local.simulate.numbers import short
from local.simulate.prices import Prices
from local.simulate.site import Site
from local.simulate.units import UnitCosts
from local.simulate.words import LIMITS, say


@dataclass(frozen=True)
class Conclusion:
    """What one limit means for the site where it bites first; `bites` says whether it does at all."""

    limit: str
    site: Site
    bites: bool
    text: str


def conclusions(sites: Sequence[Site], costs: UnitCosts, prices: Prices, language: str) -> list[Conclusion]:
    """For each limit in the words of the smallest site that is beyond it, else of the last one."""
    simulations = [simulate(site, costs, prices) for site in sites]
    table = [limits_of(simulation, costs, prices) for simulation in simulations]
    found = []
    for rows in zip(*table, strict=True):
        number = next((number for number, limit in enumerate(rows) if limit.ratio > 1), len(rows) - 1)
        limit, simulation = rows[number], simulations[number]
        fields = _fields(limit, simulation, costs, prices)
        text = say(LIMITS[limit.name], language).format(**fields)
        found.append(Conclusion(limit.name, simulation.site, limit.ratio > 1, text))
    return found


def _fields(limit: Limit, simulation: Simulation, costs: UnitCosts, prices: Prices) -> Mapping[str, object]:
    site, everything = simulation.site, simulation.all
    needed, given = short(limit.needed), short(limit.given)
    pushes = at_the_peak(simulation, "push", lambda s, p: s.parts[p].redis_commands)
    commands = sum(at_the_peak(simulation, part, lambda s, p: s.parts[p].redis_commands) for part in simulation.parts)
    movable = sum(simulation.parts[part].postgres_seconds for part in ("reads", "warm")) / everything.postgres_seconds
    return {
        "needed": needed,
        "given": given,
        "interval": site.interval_seconds,
        "fitting": interval_that_fits(prices.qstash_free_messages_a_day),
        "qstash": qstash_dollars(everything.messages, prices),
        "vercel": sum(row.get("Vercel", 0.0) for row in simulation.dollars.values()),
        "push": pushes / commands,
        "pushed": PUSH,
        "fewer": commands / (commands - pushes + pushes * site.actions_a_push / PUSH),
        "seconds": short(seconds_of_outage(simulation, costs, prices)),
        "drains": site.peak_actions / actions_of_a_drain(simulation),
        "movable": movable,
        "direct": short(prices.neon_connections_a_cu),
        "days": site.settings.retention_days,
        "retention": RETENTION,
        "writer": short(1 / costs.scalars["transaction_seconds"]),
        "lists": LISTS,
    }
