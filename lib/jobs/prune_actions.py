"""Retention: deletes what was received too long ago, and takes its part of popularity back, as if it had never come."""

from datetime import datetime, timedelta

from lib.adapters.action_log import delete_forgotten, delete_orphaned_embeddings, lock_log, prune_actions
from lib.adapters.services import Services
from lib.jobs.change_popularity import take_back_popularity
from lib.jobs.run import Deadline

EVENTS_AT_ONCE = 5_000  # a transaction of a fraction of a second: ticks wait for the log's lock meanwhile
BATCH_SECONDS = 5.0


def prune_old_actions(services: Services, now: datetime, deadline: Deadline) -> int:
    """Answers how many events went; what time was too short for goes at the next run."""
    settings = services.settings
    before = now - timedelta(days=settings.retention_days)
    pruned = 0
    while deadline.seconds_left > BATCH_SECONDS:
        with services.database.transaction() as connection:
            lock_log(connection)
            change = prune_actions(connection, before=before, limit=EVENTS_AT_ONCE, counted=settings.positive_actions)
            take_back_popularity(connection, change, counted=settings.positive_actions)
            pruned += change.events
            if change.events < EVENTS_AT_ONCE:
                delete_forgotten(connection, before=before)
                if pruned:
                    delete_orphaned_embeddings(connection)
                break
    return pruned
