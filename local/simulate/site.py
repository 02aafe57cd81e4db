"""A site, as it is assumed. Everything that the product sets comes from the product."""

from dataclasses import dataclass, field

from lib.settings import Settings
from local.simulate.spread import contents_with_new_readers, distinct, hourly_rates
from local.simulate.usage import Usage

_PRODUCT = Settings()


@dataclass(frozen=True)
class Site:
    """`users` have ever acted. `peak_actions` a second come in the busiest hour, `peak_factor` times the mean.

    `active_share` of the users act within ACTIVE_USER_DAYS, in visits of `actions_a_visit` over `visit_seconds`.
    `reads_an_action` lists are asked for; `unknown_share` of them for users of whom nothing is known, and of the others
    `cached_share` are found. The k-th content is acted on as often as k^-`exponent`. Jobs of more users than a shard
    has are done in shards, `shards_at_once`; 0 means that there are none. The round trips are what a service in the
    same region takes beyond one on the same machine."""

    name: str
    users: int
    peak_actions: float
    peak_factor: float = 2.5
    interval_seconds: int = _PRODUCT.actions_interval_seconds
    contents: int = 100_000
    active_share: float = 0.3
    actions_a_visit: float = 20.0
    visit_seconds: float = 600.0
    actions_a_push: float = 1.0
    reads_an_action: float = 0.2
    cached_share: float = 0.5
    unknown_share: float = 0.05
    exponent: float = 1.0
    warm_shard_users: int = getattr(_PRODUCT, "warm_shard_users", 0)
    embeddings_shard_users: int = getattr(_PRODUCT, "embeddings_shard_users", 0)
    shards_at_once: int = getattr(_PRODUCT, "fan_out_parallelism", 1)
    redis_round_trip_ms: float = 2.0
    postgres_round_trip_ms: float = 1.0
    settings: Settings = field(default_factory=Settings)

    def seconds(self, usage: Usage) -> float:
        """How long a function works on it, with what its services are away."""
        waits = usage.redis_commands * self.redis_round_trip_ms + usage.round_trips * self.postgres_round_trip_ms
        return usage.function_seconds + waits / 1000

    @property
    def active_users(self) -> float:
        return min(self.users * self.active_share, self.visits(86_400 * self.settings.active_user_days))

    @property
    def mean_actions(self) -> float:
        return self.peak_actions / self.peak_factor

    @property
    def log_rows(self) -> float:
        """Once the log is as long as it is kept."""
        return self.mean_actions * 86_400 * self.settings.retention_days

    def hourly(self) -> list[float]:
        return hourly_rates(self.peak_actions, self.peak_factor)

    def visits(self, seconds: float) -> float:
        return self.mean_actions * seconds / self.actions_a_visit

    def users_within(self, seconds: float) -> float:
        """Different users who act within so long."""
        return distinct(self.visits(seconds) + 1, self.users * self.active_share)

    def users_among(self, actions: float, rate: float) -> float:
        """Different users among so many actions in a row, at `rate` actions a second."""
        visitors = max(1.0, rate * self.visit_seconds / self.actions_a_visit)
        return distinct(actions, min(visitors, max(1.0, self.users * self.active_share)))

    def contents_among(self, actions: float, *, before: float) -> float:
        """Different contents that get a new reader by so many actions in a row, after `before` of them."""
        return contents_with_new_readers(
            actions, self.contents, exponent=self.exponent, users=self.users * self.active_share, before=before
        )
