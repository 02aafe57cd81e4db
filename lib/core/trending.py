"""Which topics stand out of what is usual in their language, each burst and each author once.

A topic is compared with its usual share of what its language reads, so what makes everything grow (the evening, a
holiday, a site that grows) makes nothing trend. Users count, not actions: one counts once for a topic in each period of
RECENT_DAYS, and his weight passes from the recent count to the baseline, and out of that, without an edge:
`recent` falls from 1 to 0 over RECENT_DAYS, `baseline` rises meanwhile and falls to 0 at BASELINE_DAYS (a weight each,
by the mean age of what he did in that period).

An author is a topic `author:NAME`. It is never published, and says whose contents a topic's readers came for.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lib.core.defaults import AUTHOR_PREFIX

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]
Label = tuple[str, str | None]  # a topic and its language

RECENT_DAYS = 2.0
BASELINE_DAYS = 14.0
LEAST_USERS = 3
LEAST_SCORE = 1.0  # standard deviations; half of all topics lie a little above what is usual
BY_CHANCE = 10  # of many topics, no more than so many stand out by chance; it is a third of that in fact
SAME_BURST = 0.8  # of a topic's readers who came for contents of another topic, beyond what chance would have
# How much the present must outweigh to be believed: while so little is known of the past, every topic of the language
# is expected to have the same share.
PRIOR_USERS = 10.0
HOLD = 1.5  # what a topic's score is multiplied by while it is shown, so that none comes and goes at the edge
MOST_ACTIONS = 1_000_000  # that are counted: some ten seconds of Postgres


class TopicCount(NamedTuple):
    """Users of one topic in one language, and of all its topics together. The weighted counts are as above."""

    topic: str
    language: str | None
    users: int  # in the last RECENT_DAYS
    recent: float
    baseline: float
    total_recent: float
    total_baseline: float
    n_topics: int


class ContentReaders(NamedTuple):
    """What brought the readers of late: one content, its topics, and how many users it brought (decayed)."""

    content_id: str
    language: str | None
    topics: Sequence[str]
    readers: float


class Trend(NamedTuple):
    """A topic to publish."""

    topic: str
    score: float
    language: str | None
    users: int


def user_sample(n_actions: int) -> int:
    """One of how many users is counted, so that at most some MOST_ACTIONS are: a power of two, so that the users of a
    smaller sample are in the larger one too and lists don't change with it.
    """
    sample = 1
    while n_actions > sample * MOST_ACTIONS:
        sample *= 2
    return sample


def trending_topics(
    counts: Iterable[TopicCount], contents: Iterable[ContentReaders], *, shown: Collection[Label] = (), n: int
) -> list[Trend]:
    """At most n topics, highest score first; each language's best come in before any language's second best.

    `shown` are those of the list before this one.
    """
    counts_of: dict[str | None, list[TopicCount]] = defaultdict(list)
    contents_of: dict[str | None, list[ContentReaders]] = defaultdict(list)
    for count in counts:
        if count.users >= LEAST_USERS:
            counts_of[count.language].append(count)
    for content in contents:
        contents_of[content.language].append(content)
    ranked = [
        (rank, trend)
        for language in counts_of
        for rank, trend in enumerate(_trends(counts_of[language], _Audience(contents_of[language]), shown, n))
    ]
    chosen = sorted(ranked, key=lambda place: (place[0], _order(place[1])))[:n]
    return sorted((trend for _, trend in chosen), key=_order)


def _order(trend: Trend) -> tuple[float, str, str]:
    return -trend.score, trend.topic, trend.language or ""


def _trends(counts: Sequence[TopicCount], audience: "_Audience", shown: Collection[Label], n: int) -> list[Trend]:
    """At most n topics of one language, highest first: none whose burst or whose main source a higher one shows."""
    sources = {count.topic: audience.main_source(count.topic) for count in counts}
    scores = burst_scores(counts, np.array([share for _, share in sources.values()]))
    least = least_score(counts[0].n_topics)
    standing_out = []
    for count, score in zip(counts, scores, strict=True):
        strength = score * HOLD if (count.topic, count.language) in shown else score
        if strength >= least:
            trend = Trend(count.topic, round(float(score), 4), count.language, count.users)
            standing_out.append((-strength, count.topic, trend))
    trends: list[Trend] = []
    shown_contents: list[Mask] = []
    shown_sources: set[str] = set()
    for _, _, trend in sorted(standing_out):
        source, share = sources[trend.topic]
        has_main_source = share > 0.5
        if has_main_source and source in shown_sources:
            continue
        if any(audience.is_covered(trend.topic, contents) for contents in shown_contents):
            continue
        trends.append(trend)
        if len(trends) == n:
            break
        shown_contents.append(audience.contents_of(trend.topic))
        if has_main_source:
            shown_sources.add(source)
    return trends


def burst_scores(counts: Sequence[TopicCount], main_shares: Floats) -> Floats:
    """How far each topic's recent count n lies above the expected one e: z = (n - e) / sqrt((e + 1) (1 + r)).

    e is the topic's usual share of the language's recent count. r, the language's recent count over its baseline, is
    what the baseline's own chance adds: the less is known of the past, the less stands out of it. The 1 keeps a topic
    that nobody knew from scoring infinity. `main_shares` (topics,) is the share of a topic's readers that its main
    source brought; what that is beyond all the other sources together counts half.
    """
    columns = np.array([count[3:] for count in counts], dtype=np.float64).reshape(-1, 5)
    recent, baseline, total_recent, total_baseline, n_topics = columns.T
    known = total_baseline + PRIOR_USERS
    expected = total_recent * (baseline + PRIOR_USERS / n_topics) / known
    above = (recent - expected) * np.minimum(1.0, 1.5 - main_shares)
    return above / np.sqrt((expected + 1.0) * (1.0 + total_recent / known))


def least_score(n_topics: int) -> float:
    """What no more than BY_CHANCE of so many topics reach by chance, by the bound exp(-z^2 / 2) of a normal's tail."""
    return max(LEAST_SCORE, math.sqrt(2 * math.log(max(n_topics / BY_CHANCE, 1.0))))


class _Audience:
    """The contents of one language and the readers that each brought."""

    def __init__(self, contents: Sequence[ContentReaders]) -> None:
        self._readers = np.array([content.readers for content in contents], dtype=np.float64)
        self._sources = [_sources(content) for content in contents]
        positions: dict[str, list[int]] = defaultdict(list)
        for position, content in enumerate(contents):
            for topic in set(content.topics):
                positions[topic].append(position)
        self._positions = {topic: np.array(found, dtype=np.intp) for topic, found in positions.items()}

    def _positions_of(self, topic: str) -> Indices:
        return self._positions.get(topic, np.array([], dtype=np.intp))

    def contents_of(self, topic: str) -> Mask:
        """Which of the contents (contents,) have the topic."""
        mask = np.zeros(len(self._readers), dtype=np.bool_)
        mask[self._positions_of(topic)] = True
        return mask

    def main_source(self, topic: str) -> tuple[str, float]:
        """The source that brought most of the topic's readers, and its share of them: ("", 0) where none is known."""
        brought: dict[str, float] = defaultdict(float)
        total = 0.0
        for position in self._positions_of(topic):
            total += self._readers[position]
            for source in self._sources[position]:
                brought[source] += self._readers[position]
        if total <= 0:
            return "", 0.0
        most, source = min((-readers, source) for source, readers in brought.items())
        return source, -most / total

    def is_covered(self, topic: str, contents: Mask) -> bool:
        """Whether nearly all of the topic's readers came for some of these contents (contents,), more than chance would
        have it: whatever is read, the contents of a broad topic hold most of it.
        """
        positions = self._positions_of(topic)
        readers = self._readers[positions]
        if readers.sum() <= 0:
            return False
        elsewhere = readers[~contents[positions]].sum() / readers.sum()
        usually_elsewhere = self._readers[~contents].sum() / self._readers.sum()
        return bool(elsewhere <= (1 - SAME_BURST) * usually_elsewhere)


def _sources(content: ContentReaders) -> list[str]:
    """Who stands behind a content: its authors, else it stands for itself."""
    return [topic for topic in content.topics if topic.startswith(AUTHOR_PREFIX)] or [content.content_id]
