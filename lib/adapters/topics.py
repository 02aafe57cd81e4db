"""Who acted on which topics lately, and what contents brought them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from lib.adapters.database import QUERIES, Connection
from lib.core.defaults import AUTHOR_PREFIX, HALF_LIVES_HOURS
from lib.core.trending import BASELINE_DAYS, RECENT_DAYS, ContentReaders, TopicCount

HALF_LIFE_HOURS = 12.0  # of the kept popularity that comes nearest to RECENT_DAYS: readers are as old in the mean


def count_acted(connection: Connection, *, now: datetime, counted: Sequence[str]) -> int:
    """How many of the counted actions are within the baseline."""
    parameters = {"since": now - timedelta(days=BASELINE_DAYS), "counted": list(counted)}
    row = connection.execute(QUERIES["count_acted"], parameters).fetchone()
    return int(row[0]) if row else 0


def read_topic_counts(
    connection: Connection, *, now: datetime, counted: Sequence[str], sample: int = 1
) -> list[TopicCount]:
    """The topics that have a recent user. One of `sample` users, a power of two, is looked at."""
    parameters = {
        "now": now,
        "since": now - timedelta(days=BASELINE_DAYS),
        "counted": list(counted),
        "sample": sample,
        "recent_days": RECENT_DAYS,
        "baseline_days": BASELINE_DAYS,
        "author_prefix": AUTHOR_PREFIX,
    }
    return [TopicCount(*row) for row in connection.execute(QUERIES["topic_counts"], parameters)]


def read_contents_read(connection: Connection, *, now: datetime) -> list[ContentReaders]:
    """The contents that have a recent reader, as popularity keeps them: the log is not read again."""
    parameters = {
        "now": now.timestamp(),
        "since": (now - timedelta(days=RECENT_DAYS)).timestamp(),
        "half_life": HALF_LIVES_HOURS.index(HALF_LIFE_HOURS) + 1,  # SQL counts from 1
        "half_life_seconds": HALF_LIFE_HOURS * 3600,
    }
    return [ContentReaders(*row) for row in connection.execute(QUERIES["contents_read"], parameters)]
