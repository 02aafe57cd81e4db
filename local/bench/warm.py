"""Users a second of the warm run, on a site of many contents, against scoring every content for every user.

The limit is the bare product of users' and contents' vectors and the best n of each row: without what a user has acted
on left out, without popularity, and without reading or storing anything. The two libraries leave out what was acted on.
All of them have one thread, as have we.
"""

import statistics
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

import faiss
import numpy as np
from implicit.cpu.topk import topk
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from lib.adapters.embedding_store import read_active_model
from lib.adapters.services import Services
from lib.core.embeddings import unit_rows
from lib.core.ranker.log import Indices, Vectors
from lib.jobs.assemble_site import assemble_site
from lib.jobs.gathered import Gathered
from lib.jobs.rank_lists import basis_of, rank_assembled
from lib.jobs.run import Deadline
from lib.jobs.warm_cache import CHUNK, warm_cache
from local.bench.computed_read import fill
from local.bench.figure import Figure, seconds
from local.bench.large_site import CONTENT_SIZE, Sizes
from local.bench.reads import far_redis
from local.bench.stack import Bench

N = 20  # of the others; our lists hold 100
ACTIONS_A_USER = 50
SCORED = 512  # users of each round of the others
BATCH = 128  # users of one product, whose scores of 100,000 contents take 50 MB; with more it gains next to nothing
SIZES = Sizes(contents=100_000, users=2_000, actions=2_000 * ACTIONS_A_USER)
QUICK_SIZES = Sizes(contents=300, users=60, actions=60 * ACTIONS_A_USER)
LIMIT = "the bare product"

Work = Callable[[], int]  # answers for how many users it was done


def warm(bench: Bench) -> list[Figure]:
    """The whole job and the ranking alone, each against the limit and the libraries, which take turns."""
    sizes, repeats = (QUICK_SIZES, 1) if bench.quick else (SIZES, 3)
    with (
        bench.empty_site("warm_site") as site,
        far_redis(bench.valkey.address, site.settings) as settings,
        closing(Services(settings)) as services,
        threadpool_limits(limits=1),
    ):
        fill(services, sizes)
        now = datetime.now(UTC)
        ours: dict[str, Work] = {
            "warm run": partial(_warm, services, now),
            "its ranking alone": _ranking(services, [f"user-{k}" for k in range(sizes.users)][:CHUNK], now),
        }
        others = _others(np.random.default_rng(3), sizes)
        rates: dict[str, list[float]] = {name: [] for name in (*ours, *others)}
        for _ in range(repeats):
            for name, work in {**ours, **others}.items():
                rates[name].append(_users_a_second(work))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    return [_figure(name, other, medians) for name in ours for other in others]


def _users_a_second(work: Work) -> float:
    done: list[int] = []
    took = seconds(lambda: done.append(work()))
    return done[0] / took


def _figure(name: str, other: str, medians: dict[str, float]) -> Figure:
    value, against = medians[name], medians[other]
    target = ">= 0.6" if other == LIMIT else ">= 1"
    return Figure(f"{name}, against {other}", value, "users/s", other, against, value / against, target)


def _warm(services: Services, now: datetime) -> int:
    """The whole job: what is shared is chosen anew, lists are computed from what Postgres holds, and stored."""
    return int(warm_cache(services, now, Deadline.after(3_600))["users_warmed"])


def _ranking(services: Services, user_ids: list[str], now: datetime) -> Work:
    """Of some users, for whom everything has been read."""
    with services.database.transaction(vectors=True) as connection:
        basis = basis_of(services.settings, read_active_model(connection), now)
        site = assemble_site(connection, services, basis, user_ids, language=None, gathered=Gathered())
    return lambda: len(rank_assembled(basis, site))


def _others(rng: np.random.Generator, sizes: Sizes) -> dict[str, Work]:
    contents, users = (
        unit_rows(rng.standard_normal((count, CONTENT_SIZE), dtype=np.float32))
        for count in (sizes.contents, min(SCORED, sizes.users))
    )
    seen = rng.integers(0, sizes.contents, (len(users), ACTIONS_A_USER))
    return {
        LIMIT: partial(_best_of_product, users, contents),
        "implicit": _implicit(users, contents, seen),
        "faiss": _faiss(users, contents, seen),
    }


def _best_of_product(users: Vectors, contents: Vectors) -> int:
    for first in range(0, len(users), BATCH):
        scores = users[first : first + BATCH] @ contents.T
        best = np.argpartition(scores, -N, axis=1)[:, -N:]
        np.take_along_axis(scores, best, axis=1)
    return len(users)


def _implicit(users: Vectors, contents: Vectors, seen: Indices) -> Work:
    rows = np.repeat(np.arange(len(users)), seen.shape[1])
    acted_on = csr_matrix((np.ones(seen.size, np.float32), (rows, seen.ravel())), (len(users), len(contents)))

    def rank() -> int:
        topk(contents, users, N, filter_query_items=acted_on, num_threads=1)  # which makes batches of its own
        return len(users)

    return rank


def _faiss(users: Vectors, contents: Vectors, seen: Indices) -> Work:
    """Which can leave out nothing of one user's: so many more are asked for as he may have seen."""
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(contents.shape[1])
    index.add(contents)

    def rank() -> int:
        _, found = index.search(users, N + seen.shape[1])
        is_seen = (found[:, :, None] == seen[:, None, :]).any(axis=2)
        np.take_along_axis(found, np.argsort(is_seen, axis=1, kind="stable")[:, :N], axis=1)
        return len(users)

    return rank
