"""How often a site does each of the things that have a unit cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from lib.core.schedules import (
    DAYS_A_MONTH,
    MOST_PARTS,
    REFRESH_COLD_START,
    UPDATE_EMBEDDINGS,
    WARM_CACHE,
    Job,
    wanted_schedules,
)
from lib.jobs.run import WORK_SHARE
from lib.jobs.update_embeddings import CHUNK_SECONDS as EMBEDDING_CHUNK_SECONDS
from lib.jobs.warm_cache import CHUNK, CHUNK_SECONDS
from local.simulate.site import Site
from local.simulate.units import UnitCosts
from local.simulate.usage import total as sum_of


@dataclass(frozen=True)
class Work:
    """Counts, named as the unit costs are."""

    tick: float = 0.0
    publish: float = 0.0
    busy_tick: float = 0.0
    batch: float = 0.0
    action: float = 0.0
    batch_user: float = 0.0
    batch_content: float = 0.0
    push: float = 0.0
    pushed_action: float = 0.0
    embedding_run: float = 0.0
    embedded_user: float = 0.0
    learning: float = 0.0
    learned_action: float = 0.0
    learned_content: float = 0.0
    warm_run: float = 0.0
    warm_chunk: float = 0.0
    warmed_user: float = 0.0
    refresh: float = 0.0
    pruned_action: float = 0.0
    cached_read: float = 0.0
    computed_read: float = 0.0
    unknown_read: float = 0.0

    def __add__(self, other: Work) -> Work:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Work(*(a + b for a, b in pairs))

    def __rmul__(self, times: float) -> Work:
        return Work(*(times * count for count in dataclasses.astuple(self)))


def total(works: Sequence[Work]) -> Work:
    return sum(works, Work())


def ticks(site: Site, rate: float, *, count: float, before: float) -> Work:
    """So many ticks at `rate` actions a second, after `before` actions. A tick drains what has come since the last
    one, in full claims and one that is not."""
    actions = rate * site.interval_seconds
    claim = float(site.settings.claim_max_elements)
    batches = _batches(actions, claim)
    a_batch = max(1.0, actions) / max(1.0, batches) if actions else 0.0
    users = site.users_among(a_batch, rate)
    one = Work(
        tick=1,
        # Actions come one by one: of a thousandth of an action a tick, one tick in a thousand finds something.
        busy_tick=-math.expm1(-actions),
        batch=batches,
        action=actions,
        batch_user=batches * users,
        batch_content=batches * site.contents_among(a_batch, before=before),
        push=actions / site.actions_a_push,
        pushed_action=actions - actions / site.actions_a_push,
    )
    minute_calls = site.interval_seconds / 60 if site.interval_seconds < 60 else 0.0
    return count * dataclasses.replace(one, publish=minute_calls)


def reads(site: Site, count: float) -> Work:
    unknown = count * site.unknown_share
    cached = (count - unknown) * site.cached_share
    return Work(cached_read=cached, computed_read=count - unknown - cached, unknown_read=unknown)


def warm(site: Site, units: UnitCosts) -> Work:
    """One run, of as many of the active users as there is time for."""
    users = min(site.active_users, warmable_users(site, units))
    return Work(warm_run=_calls(users, site.warm_shard_users), warm_chunk=math.ceil(users / CHUNK), warmed_user=users)


def warmable_users(site: Site, units: UnitCosts) -> float:
    """In an hour by shards, else in one invocation."""
    seconds = WORK_SHARE * site.settings.job_time_budget_seconds - CHUNK_SECONDS
    if site.warm_shard_users:
        seconds = site.shards_at_once * 86_400 / runs_a_day(WARM_CACHE)
    chunk = site.seconds(units["warm_chunk"] + CHUNK * units["warmed_user"])
    return max(CHUNK, CHUNK * seconds / max(chunk, 1e-9))


def embeddings(site: Site, units: UnitCosts, *, users: float, learned: float = 0.0) -> Work:
    """One run, of as many users as there is time for. Where it learns a new model, it does so from so many actions."""
    users = min(users, embeddable_users(site, units))
    work = Work(embedded_user=users)
    if learned:
        work += Work(learning=1, learned_action=learned, learned_content=site.contents)
    counts = dataclasses.asdict(work)
    takes = site.seconds(sum_of(counts[name] * units[name] for name in counts if counts[name]))
    parts = math.ceil(takes / _seconds_of_a_part(site))
    return work + Work(embedding_run=max(1.0, parts, _calls(users, site.embeddings_shard_users)))


def embeddable_users(site: Site, units: UnitCosts) -> float:
    """By shards until the next run, else in the parts that a run may have."""
    seconds = MOST_PARTS * _seconds_of_a_part(site)
    if site.embeddings_shard_users:
        seconds = site.shards_at_once * 86_400 / runs_a_day(UPDATE_EMBEDDINGS)
    return seconds / max(site.seconds(units["embedded_user"]), 1e-9)


def _seconds_of_a_part(site: Site) -> float:
    return site.settings.embeddings_time_budget_seconds - EMBEDDING_CHUNK_SECONDS


def _calls(users: float, shard_users: int) -> int:
    """Of a job: the coordinator, and the shards where it doesn't do the users itself."""
    return 1 + math.ceil(users / shard_users) if shard_users and users > shard_users else 1


def runs_a_day(job: Job) -> int:
    schedules = wanted_schedules("https://app.example", interval_seconds=60)
    return next(schedule.messages_a_day for schedule in schedules if schedule.body["action"] == job.name)


def a_month(site: Site, units: UnitCosts) -> Work:
    """Of a site whose log is as long as it is kept."""
    ticks_an_hour = 3_600 / site.interval_seconds
    day = total([ticks(site, rate, count=ticks_an_hour, before=site.log_rows) for rate in site.hourly()])
    day += runs_a_day(WARM_CACHE) * warm(site, units) + _embeddings_of_a_day(site, units, runs_a_day(UPDATE_EMBEDDINGS))
    day += Work(refresh=runs_a_day(REFRESH_COLD_START), pruned_action=site.mean_actions * 86_400)
    day += reads(site, site.mean_actions * 86_400 * site.reads_an_action)
    return DAYS_A_MONTH * day


def _embeddings_of_a_day(site: Site, units: UnitCosts, runs: int) -> Work:
    """Some runs learn a new model, by which every user is embedded anew."""
    learning = min(runs, 24 / site.settings.model_max_age_hours)
    learned = min(site.log_rows, site.settings.model_max_actions)
    lately = site.users_within(86_400 / runs)
    return learning * embeddings(site, units, users=site.users, learned=learned) + (runs - learning) * embeddings(
        site, units, users=lately
    )


def _batches(actions: float, claim: float) -> float:
    """Below one action a tick, batches of one that are rarer than ticks."""
    return -math.expm1(-actions) if actions < claim else math.ceil(actions / claim)
