"""refresh_cold_start: popular content for users of whom nothing is known, and trending topics. Every six hours.

It also prunes the log, and in the end brings what nobody has met into the index of it (lib/jobs/index_new_contents.py).
"""

from datetime import datetime

from lib.adapters.services import Services
from lib.adapters.topics import count_acted, read_contents_read, read_topic_counts
from lib.core.trending import Trend, trending_topics, user_sample
from lib.jobs.document import document_of
from lib.jobs.prune_actions import prune_old_actions
from lib.jobs.recommend import popular_items
from lib.jobs.run import Deadline, Summary

TOPICS_KEPT = 50
INDEX_SHARE = 0.7  # of what is left
LISTS_SHARE = 0.3  # of the time; pruning may take the rest, and comes first: lists can wait, a full disk can't


def refresh_cold_start(services: Services, now: datetime, deadline: Deadline) -> Summary:
    """Answers how many contents and topics were published, how many old events were pruned, and how many new contents
    were indexed."""
    pruned = prune_old_actions(services, now, Deadline.after((1 - LISTS_SHARE) * deadline.seconds_left))
    items = popular_items(services, language=None, now=now)
    services.cache.store_cold_start(document_of(None, items, source="cold_start", now=now))
    topics = _trending(services, now, deadline)
    services.cache.store_trending_topics([trend._asdict() for trend in topics])
    from lib.jobs.index_new_contents import index_new_contents  # numpy, which the lists do without

    indexed = index_new_contents(services, now, Deadline.after(INDEX_SHARE * deadline.seconds_left))
    return {"contents": len(items), "topics": len(topics), "pruned": pruned, "indexed": indexed}


def _trending(services: Services, now: datetime, deadline: Deadline) -> list[Trend]:
    """What users acted on of late, against what they usually do (lib/core/trending.py)."""
    counted = services.settings.positive_actions
    with services.database.transaction(seconds=deadline.seconds_left) as connection:
        sample = user_sample(count_acted(connection, now=now, counted=counted))
        counts = read_topic_counts(connection, now=now, counted=counted, sample=sample)
        contents = read_contents_read(connection, now=now)
    shown = {(topic.get("topic", ""), topic.get("language")) for topic in services.cache.trending_topics()}
    trends = trending_topics(counts, contents, shown=shown, n=TOPICS_KEPT)
    return [trend._replace(users=trend.users * sample) for trend in trends]
