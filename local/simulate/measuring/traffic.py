"""The known traffic of a check, and the site that it makes."""

from dataclasses import dataclass, replace

from local.bench.large_site import Sizes
from local.simulate.site import Site


@dataclass(frozen=True)
class Traffic:
    """`rate` actions and `reads` reads a second for so many seconds, by the first `acting` of the site's users."""

    sizes: Sizes
    acting: int
    rate: float
    reads: float
    seconds: int
    interval_seconds: int = 5
    actions_a_push: int = 5
    claim: int | None = None

    @property
    def ticks(self) -> int:
        return self.seconds // self.interval_seconds

    @property
    def site(self) -> Site:
        """All who act do so all the time."""
        site = Site(
            "check",
            users=self.acting,
            peak_actions=self.rate,
            peak_factor=1.0,
            interval_seconds=self.interval_seconds,
            contents=self.sizes.contents,
            active_share=1.0,
            visit_seconds=1e9,
            actions_a_push=self.actions_a_push,
            redis_round_trip_ms=0.0,
            postgres_round_trip_ms=0.0,
        )
        claim = self.claim or site.settings.claim_max_elements
        return replace(site, settings=replace(site.settings, claim_max_elements=claim))


TRAFFIC = Traffic(Sizes(5_000, users=1_500, actions=75_000), acting=900, rate=200.0, reads=4.0, seconds=120)
QUICK = Traffic(
    Sizes(300, users=80, actions=800), acting=40, rate=40.0, reads=10.0, seconds=4, interval_seconds=1, claim=60
)
