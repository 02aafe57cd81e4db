"""What Postgres counts of a log of reads, counted in plain Python."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from lib.core.defaults import AUTHOR_PREFIX
from lib.core.trending import BASELINE_DAYS, RECENT_DAYS, ContentReaders, Label, TopicCount, Trend
from lib.core.trending import trending_topics as published

HALF_LIFE_DAYS = 0.5


class Content(NamedTuple):
    topics: Sequence[str]
    language: str | None = None


class Read(NamedTuple):
    user_id: str
    content_id: str
    days_ago: float


def count_topics(reads: Iterable[Read], contents: Mapping[str, Content]) -> list[TopicCount]:
    """The topics with a recent user."""
    ages: dict[tuple[str, str | None, str, int], list[float]] = defaultdict(list)
    for user_id, content_id, age in reads:
        topics, language = contents[content_id]
        for topic in set(topics):
            if not topic.startswith(AUTHOR_PREFIX) and age <= BASELINE_DAYS:
                ages[topic, language, user_id, int(age // RECENT_DAYS)].append(age)
    counts: dict[tuple[str, str | None], list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for (topic, language, _, period), of_user in ages.items():
        age = sum(of_user) / len(of_user)
        users = counts[topic, language]
        users[0] += period == 0
        users[1] += max(1 - age / RECENT_DAYS, 0)
        users[2] += min(age / RECENT_DAYS, (BASELINE_DAYS - age) / (BASELINE_DAYS - RECENT_DAYS))
    totals: dict[str | None, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    n_topics: dict[str | None, int] = defaultdict(int)
    for (_, language), (_, recent, baseline) in counts.items():
        totals[language] = (totals[language][0] + recent, totals[language][1] + baseline)
        n_topics[language] += 1
    return [
        TopicCount(topic, language, int(users), recent, baseline, *totals[language], n_topics[language])
        for (topic, language), (users, recent, baseline) in counts.items()
        if users
    ]


def count_readers(reads: Iterable[Read], contents: Mapping[str, Content]) -> list[ContentReaders]:
    """Each user's first read of a content, decayed; the contents with a recent reader."""
    first: dict[tuple[str, str], float] = {}
    for user_id, content_id, age in reads:
        first[user_id, content_id] = max(age, first.get((user_id, content_id), -math.inf))
    readers: dict[str, list[float]] = defaultdict(list)
    for (_, content_id), age in first.items():
        readers[content_id].append(age)
    return [
        ContentReaders(content_id, contents[content_id].language, contents[content_id].topics, sum_of(ages))
        for content_id, ages in readers.items()
        if min(ages) <= RECENT_DAYS
    ]


def sum_of(ages: Iterable[float]) -> float:
    return math.fsum(0.5 ** (age / HALF_LIFE_DAYS) for age in ages)


def trends(
    reads: Iterable[Read], contents: Mapping[str, Content], *, shown: Collection[Label] = (), n: int = 50
) -> list[Trend]:
    """What would be published."""
    reads = list(reads)
    return published(count_topics(reads, contents), count_readers(reads, contents), shown=shown, n=n)
