"""What one can change where a limit bites, and by what factor it helps: each is simulated anew."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from local.simulate.bill import MONTH_SECONDS
from local.simulate.limits import actions_of_a_drain, actions_of_a_primary, seconds_of_outage
from local.simulate.model import Simulation, simulate
from local.simulate.prices import Prices
from local.simulate.site import Site
from local.simulate.units import UnitCosts

NUMBERS = {
    "interval": 60,
    "push": 20,
    "claim": 20_000,
    "cached": 0.9,
    "retention": 90,
    "shard": 5_000,
    "shards": 50,
    "lists": 8,
}
LISTS, PUSH, RETENTION = (NUMBERS[name] for name in ("lists", "push", "retention"))

Change = Callable[[Site], Site]
Measure = Callable[[Simulation], float]


@dataclass(frozen=True)
class Lever:
    """`before` and `after` are of what it is pulled for; `better` is by what factor."""

    name: str
    before: float
    after: float
    better: float


def levers_of(site: Site, costs: UnitCosts, prices: Prices) -> list[Lever]:
    """Of those that are settings or lie with the app, then of those that are another architecture."""
    now = simulate(site, costs, prices)

    def pull(name: str, measure: Measure, *, more: bool = False, **changes: object) -> Lever:
        before, after = measure(now), measure(simulate(_changed(site, **changes), costs, prices))
        return Lever(name, before, after, after / before if more else before / after)

    outage = seconds_of_outage(now, costs, prices)
    primary = actions_of_a_primary(now, prices)
    commands = sum(usage.redis_commands for usage in now.parts.values()) / MONTH_SECONDS
    return [
        pull("interval", lambda s: s.all.messages, interval_seconds=NUMBERS["interval"]),
        pull("push", lambda s: s.all.redis_commands, actions_a_push=PUSH),
        pull("claim", lambda s: s.parts["drain"].redis_commands, claim_max_elements=NUMBERS["claim"]),
        pull("claim_speed", actions_of_a_drain, more=True, claim_max_elements=NUMBERS["claim"]),
        pull("cached", lambda s: s.dollars_a_month, cached_share=NUMBERS["cached"]),
        pull("retention", lambda s: s.stored.log, retention_days=RETENTION),
        pull(
            "shards",
            lambda s: s.work.warmed_user,
            more=True,
            warm_shard_users=NUMBERS["shard"],
            shards_at_once=NUMBERS["shards"],
        ),
        Lever(
            "replicas", now.postgres_cu, now.postgres_cu * (1 - _share_of_reads(now)), 1 / (1 - _share_of_reads(now))
        ),
        Lever("partitions", primary, LISTS * primary, LISTS),
        Lever("lists", outage, LISTS * outage, LISTS),
        Lever("lists_rate", commands, commands / LISTS, LISTS),
        Lever("stream", outage, outage, 1.0),
    ]


def _changed(site: Site, **changes: object) -> Site:
    ours = {name: value for name, value in changes.items() if hasattr(site, name)}
    settings = {name: value for name, value in changes.items() if name not in ours}
    return replace(site, **ours, settings=replace(site.settings, **settings))  # type: ignore[arg-type]


def _share_of_reads(simulation: Simulation) -> float:
    """Of what Postgres does: reads and the hourly lists need no primary."""
    can_go = simulation.parts["reads"].postgres_seconds + simulation.parts["warm"].postgres_seconds
    return can_go / simulation.all.postgres_seconds
