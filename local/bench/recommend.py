"""Reads of users' lists, cached and computed, through the whole WSGI stack."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain

import numpy as np

from lib.jobs.process_actions import process_user_actions
from lib.jobs.run import Deadline
from local.bench.computed_read import computed_read
from local.bench.figure import Figure, seconds
from local.bench.large_site import sizes_of
from local.bench.reads import Reader, far_redis
from local.bench.stack import Bench, made_actions

TARGET = "<= 1.5"
USERS = [f"user-{number}" for number in range(32)]
READS = 2_000
CONCURRENT_ROUNDS = 5
CONCURRENT_READS = 50  # of each user in a round


def recommend(bench: Bench) -> list[Figure]:
    contents = 300 if bench.quick else bench.contents
    return [*_cached_reads(bench), *computed_read(bench, sizes_of(contents))]


def _cached_reads(bench: Bench) -> list[Figure]:
    """Cached lists, checked for availability, against bare GETs of them through the same client."""
    with bench.empty_site("cached_reads") as services, far_redis(bench.valkey.address, services.settings) as settings:
        _fill(bench, Reader(services.settings))
        reader = Reader(settings)
        for user_id in USERS:
            reader.read(user_id)
            reader.read_from("cache", user_id)
        figures = [*_one_by_one(reader, bench.quick), *_all_at_once(reader, bench.quick)]
        reader.services.close()
        return figures


def _fill(bench: Bench, reader: Reader) -> None:
    """The users' actions, and the contents that they are of."""
    bench.push(made_actions("read", 2_000 if bench.quick else 20_000))
    process_user_actions(reader.services, Deadline.after(600))
    with reader.services.database.transaction() as connection:
        connection.execute("INSERT INTO content (content_id) SELECT content_id FROM recs_popularity")
    with reader.services.database.transaction() as connection:
        connection.execute("ANALYZE")
    reader.services.close()


def _one_by_one(reader: Reader, quick: bool) -> list[Figure]:
    """Reads and GETs take turns."""
    users = USERS[:8] if quick else USERS * (READS // len(USERS))
    pairs = [(seconds(partial(reader.read, user_id)), seconds(partial(reader.get, user_id))) for user_id in users]
    reads, gets = np.array(pairs).T
    return _latencies("cached read", reads, gets, "one GET of its key", target=TARGET)


def _all_at_once(reader: Reader, quick: bool) -> list[Figure]:
    """All users read in threads of one process, as the platform runs requests; rounds of reads and GETs take turns."""
    rounds, each = (1, 2) if quick else (CONCURRENT_ROUNDS, CONCURRENT_READS)
    with ThreadPoolExecutor(len(USERS)) as threads:

        def ask(work: Callable[[str], object]) -> tuple[list[float], float]:
            """How long each took, and how many a second they were."""

            def ask_again_and_again(user_id: str) -> list[float]:
                return [seconds(partial(work, user_id)) for _ in range(each)]

            took = list[float]()
            whole = seconds(lambda: took.extend(chain(*threads.map(ask_again_and_again, USERS))))
            return took, len(took) / whole

        asked = [(ask(reader.read), ask(reader.get)) for _ in range(1 + rounds)][1:]  # the first connects
    reads, gets = (np.concatenate([round_[side][0] for round_ in asked]) for side in (0, 1))
    rate, against = (float(np.median([round_[side][1] for round_ in asked])) for side in (0, 1))
    name, peer = f"cached reads by {len(USERS)} at once", f"{len(USERS)} GETs at once"
    return [
        *_latencies(name, reads, gets, peer, target=""),
        Figure(f"{name}, rate", rate, "reads/s", peer, against, rate / against, ""),
    ]


def _latencies(name: str, took: np.ndarray, against: np.ndarray, peer: str, *, target: str) -> list[Figure]:
    figures = []
    for which, share in (("", 0.5), (", 99 of 100", 0.99)):
        value, other = (float(np.quantile(each, share)) * 1000 for each in (took, against))
        figures.append(Figure(name + which, value, "ms", peer, other, value / other, target))
    return figures
