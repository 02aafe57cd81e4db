"""What the services ask for a month."""

from collections.abc import Mapping

from lib.core.schedules import DAYS_A_MONTH
from local.simulate.prices import GB, Prices
from local.simulate.stored import Stored
from local.simulate.usage import Usage, total

MONTH_SECONDS = DAYS_A_MONTH * 86_400


def dollars_of(parts: Mapping[str, Usage], stored: Stored, cu: float, prices: Prices) -> dict[str, dict[str, float]]:
    """A service's bill is shared out among the parts by what they take of it."""
    everything = total(parts.values())
    bills = {
        "QStash": (qstash_dollars(everything.messages, prices), "messages"),
        "Redis": (redis_dollars(everything, stored, prices), "redis_commands"),
        "Postgres": (_neon_compute_dollars(everything, cu, prices), "postgres_seconds"),
    }
    rows = {}
    for part, usage in parts.items():
        row = {"Vercel": vercel_dollars(usage, prices)}
        for service, (bill, field) in bills.items():
            of_all = getattr(everything, field)
            row[service] = bill * getattr(usage, field) / of_all if of_all else 0.0
        row["Postgres"] += _neon_transfer_dollars(usage, everything, prices)
        rows[part] = row
    kept = stored.postgres * prices.neon_a_gb_kept + stored.history * prices.neon_a_gb_of_history
    return rows | {"storage": {"Postgres": kept}}


def qstash_dollars(messages: float, prices: Prices) -> float:
    """By the plan that is cheapest."""
    fixed = [dollars for dollars, a_day in prices.qstash_fixed if messages / DAYS_A_MONTH <= a_day]
    return min([messages * prices.qstash_a_message, *fixed])


def redis_dollars(usage: Usage, stored: Stored, prices: Prices) -> float:
    """By the plan that is cheapest; where none is large enough, as many databases as it takes."""
    sent = usage.redis_bytes / GB
    as_you_go = (
        usage.redis_commands * prices.redis_a_command
        + max(0.0, sent - prices.redis_free_gb_sent) * prices.redis_a_gb_sent
        + max(0.0, stored.redis - 1) * prices.redis_a_gb_kept
    )
    databases = max(1.0, usage.redis_commands / MONTH_SECONDS / prices.redis_commands_a_second)
    fixed = [
        dollars * max(databases, stored.redis / kept, sent / allowed) for dollars, kept, allowed in prices.redis_fixed
    ]
    return min([as_you_go, *fixed])


def vercel_dollars(usage: Usage, prices: Prices) -> float:
    instances = usage.function_seconds / prices.vercel_requests_an_instance
    return (
        usage.cpu_seconds * prices.vercel_a_cpu_second
        + instances * prices.vercel_gb * prices.vercel_a_gb_second
        + usage.invocations * prices.vercel_an_invocation
    )


def _neon_compute_dollars(usage: Usage, cu: float, prices: Prices) -> float:
    """It grows and shrinks with what there is to do, and never sleeps: somebody acts or reads all the time."""
    mean = max(prices.neon_least_cu, usage.postgres_seconds / MONTH_SECONDS / prices.postgres_load / prices.cores_a_cu)
    return min(cu, mean) * MONTH_SECONDS / 3_600 * prices.neon_a_cu_hour


def _neon_transfer_dollars(usage: Usage, everything: Usage, prices: Prices) -> float:
    billed = max(0.0, everything.postgres_egress / GB - prices.neon_free_gb_sent)
    share = usage.postgres_egress / everything.postgres_egress if everything.postgres_egress else 0.0
    return billed * share * prices.neon_a_gb_sent
