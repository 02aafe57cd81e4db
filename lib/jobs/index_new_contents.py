"""Brings what is kept of the content that nobody has met up to date, for as long as there is time, the newest first.
What there is no time for comes in with the next refresh; until then users have the newest.
"""

from datetime import datetime, timedelta

import numpy as np

from lib.adapters.embedding_store import read_active_model, read_content_vectors_of, read_text_projection
from lib.adapters.new_contents import add_new_contents, axes_of, delete_no_longer_new, read_missing, write_count
from lib.adapters.services import Services
from lib.core.embeddings import TextProjection
from lib.jobs.run import Deadline

MOST = 200_000  # in one run, which has time for about as many
CHUNK = 500  # each takes the index some milliseconds at worst
_SECONDS = 60.0


def index_new_contents(services: Services, now: datetime, deadline: Deadline) -> int:
    """For the readers of the active model. Answers how many came in.

    1. Take out what is new no more.
    2. Add what has come, some at a time. What another run has added meanwhile stays.
    """
    with services.database.transaction(seconds=_SECONDS) as connection:
        model = read_active_model(connection)
        projection = read_text_projection(connection, model.version) if model else None
    if projection is None:
        return 0
    since = now - timedelta(days=services.settings.new_content_max_age_days)
    with services.database.transaction(seconds=_SECONDS) as connection:
        delete_no_longer_new(connection, axes=axes_of(projection), since=since)
        missing = read_missing(connection, size=len(projection.centre), since=since, limit=MOST)
    done = 0
    while done < len(missing) and (deadline.seconds_left > 0 or not done):
        _add(services, projection, missing[done : done + CHUNK])
        done = min(done + CHUNK, len(missing))
    with services.database.transaction(seconds=_SECONDS) as connection:
        write_count(connection)
    return done


def _add(services: Services, projection: TextProjection, content_ids: list[str]) -> None:
    size = len(projection.centre)
    with services.database.transaction(seconds=_SECONDS, vectors=True) as connection:
        found = read_content_vectors_of(connection, content_ids, size=size)
        vectors = projection.of(np.array([vector for _, vector in found]).reshape(-1, size))
        says = np.flatnonzero(vectors.any(axis=1)).tolist()
        add_new_contents(connection, axes_of(projection), [found[row][0] for row in says], vectors[says])
