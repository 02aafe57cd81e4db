"""Brings what is kept of the content that nobody has met up to date: once in every two-hourly run, for as long as there
is time, the newest first. What there is no time for comes in with the next run; until then users have the newest.
"""

from datetime import datetime, timedelta

import numpy as np

from lib.adapters.embedding_store import read_content_vectors_of, read_state, read_text_projection, write_state
from lib.adapters.new_contents import (
    add_new_contents,
    axes_of,
    delete_no_longer_new,
    read_missing,
    write_count,
)
from lib.adapters.services import Services
from lib.core.embeddings import TextProjection
from lib.jobs.run import Deadline

INDEXED_AT = "new_contents_indexed_at"  # of recs_state
EVERY = timedelta(hours=1)  # at most: the parts of one run follow one another
MOST = 100_000  # in one part, which has time for fewer
CHUNK = 500  # each takes the index about a millisecond
SHARE = 0.6  # of the part's time: users' embeddings wait for it
_SECONDS = 60.0


def is_due(services: Services, now: datetime) -> bool:
    with services.database.transaction() as connection:
        indexed_at = read_state(connection, INDEXED_AT)
    return indexed_at is None or now - datetime.fromisoformat(indexed_at) >= EVERY


def index_new_contents(services: Services, version: int, now: datetime, deadline: Deadline) -> None:
    """For the readers of that version of the model.

    1. Take out what is new no more.
    2. Add what has come, some at a time. What another run has added meanwhile stays.
    """
    until = Deadline.after(SHARE * deadline.seconds_left)
    with services.database.transaction(seconds=_SECONDS) as connection:
        write_state(connection, INDEXED_AT, now.isoformat())
        projection = read_text_projection(connection, version)
    if projection is None:
        return
    since = now - timedelta(days=services.settings.new_content_max_age_days)
    with services.database.transaction(seconds=_SECONDS) as connection:
        delete_no_longer_new(connection, axes=axes_of(projection), since=since)
        missing = read_missing(connection, size=len(projection.centre), since=since, limit=MOST)
    for start in range(0, len(missing), CHUNK):
        _add(services, projection, missing[start : start + CHUNK])
        if until.seconds_left <= 0:
            break
    with services.database.transaction(seconds=_SECONDS) as connection:
        write_count(connection)


def _add(services: Services, projection: TextProjection, content_ids: list[str]) -> None:
    size = len(projection.centre)
    with services.database.transaction(seconds=_SECONDS, vectors=True) as connection:
        found = read_content_vectors_of(connection, content_ids, size=size)
        vectors = projection.of(np.array([vector for _, vector in found]).reshape(-1, size))
        says = np.flatnonzero(vectors.any(axis=1)).tolist()
        add_new_contents(connection, axes_of(projection), [found[row][0] for row in says], vectors[says])
