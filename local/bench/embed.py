"""Users a second of the two-hourly run: who acted, their histories, their embeddings, and those committed. Against the
same rows alone: each chunk's ids and vectors copied from memory into a temporary table and put into the same table, in
a transaction of its own."""

import dataclasses
import statistics
import struct
from datetime import UTC, datetime
from functools import partial

from lib.adapters.services import Services
from lib.jobs.embed_users import AT_ONCE
from lib.jobs.run import Deadline
from lib.jobs.update_embeddings import process_user_embeddings
from lib.settings import Settings
from local.bench.figure import Figure, seconds
from local.bench.readers import fill_readers, let_time_pass
from local.bench.stack import Bench

USERS, CONTENTS, ACTIONS_EACH = 20_000, 10_000, 50
REPEATS = 5
SECONDS = 3_600.0

_MAKE_TABLE = "CREATE TEMPORARY TABLE raw (user_id text, embedding vector) ON COMMIT DROP"
_COPY = "COPY raw FROM STDIN (FORMAT binary)"
_UPSERT = """
INSERT INTO user_embeddings (user_id, embedding, updated_at, model_version)
SELECT user_id, embedding, %(now)s, 1 FROM raw ORDER BY user_id
ON CONFLICT (user_id) DO UPDATE
SET embedding = excluded.embedding, updated_at = excluded.updated_at, model_version = excluded.model_version
"""


def embed(bench: Bench) -> list[Figure]:
    users, contents, repeats = (300, 100, 1) if bench.quick else (USERS, CONTENTS, REPEATS)
    ours, limit = [], []
    with bench.empty_site("embed_site") as site:
        services = Services(in_one_invocation(site.settings))
        fill_readers(services, users=users, contents=contents, actions_each=ACTIONS_EACH)
        for _ in range(repeats):
            let_time_pass(services)
            ours.append(seconds(partial(update_all, services, users)))
            chunks = _stored(services)
            let_time_pass(services)
            limit.append(seconds(partial(_upsert, services, chunks)))
        services.close()
    value, against = users / statistics.median(ours), users / statistics.median(limit)
    return [Figure("embed", value, "users/s", "a raw upsert of the same rows", against, value / against, ">= 0.5")]


def in_one_invocation(settings: Settings) -> Settings:
    """The same, by which a run has all the time for its users and doesn't share them out."""
    everybody = 10**9
    return dataclasses.replace(
        settings,
        embeddings_time_budget_seconds=SECONDS,
        embeddings_shard_users=everybody,
        warm_shard_users=everybody,
    )


def update_all(services: Services, users: int) -> None:
    summary = process_user_embeddings(services, datetime.now(UTC), Deadline.after(SECONDS))
    assert (summary["users_updated"], summary["users_left"]) == (users, 0)


def _stored(services: Services) -> list[bytes]:
    """The rows that a run has written, as they are copied in, chunk by chunk."""
    statement = "SELECT user_id, vector_send(embedding) FROM user_embeddings ORDER BY user_id"
    with services.database.transaction() as connection:
        rows = connection.cursor(binary=True).execute(statement).fetchall()
    fields = [b"\0\2" + _field(user_id.encode()) + _field(vector) for user_id, vector in rows]
    chunks = [fields[start : start + AT_ONCE] for start in range(0, len(fields), AT_ONCE)]
    return [b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"".join(chunk) + b"\xff\xff" for chunk in chunks]


def _field(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


def _upsert(services: Services, chunks: list[bytes]) -> None:
    for chunk in chunks:
        with services.database.transaction() as connection:
            connection.execute(_MAKE_TABLE)
            with connection.cursor().copy(_COPY) as copy:
                copy.write(chunk)
            connection.execute(_UPSERT, {"now": datetime.now(UTC)})
