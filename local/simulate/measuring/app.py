"""What a site's own app does during a check."""

import random
import threading
import time
from collections.abc import Callable

import numpy as np

from lib.core.schedules import PROCESS_ACTIONS, wanted_schedules
from lib.jobs.choose_contenders import choose_contenders
from local.simulate import work as works
from local.simulate.measuring.laboratory import Laboratory, element
from local.simulate.measuring.traffic import Traffic

PAUSE_SECONDS = 0.25  # between two pushes


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
        choose_contenders(self._lab.stage.services)
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
