"""Shares a job out over many invocations where its users are too many for one.

The coordinator, which the schedule calls:
1. Find the users. Those of one shard it does itself: nothing of the rest is done.
2. Split them into shards, in Postgres and in one statement, unless an earlier call of this run did so already.
3. Publish a message for each shard that nobody has begun: QStash delivers only a few at once.

A shard's invocation takes some of its users at a time and notes how many are done. What it has no time for goes on in
another message. It ends where its row is done or gone, as when another run has begun.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from lib.adapters.action_log import share_forgetting
from lib.adapters.database import Connection
from lib.adapters.services import Services
from lib.adapters.shard_store import (
    Split,
    advance_shard,
    begin_shard,
    count_shards,
    delete_runs_before,
    end_shard,
    read_latest_run,
    read_unbegun_shards,
)
from lib.core.schedules import Job
from lib.core.shards import Shard, flow_key, run_to_do, shard_deduplication_id
from lib.errors import DatabaseRefuses
from lib.jobs.run import Deadline, Summary

RETRIES = 3  # as of the schedules
MESSAGES_A_REQUEST = 100  # some 50 kB; the smallest plan takes 1 MB
SECONDS = 150.0  # for Postgres to find and split many millions of users; the job itself has 240

ReadUsers = Callable[[Connection, Split], list[str]]


@dataclass(frozen=True)
class SplitJob:
    """A job, how often it runs, and how many users one invocation has time for."""

    job: Job
    period_seconds: int
    shard_users: int


@dataclass(frozen=True)
class Begun:
    """Either `users`, to be done here and now, or how many `shards` do so, with how many users left. `left_behind`:
    shards of the run before that were not done, and now never are."""

    users: list[str]
    run: int
    shards: int
    users_left: int
    left_behind: int

    @property
    def summary(self) -> Summary:
        """Of a coordinator that has handed all of it on."""
        return {"users_left": self.users_left, "shards": self.shards, "shards_left_behind": self.left_behind}


def begin(services: Services, split_job: SplitJob, *, asked: int, now: datetime, read_users: ReadUsers) -> Begun:
    """The users, where they are few; else publishes their shards. A repeated call of the same run splits nothing, and
    publishes what nobody has begun. Raises ServiceUnavailable where not all could be published: try again."""
    try:
        begun = _split(services, split_job, asked, now, read_users)
    except DatabaseRefuses:  # another call did so in the same moment: this one comes after it
        begun = _split(services, split_job, asked, now, read_users)
    if begun.shards:
        _publish(services, split_job.job, begun.run)
    return begun


def _split(services: Services, split_job: SplitJob, asked: int, now: datetime, read_users: ReadUsers) -> Begun:
    name = split_job.job.name
    with services.database.transaction(seconds=SECONDS) as connection:
        run, is_begun = run_to_do(asked, read_latest_run(connection, name), split_job.period_seconds)
        users, left_behind = [], 0
        if not is_begun:
            share_forgetting(connection)  # nobody is put into a shard who is being forgotten
            users = read_users(connection, Split(name, run, split_job.shard_users, now))
            left_behind = delete_runs_before(connection, name, run)
        shards, users_left = (0, 0) if users else count_shards(connection, name, run)
    return Begun(users, run, shards, users_left, left_behind)


def _publish(services: Services, job: Job, run: int) -> None:
    with services.database.transaction() as connection:
        numbers = read_unbegun_shards(connection, job.name, run)
    for some in _batches(numbers, MESSAGES_A_REQUEST):
        publish_shards(services, job, [Shard(run, number) for number in some])


def publish_shards(services: Services, job: Job, shards: Iterable[Shard]) -> None:
    """In one request. A repeated call adds nothing to what QStash delivers."""
    from lib.adapters.qstash import Message  # whose client takes long to import: a small site needs none

    settings = services.settings
    settings.require("QSTASH_TOKEN", "NEXT_PUBLIC_APP_URL")
    services.qstash.publish_batch(
        [
            Message(
                url=settings.app_url + job.path,
                body=job.body | shard.body,
                retries=RETRIES,
                deduplication_id=shard_deduplication_id(settings.app_url, job, shard),
                flow_key=flow_key(settings.app_url),
                parallelism=settings.fan_out_parallelism,
            )
            for shard in shards
        ]
    )


@dataclass(frozen=True)
class Work:
    """How a job does some users: so many at a time, as long as so many seconds are left; and what it does in the
    transaction that ends a run, given when the run began."""

    do: Callable[[list[str]], None]
    chunk: int
    chunk_seconds: float
    end: Callable[[Connection, datetime], None] = lambda _connection, _begun_at: None


def do_shard(services: Services, job: Job, shard: Shard, deadline: Deadline, work: Work) -> Summary:
    """Does what there is time for, the first chunk in any case, and publishes what goes on with the rest. Raises
    ServiceUnavailable where it could not: the same message, tried again, goes on where this one ended."""
    with services.database.transaction() as connection:
        begun = begin_shard(connection, job.name, shard)
    left, continued = 0, False
    if begun is not None:
        left = _do(services, job, shard, deadline, work, *begun)
    if left and (following := shard.next) is not None:
        publish_shards(services, job, [following])
        continued = True
    return {"users_left": left, "continued": continued, "run": shard.run, "shard": shard.number}


def _do(
    services: Services, job: Job, shard: Shard, deadline: Deadline, work: Work, done: int, users: Sequence[str | None]
) -> int:
    """How many users are left for another invocation."""
    for first in range(0, len(users), work.chunk):
        if first and deadline.seconds_left <= work.chunk_seconds:
            return len(users) - first
        chunk = users[first : first + work.chunk]
        work.do([user_id for user_id in chunk if user_id is not None])
        with services.database.transaction() as connection:
            if not advance_shard(connection, job.name, shard, done=done + first + len(chunk)):
                return 0
    with services.database.transaction() as connection:
        if (begun_at := end_shard(connection, job.name, shard)) is not None:
            work.end(connection, begun_at)
    return 0


def _batches(numbers: Iterable[int], size: int) -> Iterator[list[int]]:
    waiting = iter(numbers)
    while batch := list(islice(waiting, size)):
        yield batch
