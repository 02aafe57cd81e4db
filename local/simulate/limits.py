"""Where each plan, and each part of the product, ends: what a site needs of it against what it gives."""

from collections.abc import Callable
from dataclasses import dataclass

from lib.adapters.cache import USERS_A_COMMAND
from lib.core.schedules import DAYS_A_MONTH, interval_problem, messages_a_day
from local.simulate.bill import MONTH_SECONDS
from local.simulate.model import SCAN_SECONDS, Simulation
from local.simulate.prices import Prices
from local.simulate.units import UnitCosts
from local.simulate.work import embeddable_users, warmable_users

OUTAGE_SECONDS = 600.0  # of Postgres, that the list of pending actions should outlast
FOLLOWS_THE_DAY = ("drain", "reads", "push")  # the other parts are as large by night


@dataclass(frozen=True)
class Limit:
    """`needed` of `given`, both in `unit`."""

    name: str
    needed: float
    given: float
    unit: str

    @property
    def ratio(self) -> float:
        """Above 1 it doesn't suffice."""
        return self.needed / self.given


def limits_of(simulation: Simulation, costs: UnitCosts, prices: Prices) -> list[Limit]:
    site, everything, stored = simulation.site, simulation.all, simulation.stored
    scalars, settings = costs.scalars, site.settings
    a_day = site.mean_actions * 86_400
    largest = max(USERS_A_COMMAND * scalars["list_bytes"], settings.claim_max_elements * scalars["element_bytes"])
    return [
        Limit("qstash_free", everything.messages / DAYS_A_MONTH, prices.qstash_free_messages_a_day, "messages a day"),
        Limit("qstash_parallelism", _at_once(simulation, _DELIVERED), prices.qstash_parallelism, "deliveries at once"),
        Limit("redis_free", everything.redis_commands, prices.redis_free_commands_a_month, "commands a month"),
        Limit("redis_rate", _commands_at_the_peak(simulation), prices.redis_commands_a_second, "commands a second"),
        Limit("redis_request", largest, prices.redis_request_bytes, "bytes a request"),
        Limit("redis_record", OUTAGE_SECONDS, seconds_of_outage(simulation, costs, prices), "seconds of outage"),
        Limit("redis_kept", stored.redis, prices.redis_most_gb_kept, "GB"),
        Limit("one_drain", site.peak_actions, actions_of_a_drain(simulation), "actions a second"),
        Limit("one_primary", site.peak_actions, actions_of_a_primary(simulation, prices), "actions a second"),
        Limit("postgres_size", simulation.postgres_cu, prices.neon_most_cu, "compute units"),
        Limit("connections", _at_once(simulation, _CONNECTED), prices.neon_pooled_connections, "connections"),
        Limit("postgres_kept", stored.postgres, prices.neon_most_gb_kept, "GB"),
        Limit("vercel_hobby", everything.cpu_seconds / 3_600, prices.vercel_free_cpu_hours, "CPU hours a month"),
        Limit("vercel_concurrency", _at_once(simulation, _CONNECTED), prices.vercel_concurrency, "calls at once"),
        Limit("warm_run", site.active_users, warmable_users(site, costs), "users a run"),
        Limit("embedding_run", site.users, embeddable_users(site, costs), "users a run"),
        Limit(
            "active_scan", scalars["active_scan_seconds"] * a_day * settings.active_user_days, SCAN_SECONDS, "seconds"
        ),
        Limit("update_scan", scalars["update_scan_seconds"] * site.users, SCAN_SECONDS, "seconds"),
        Limit("training_scan", scalars["training_scan_seconds"] * site.log_rows, SCAN_SECONDS, "seconds"),
    ]


_DELIVERED = ("tick", "drain", "embeddings", "warm", "refresh")
_CONNECTED = (*_DELIVERED, "reads")


def at_the_peak(simulation: Simulation, part: str, value: Callable[[Simulation, str], float]) -> float:
    """A second, of what a part takes in a month."""
    factor = simulation.site.peak_factor if part in FOLLOWS_THE_DAY else 1.0
    return factor * value(simulation, part) / MONTH_SECONDS


def _at_once(simulation: Simulation, parts: tuple[str, ...]) -> float:
    """How many calls are under way at the peak: those that begin in a second, times what each takes (Little's law)."""
    return sum(at_the_peak(simulation, part, lambda s, p: s.parts[p].function_seconds) for part in parts)


def _commands_at_the_peak(simulation: Simulation) -> float:
    return sum(at_the_peak(simulation, part, lambda s, p: s.parts[p].redis_commands) for part in simulation.parts)


def seconds_of_outage(simulation: Simulation, costs: UnitCosts, prices: Prices) -> float:
    """That the list of pending actions takes at the peak, before it is too large a record."""
    return prices.redis_record_bytes / (simulation.site.peak_actions * costs.scalars["element_bytes"])


def actions_of_a_drain(simulation: Simulation) -> float:
    """A second, of one drain that never ends."""
    return simulation.work.action / max(1e-9, simulation.parts["drain"].function_seconds)


def actions_of_a_primary(simulation: Simulation, prices: Prices) -> float:
    """A second, of as many drains at once as the largest Postgres has processors for."""
    cores = prices.neon_most_cu * prices.cores_a_cu * prices.postgres_load
    return cores * simulation.work.action / max(1e-9, simulation.parts["drain"].postgres_seconds)


def interval_that_fits(messages: float) -> int:
    """The shortest allowed interval of ticks with which no more messages come in a day."""
    return next(
        seconds for seconds in range(1, 1_801) if not interval_problem(seconds) and messages_a_day(seconds) <= messages
    )
