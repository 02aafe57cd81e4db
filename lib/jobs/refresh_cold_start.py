"""refresh_cold_start: popular content for users of whom nothing is known, and trending topics. Every six hours.

It also prunes the log.
"""

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from lib.adapters.catalogue import read_topic_counts
from lib.adapters.services import Services
from lib.core.popularity import burst_scores
from lib.jobs.document import document_of
from lib.jobs.prune_actions import prune_old_actions
from lib.jobs.recommend import popular_items
from lib.jobs.run import Deadline, Summary

TOPICS_KEPT = 50
RECENT = timedelta(days=1)
BASELINE = timedelta(days=7)
TOPICS_SHARE = 0.3  # of the time; pruning may take the rest, and comes first: topics can wait, a full disk can't


def refresh_cold_start(services: Services, now: datetime, deadline: Deadline) -> Summary:
    """Answers how many contents and topics were published, and how many old events were pruned."""
    items = popular_items(services, language=None, now=now)
    services.cache.store_cold_start(document_of(None, items, source="cold_start", now=now))
    pruned = prune_old_actions(services, now, Deadline.after((1 - TOPICS_SHARE) * deadline.seconds_left))
    topics = _trending(services, now, deadline)
    services.cache.store_trending_topics(topics)
    return {"contents": len(items), "topics": len(topics), "pruned": pruned}


def _trending(services: Services, now: datetime, deadline: Deadline) -> list[dict[str, Any]]:
    """The topics whose last day lies furthest above the week before it: topic, score, language, users."""
    with services.database.transaction(seconds=deadline.seconds_left) as connection:
        rows = read_topic_counts(
            connection,
            recent_since=now - RECENT,
            baseline_since=now - RECENT - BASELINE,
            counted=services.settings.positive_actions,
        )
    scores = burst_scores(
        np.array([row[2] for row in rows], dtype=float),
        np.array([row[3] for row in rows], dtype=float),
        recent_hours=RECENT / timedelta(hours=1),
        baseline_hours=BASELINE / timedelta(hours=1),
    )
    bursts = [
        (-float(score), topic, language, users)
        for (topic, language, users, _), score in zip(rows, scores, strict=True)
        if users and score > 0
    ]
    bursts.sort(key=lambda burst: (burst[0], burst[1], burst[2] or ""))
    return [
        {"topic": topic, "score": round(-negated, 4), "language": language, "users": users}
        for negated, topic, language, users in bursts[:TOPICS_KEPT]
    ]
