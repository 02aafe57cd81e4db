"""scripts/simulate --check: a known traffic on the whole stack, and what it took against what the model says of it.

The unit costs come from another run, on a site of another size.
"""

import math
from dataclasses import dataclass

from lib.core.schedules import REFRESH_COLD_START, UPDATE_EMBEDDINGS, WARM_CACHE
from lib.jobs.warm_cache import CHUNK
from local.simulate import work as works
from local.simulate.measuring.app import App
from local.simulate.measuring.laboratory import Laboratory
from local.simulate.measuring.main import ACTIVE_DAYS, Progress, prepare
from local.simulate.measuring.running import running_stage
from local.simulate.measuring.traffic import Traffic
from local.simulate.model import usage_of
from local.simulate.units import UnitCosts
from local.simulate.usage import FIELDS, Usage, total
from local.simulate.work import Work

MOST_DIFFERENCE = 0.2


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
        "warm": Work(warm_run=1, warm_chunk=math.ceil(users / CHUNK), warmed_user=users),
        "refresh": Work(refresh=1),
    }
    return {"traffic": total(usage_of(work, costs).values())} | {
        name: total(usage_of(job, costs).values()) for name, job in jobs.items()
    }
