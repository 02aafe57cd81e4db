"""What lies in Redis and Postgres once everything is as old as it is kept."""

from dataclasses import dataclass

from lib.core.schedules import DAYS_A_MONTH
from local.simulate.prices import GB, Prices
from local.simulate.site import Site
from local.simulate.units import UnitCosts


@dataclass(frozen=True)
class Stored:
    """In GB."""

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


def stored_by(site: Site, costs: UnitCosts, prices: Prices, wal_bytes: float) -> Stored:
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
