"""(Site, UnitCosts, Prices) -> what each part of the product needs in a month, and its price. Arithmetic alone."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from lib.core.schedules import DAYS_A_MONTH, REFRESH_COLD_START, UPDATE_EMBEDDINGS, WARM_CACHE
from lib.core.trending import BASELINE_DAYS, MOST_ACTIONS
from local.simulate import work as works
from local.simulate.prices import GB, Prices
from local.simulate.site import Site
from local.simulate.units import UnitCosts
from local.simulate.usage import Usage, total
from local.simulate.work import Work

STAGES = 3  # of learning, each of which reads the log (lib/jobs/build_model.py)
SCAN_SECONDS = 60.0  # that a statement of a job may take
EMBEDDING_RUNS, WARM_RUNS, REFRESHES = (
    works.runs_a_day(job) for job in (UPDATE_EMBEDDINGS, WARM_CACHE, REFRESH_COLD_START)
)
MONTH_SECONDS = DAYS_A_MONTH * 86_400
# What the app does itself comes last: it would do so for whatever reads the list.
PARTS = {
    "tick": ("tick", "publish"),
    "drain": ("busy_tick", "batch", "invalidation", "action", "batch_user", "batch_content"),
    "embeddings": ("embedding_run", "embedded_user", "learning", "learned_action", "learned_content"),
    "warm": ("warm_run", "warm_chunk", "warmed_user"),
    "refresh": ("refresh", "pruned_action"),
    "reads": ("cached_read", "computed_read", "unknown_read"),
    "push": ("push", "pushed_action"),
}
OURS = tuple(part for part in PARTS if part != "push")
SERVICES = ("QStash", "Vercel", "Redis", "Postgres")


@dataclass(frozen=True)
class Stored:
    """In GB, once everything is as old as it is kept."""

    redis_lists: float
    redis_pending: float
    log: float
    embeddings: float
    contents: float
    history: float

    @property
    def redis(self) -> float:
        return self.redis_lists + self.redis_pending

    @property
    def postgres(self) -> float:
        return self.log + self.embeddings + self.contents


@dataclass(frozen=True)
class Simulation:
    """What a month takes, by part. `postgres_cu` is the size of Postgres that the peak needs."""

    site: Site
    work: Work
    parts: Mapping[str, Usage]
    stored: Stored
    postgres_cu: float
    dollars: Mapping[str, Mapping[str, float]]  # part -> service -> dollars; what is stored stands under "storage"

    @property
    def all(self) -> Usage:
        return total(self.parts.values())

    @property
    def dollars_a_month(self) -> float:
        return sum(sum(row.values()) for row in self.dollars.values())


def usage_of(work: Work, costs: UnitCosts) -> dict[str, Usage]:
    """What the work takes, by part. While the app pushes no function of ours works."""
    counts = dataclasses.asdict(work)
    parts = {part: total(counts[name] * costs[name] for name in names) for part, names in PARTS.items()}
    push = parts["push"]
    return parts | {"push": Usage(redis_commands=push.redis_commands, redis_bytes=push.redis_bytes)}


def simulate(site: Site, costs: UnitCosts, prices: Prices) -> Simulation:
    work = works.a_month(site, costs)
    parts = usage_of(work, costs)
    for part in OURS:
        parts[part] = dataclasses.replace(parts[part], function_seconds=site.seconds(parts[part]))
    for part, seconds in _scans(site, costs).items():
        waited = dataclasses.replace(parts[part], postgres_seconds=parts[part].postgres_seconds + seconds)
        parts[part] = dataclasses.replace(waited, function_seconds=waited.function_seconds + seconds)
    stored = _stored(site, costs, prices, total(parts.values()).wal_bytes)
    cu = _postgres_cu(site, parts, prices)
    return Simulation(site, work, parts, stored, cu, _dollars(parts, stored, cu, prices))


def _scans(site: Site, costs: UnitCosts) -> dict[str, float]:
    """Seconds a month of what looks at more than it works on. What takes longer than a statement may is ended then."""
    return {
        part: DAYS_A_MONTH * sum(times * min(seconds, SCAN_SECONDS) for times, seconds in scans)
        for part, scans in scans_of_a_day(site, costs).items()
    }


def scans_of_a_day(site: Site, costs: UnitCosts) -> dict[str, list[tuple[float, float]]]:
    """How often, and how many seconds each."""
    scalars, a_day = costs.scalars, site.mean_actions * 86_400
    baseline = a_day * BASELINE_DAYS
    learning = STAGES * min(EMBEDDING_RUNS, 24 / site.settings.model_max_age_hours)
    return {
        "warm": [(WARM_RUNS, scalars["active_scan_seconds"] * a_day * site.settings.active_user_days)],
        "embeddings": [
            (EMBEDDING_RUNS, scalars["update_scan_seconds"] * site.users),
            (learning, scalars["training_scan_seconds"] * site.log_rows),
        ],
        # The baseline is looked at twice: how much there is, and then a sample of it.
        "refresh": [
            (2 * REFRESHES, scalars["topic_scan_seconds"] * baseline),
            (REFRESHES, scalars["topic_count_seconds"] * min(baseline, MOST_ACTIONS)),
        ],
    }


def _stored(site: Site, costs: UnitCosts, prices: Prices, wal_bytes: float) -> Stored:
    """Two versions of what is learned of contents: the next is written beside the current one."""
    lists = min(site.users_within(site.settings.cache_ttl_seconds) + site.active_users, site.users)
    return Stored(
        redis_lists=lists * costs.scalars["list_bytes"] / GB,
        redis_pending=site.peak_actions * site.interval_seconds * costs.scalars["element_bytes"] / GB,
        log=site.log_rows * costs.scalars["log_row_bytes"] / GB,
        embeddings=site.users * costs.scalars["embedding_row_bytes"] / GB,
        contents=2 * site.contents * costs.scalars["content_row_bytes"] / GB,
        history=wal_bytes / DAYS_A_MONTH * prices.neon_history_days / GB,
    )


def _postgres_cu(site: Site, parts: Mapping[str, Usage], prices: Prices) -> float:
    """What follows the users follows their day too; the jobs are as large by night."""
    follows = sum(parts[part].postgres_seconds for part in ("drain", "reads"))
    jobs = sum(usage.postgres_seconds for usage in parts.values()) - follows
    busy_cores = (follows * site.peak_factor + jobs) / MONTH_SECONDS
    return max(prices.neon_least_cu, busy_cores / prices.postgres_load / prices.cores_a_cu)


def _dollars(parts: Mapping[str, Usage], stored: Stored, cu: float, prices: Prices) -> dict[str, dict[str, float]]:
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
