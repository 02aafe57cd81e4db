"""scripts/simulate --check: a known traffic on the whole stack, and what it took against what the model says of it.

The unit costs come from another run, on a site of another size.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lib.core.schedules import PROCESS_ACTIONS, REFRESH_COLD_START, UPDATE_EMBEDDINGS, WARM_CACHE, wanted_schedules
from lib.jobs.warm_cache import CHUNK
from local.bench.large_site import Sizes
from local.simulate import work as works
from local.simulate.measuring.laboratory import Laboratory, element
from local.simulate.measuring.main import ACTIVE_DAYS, Progress, prepare
from local.simulate.measuring.stage import running_stage
from local.simulate.model import usage_of
from local.simulate.site import Site
from local.simulate.units import UnitCosts
from local.simulate.usage import FIELDS, Usage, total
from local.simulate.work import Work

PAUSE_SECONDS = 0.25  # between two pushes
MOST_DIFFERENCE = 0.2


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


@dataclass(frozen=True)
class Row:
    """One quantity, predicted and measured."""

    name: str
    predicted: float
    measured: float

    @property
    def difference(self) -> float:
        return (self.predicted - self.measured) / self.measured if self.measured else 0.0


@dataclass(frozen=True)
class Outcome:
    """By part: `traffic` is ticks, drains, reads and pushes together, which go on at the same time."""

    predicted: dict[str, Usage]
    measured: dict[str, Usage]

    def rows(self) -> list[Row]:
        pairs = zip(
            FIELDS, total(self.predicted.values()).values(), total(self.measured.values()).values(), strict=True
        )
        return [Row(*pair) for pair in pairs]

    @property
    def holds(self) -> bool:
        return all(abs(row.difference) <= MOST_DIFFERENCE for row in self.rows())


def check(costs: UnitCosts, traffic: Traffic, *, quick: bool = False, progress: Progress) -> Outcome:
    variables = {
        "ACTIVE_USER_DAYS": str(ACTIVE_DAYS),
        "ACTIONS_INTERVAL_SECONDS": str(traffic.interval_seconds),
        "CLAIM_MAX_ELEMENTS": str(traffic.site.settings.claim_max_elements),
    }
    with running_stage(**variables) as stage:
        lab = Laboratory(stage, traffic.sizes, traffic.site.settings.claim_max_elements, quick)
        progress("a site")
        prepare(lab)
        app = App(lab, traffic)
        app.act_beforehand()
        progress(f"{traffic.seconds} s of traffic")
        play = app.tick_by_tick if quick else app.by_the_clock
        measured = {"traffic": lab.measure(play)}
        for name, job in (("embeddings", UPDATE_EMBEDDINGS), ("warm", WARM_CACHE), ("refresh", REFRESH_COLD_START)):
            progress(name)
            measured[name] = lab.measure(lambda: lab.deliver(job))  # noqa: B023 - called at once
    return Outcome(predict(costs, traffic, before=app.beforehand), measured)


def predict(costs: UnitCosts, traffic: Traffic, *, before: int) -> dict[str, Usage]:
    site, seconds = traffic.site, traffic.seconds
    halfway = before + traffic.rate * seconds / 2
    work = works.ticks(site, traffic.rate, count=traffic.ticks, before=halfway) + works.reads(
        site, traffic.reads * seconds
    )
    users = site.users_among(before + traffic.rate * seconds, traffic.rate)
    jobs = {
        "embeddings": Work(embedding_run=1, embedded_user=users),
        "warm": Work(warm_run=1, warm_chunk=np.ceil(users / CHUNK), warmed_user=users),
        "refresh": Work(refresh=1),
    }
    return {"traffic": total(usage_of(work, costs).values())} | {
        name: total(usage_of(job, costs).values()) for name, job in jobs.items()
    }


class App:
    """What the site's own app does: users act, and ask for their lists."""

    def __init__(self, lab: Laboratory, traffic: Traffic) -> None:
        self._lab = lab
        self._traffic = traffic
        self._chance = random.Random(3)  # noqa: S311 - no secrets
        shares = np.arange(1, traffic.sizes.contents + 1, dtype=float) ** -traffic.site.exponent
        self._contents = np.cumsum(shares / shares.sum())
        self._reads = iter(self._deck())
        self.beforehand = 0

    def act_beforehand(self) -> None:
        """As on the days before: contents have readers and contenders are chosen among them; some lists are cached."""
        self.beforehand = int(self._traffic.rate * self._traffic.seconds)
        self._push(self.beforehand)
        self._lab.deliver(PROCESS_ACTIONS)
        self._lab.deliver(WARM_CACHE)
        for user in self._with_lists():
            self._lab.stage.read(f"user-{user}")

    def tick_by_tick(self) -> None:
        """As fast as it goes."""
        a_tick = int(self._traffic.rate * self._traffic.interval_seconds)
        for _ in range(self._traffic.ticks):
            self._push(a_tick)
            self._lab.deliver(PROCESS_ACTIONS)
        self._read(int(self._traffic.reads * self._traffic.seconds))

    def by_the_clock(self) -> None:
        """QStash's schedule ticks; pushes and reads go on beside it. It begins and ends between two ticks."""
        traffic, lab = self._traffic, self._lab
        schedule = next(
            schedule
            for schedule in wanted_schedules(lab.stage.url, interval_seconds=traffic.interval_seconds)
            if schedule.body["action"] == PROCESS_ACTIONS.name
        )
        _wait_until(
            lambda: (
                traffic.interval_seconds * 0.4 < time.time() % traffic.interval_seconds < traffic.interval_seconds * 0.6
            )
        )
        begin = time.monotonic()
        lab.stage.services.qstash.put_schedule(schedule)
        lab.stage.publish_ticks()
        threads = [threading.Thread(target=work, args=(begin,)) for work in (self._push_on, self._read_on)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lab.stage.stop_ticking(schedule.schedule_id)
        lab.stage.wait_until_quiet(60)

    def _push_on(self, begin: float) -> None:
        self._repeat(begin, PAUSE_SECONDS, lambda: self._push(int(self._traffic.rate * PAUSE_SECONDS)))

    def _read_on(self, begin: float) -> None:
        self._repeat(begin, 1.0, lambda: self._read(int(self._traffic.reads)))

    def _repeat(self, begin: float, pause: float, work: Callable[[], None]) -> None:
        for number in range(round(self._traffic.seconds / pause)):
            time.sleep(max(0.0, begin + number * pause - time.monotonic()))
            work()

    def _push(self, count: int) -> None:
        contents = np.searchsorted(self._contents, np.random.default_rng(self._chance.getrandbits(32)).random(count))
        elements = [element(self._chance.randrange(self._traffic.acting), int(content)) for content in contents]
        self._lab.push(elements, at_once=self._traffic.actions_a_push)

    def _read(self, count: int) -> None:
        for _ in range(count):
            self._lab.stage.read(f"user-{next(self._reads)}")

    def _deck(self) -> list[int]:
        """Whose lists are asked for, by shares as the site says; nobody's who acts: his would be a matter of chance."""
        work = works.reads(self._traffic.site, self._traffic.reads * self._traffic.seconds)
        acting, cached = self._traffic.acting, len(self._with_lists())
        deck = [-1 - number for number in range(round(work.unknown_read))]
        deck += [acting + number % cached for number in range(round(work.cached_read))]
        deck += [acting + cached + number for number in range(round(work.computed_read))]
        self._chance.shuffle(deck)
        return deck

    def _with_lists(self) -> range:
        return range(self._traffic.acting, self._traffic.acting + self._traffic.sizes.users // 20)


def _wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)
