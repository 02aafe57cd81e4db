"""(Site, UnitCosts, Prices) -> what each part of the product needs in a month, and its price. Arithmetic alone."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from lib.core.schedules import DAYS_A_MONTH, REFRESH_COLD_START, UPDATE_EMBEDDINGS, WARM_CACHE
from lib.core.trending import BASELINE_DAYS, MOST_ACTIONS
from local.simulate import work as works
from local.simulate.bill import MONTH_SECONDS, dollars_of
from local.simulate.prices import Prices
from local.simulate.site import Site
from local.simulate.stored import Stored, stored_by
from local.simulate.units import UnitCosts
from local.simulate.usage import Usage, total
from local.simulate.work import Work

STAGES = 3  # of learning, each of which reads the log (lib/jobs/build_model.py)
SCAN_SECONDS = 60.0  # that a statement of a job may take
EMBEDDING_RUNS, WARM_RUNS, REFRESHES = (
    works.runs_a_day(job) for job in (UPDATE_EMBEDDINGS, WARM_CACHE, REFRESH_COLD_START)
)
# What the app does itself comes last: it would do so for whatever reads the list.
PARTS = {
    "tick": ("tick", "publish"),
    "drain": ("busy_tick", "batch", "action", "batch_user", "batch_content"),
    "embeddings": ("embedding_run", "embedded_user", "learning", "learned_action", "learned_content"),
    "warm": ("warm_run", "warm_chunk", "warmed_user"),
    "refresh": ("refresh", "pruned_action"),
    "reads": ("cached_read", "computed_read", "unknown_read"),
    "push": ("push", "pushed_action"),
}
OURS = tuple(part for part in PARTS if part != "push")
SERVICES = ("QStash", "Vercel", "Redis", "Postgres")


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
    stored = stored_by(site, costs, prices, total(parts.values()).wal_bytes)
    cu = _postgres_cu(site, parts, prices)
    return Simulation(site, work, parts, stored, cu, dollars_of(parts, stored, cu, prices))


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


def _postgres_cu(site: Site, parts: Mapping[str, Usage], prices: Prices) -> float:
    """What follows the users follows their day too; the jobs are as large by night."""
    follows = sum(parts[part].postgres_seconds for part in ("drain", "reads"))
    jobs = sum(usage.postgres_seconds for usage in parts.values()) - follows
    busy_cores = (follows * site.peak_factor + jobs) / MONTH_SECONDS
    return max(prices.neon_least_cu, busy_cores / prices.postgres_load / prices.cores_a_cu)
