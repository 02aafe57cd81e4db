"""Reads of users' lists, cached and computed."""

import statistics
from datetime import UTC, datetime

from lib.jobs.process_actions import process_user_actions
from lib.jobs.recommend import recommend as read_list
from lib.jobs.run import Deadline
from local.bench.computed_read import computed_read
from local.bench.figure import Figure, seconds
from local.bench.large_site import sizes_of
from local.bench.stack import Bench, made_actions


def recommend(bench: Bench) -> list[Figure]:
    contents = 300 if bench.quick else bench.contents
    return [*_cached_read(bench), *computed_read(bench.services, bench.postgres, sizes_of(contents))]


def _cached_read(bench: Bench) -> list[Figure]:
    """One cached list, checked for availability, against a bare GET of it through the same client."""
    services, now = bench.services, datetime.now(UTC)
    bench.push(made_actions("read", 20_000))
    process_user_actions(services, Deadline.after(600))

    def read() -> None:
        read_list(services, user_id="user-1", n=20, language=None, now=now)

    read()
    reads, gets = [], []
    for _ in range(20 if bench.quick else 300):
        reads.append(seconds(read))
        gets.append(seconds(lambda: services.cache.user_list("user-1")))
    value, against = statistics.median(reads) * 1000, statistics.median(gets) * 1000
    return [Figure("cached read", value, "ms", "one read of the key", against, value / against, "<= 1.5")]
