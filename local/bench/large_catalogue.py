"""What suits a user best of all that nobody has met: pgvector's HNSW against looking at everything, by the statements
of a read. At several sizes, for below one of them the exact way is the quicker."""

import statistics
import time
from collections.abc import Sequence

import numpy as np
from pgvector import HalfVector, Vector
from pgvector.psycopg import register_vector

from lib.adapters.database import Connection
from lib.adapters.new_contents import EXACT_UP_TO, FITTING, add_new_contents, read_fitting
from lib.adapters.services import Services
from lib.core.defaults import EMBEDDING_SIZE, TEXT_SIZE
from lib.core.embeddings import Vectors, unit_rows
from local.bench.figure import Figure, seconds
from local.bench.stack import Bench

CONTENTS = 100_000  # at least, unless it is to be quick
SHARES = (0.02, 0.2, 1.0)  # of the contents
USERS = 100
TOPICS, SUBTOPICS = 100, 20  # random vectors without any are all equally far apart, which no text is
VERSION = AXES = 1
_SECONDS = 3_600.0


def large_catalogue(bench: Bench) -> list[Figure]:
    contents = 2_000 if bench.quick else max(bench.contents, CONTENTS)
    sizes, milliseconds = [int(share * contents) for share in SHARES], []
    rng = np.random.default_rng(11)
    vectors = _clustered(rng, contents)
    with bench.empty_site("large_catalogue") as services:
        users = _add_users(services, rng, vectors, 5 if bench.quick else USERS)
        for start, end in zip([0, *sizes], sizes, strict=False):
            _add_contents(services, vectors[start:end], first=start)
            by_index, exactly, recall = _compare(services, users)
            milliseconds.append((by_index, exactly))
        indexing = 2.0 * seconds(lambda: _add_one_by_one(services, vectors[:500]))  # milliseconds for each
    by_index, exactly = milliseconds[-1]
    crossover = _crossover(sizes, milliseconds)
    return [
        Figure("what suits of the new, recall@20", recall, "", "exact", 1.0, recall, ">= 0.95"),
        Figure("what suits of the new", by_index, "ms", "exact", exactly, by_index / exactly, ""),
        Figure("crossover to HNSW", crossover, "contents", "the setting", EXACT_UP_TO, crossover / EXACT_UP_TO, ""),
        Figure("indexing new content", indexing, "ms each", "a search", by_index, indexing / by_index, ""),
    ]


def _clustered(rng: np.random.Generator, count: int) -> Vectors:
    """Unit vectors (count, TEXT_SIZE) of topics with subtopics, some topics much larger than others; what each has of
    its own lies along the first axes more than along the last, as on principal axes."""
    topics = unit_rows(rng.standard_normal((TOPICS, TEXT_SIZE), dtype=np.float32))
    subtopics = 0.7 * unit_rows(rng.standard_normal((TOPICS * SUBTOPICS, TEXT_SIZE), dtype=np.float32))
    topic = (TOPICS * rng.random(count) ** 1.5).astype(int)
    own = rng.standard_normal((count, TEXT_SIZE), dtype=np.float32) / np.sqrt(np.arange(1.0, 1 + TEXT_SIZE))
    return unit_rows(topics[topic] + subtopics[topic * SUBTOPICS + rng.integers(0, SUBTOPICS, count)] + own)


def _add_users(services: Services, rng: np.random.Generator, vectors: Vectors, count: int) -> list[str]:
    """Each likes what three contents say."""
    users = [f"user-{number}" for number in range(count)]
    tastes = vectors[rng.integers(0, len(vectors), (count, 3))].sum(axis=1)
    embeddings = unit_rows(np.concatenate([np.zeros((count, EMBEDDING_SIZE - TEXT_SIZE)), tastes], axis=1))
    with services.database.transaction(vectors=True) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO user_embeddings VALUES (%s, %s, now(), %s)",
            [(user, Vector(row), VERSION) for user, row in zip(users, embeddings, strict=True)],
        )
    return users


def _add_contents(services: Services, vectors: Vectors, *, first: int) -> None:
    """In bulk: the index is made afterwards, which is some times as fast as row by row."""
    rows = [(f"content-{first + k}", HalfVector(vector)) for k, vector in enumerate(vectors)]
    with services.database.transaction(seconds=_SECONDS, vectors=True) as connection:
        connection.execute("SELECT set_config('maintenance_work_mem', '1GB', true)")
        register_vector(connection)  # for half precision
        connection.execute("DROP INDEX recs_new_contents_by_taste")
        with connection.cursor().copy("COPY content (content_id) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["text"])
            for content_id, _ in rows:
                copy.write_row((content_id,))
        with connection.cursor().copy("COPY recs_new_contents FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["text", "int8", "halfvec"])
            for content_id, vector in rows:
                copy.write_row((content_id, AXES, vector))
        connection.execute(
            "CREATE INDEX recs_new_contents_by_taste ON recs_new_contents USING hnsw (embedding halfvec_ip_ops)"
        )
        connection.execute("ANALYZE recs_new_contents, content, user_embeddings")


def _compare(services: Services, users: Sequence[str]) -> tuple[float, float, float]:
    """Median milliseconds by index and exactly, taken in turns, and the mean recall of the first FITTING."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    recalls = []
    with services.database.transaction(seconds=_SECONDS) as connection:
        for user_id in users:
            found: dict[bool, set[str]] = {}
            for by_index in (True, False):
                began = time.perf_counter()
                found[by_index] = _read(connection, user_id, by_index)
                taken[by_index].append((time.perf_counter() - began) * 1000)
            recalls.append(len(found[True] & found[False]) / len(found[False]))
    return statistics.median(taken[True]), statistics.median(taken[False]), statistics.mean(recalls)


def _read(connection: Connection, user_id: str, by_index: bool) -> set[str]:
    found = read_fitting(connection, VERSION, AXES, [user_id], language=None, by_index=by_index)[user_id]
    assert len(found) == FITTING
    return set(found)


def _add_one_by_one(services: Services, vectors: Vectors) -> None:
    """As a run of the job does."""
    with services.database.transaction(seconds=_SECONDS, vectors=True) as connection:
        add_new_contents(connection, AXES, [f"later-{k}" for k in range(len(vectors))], vectors)


def _crossover(sizes: Sequence[int], milliseconds: Sequence[tuple[float, float]]) -> float:
    """The size at which both take the same time, between or beyond those measured: exact time is a line in the size."""
    small, large = milliseconds[0][1], milliseconds[-1][1]
    slope = (large - small) / (sizes[-1] - sizes[0])
    by_index = statistics.mean(index for index, _ in milliseconds)
    return max(sizes[0] + (by_index - small) / slope, 0.0) if slope > 0 else float(sizes[-1])
