"""warm_cache: computes the lists of users who acted lately, before they ask. Every hour.

It begins with choosing anew what can be a candidate for everybody, for the lists that are read in the next hour too.
For some users at a time, the latest first, as long as there is time: note their generations, rank their lists by the
function of /api/recommend, store them. A user who acts in the meantime bumps his generation, and the list computed
before is not stored. Of a large site each shard of the users is done in an invocation of its own (lib/jobs/shards.py).
"""

from datetime import datetime, timedelta
from functools import partial

from lib.adapters.catalogue import read_active_users
from lib.adapters.services import Services
from lib.core.schedules import WARM_CACHE
from lib.core.shards import Shard, slot_of
from lib.jobs.choose_contenders import choose_contenders
from lib.jobs.gathered import Gathered
from lib.jobs.rank_lists import rank_lists
from lib.jobs.run import Deadline, Summary
from lib.jobs.shards import SplitJob, Work, begin, do_shard

PERIOD_SECONDS = 3_600
CHUNK = 200  # users; their profiles have some thousand items, whose neighbours take some 20 MB
CHUNK_SECONDS = 10.0


def warm_cache(services: Services, now: datetime, deadline: Deadline, *, run: int | None = None) -> Summary:
    """Answers users_warmed, and users_left: for want of time, or for the `shards` that were published. `run` tells a
    call of a person's from one that QStash repeats."""
    settings = services.settings
    choose_contenders(services)
    begun = begin(
        services,
        SplitJob(WARM_CACHE, PERIOD_SECONDS, settings.warm_shard_users),
        asked=run or slot_of(now.timestamp(), PERIOD_SECONDS),
        now=now,
        read_users=partial(read_active_users, since=now - timedelta(days=settings.active_user_days)),
    )
    if begun.shards:
        return {"users_warmed": 0, **begun.summary}
    users, done, warmed, gathered = begun.users, 0, 0, Gathered()
    while done < len(users) and (deadline.seconds_left > CHUNK_SECONDS or not done):
        chunk = users[done : done + CHUNK]
        warmed += _warm(services, chunk, gathered, now)
        done += len(chunk)
    return {"users_warmed": warmed, "users_left": len(users) - done}


def warm_shard(services: Services, now: datetime, deadline: Deadline, *, shard: Shard) -> Summary:
    """Answers what `warm_cache` does, of one shard."""
    warmed, gathered = 0, Gathered()

    def warm(users: list[str]) -> None:
        nonlocal warmed
        warmed += _warm(services, users, gathered, now)

    summary = do_shard(services, WARM_CACHE, shard, deadline, Work(warm, CHUNK, CHUNK_SECONDS))
    return {"users_warmed": warmed, **summary}


def _warm(services: Services, users: list[str], gathered: Gathered, now: datetime) -> int:
    """How many lists were stored."""
    generations = dict(zip(users, services.cache.generations(users), strict=True))
    lists = rank_lists(services, users, language=None, now=now, gathered=gathered)
    return services.cache.store_user_lists(lists, generations)
