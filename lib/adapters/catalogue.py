"""What may be shown, how popular it is, and who is to be shown it."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from lib.adapters.database import QUERIES, Connection, Database, array_literal
from lib.adapters.shard_store import Split, read_or_split
from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.diversity import Topics, topics_of
from lib.core.pools import pools_of


class PopularContent(NamedTuple):
    """Content with its decayed sum of now."""

    content_id: str
    popularity: float
    topics: Topics


def decay_parameters(now: float, position: float) -> dict[str, Any]:
    """What the queries need to carry the kept sums to `now` (unix seconds), and to mix those of two half-lives: at
    position 2.5, say, the mean of the third and the fourth."""
    faster = min(int(position), len(HALF_LIVES_HOURS) - 2)
    return {
        "now": now,
        "share": position - faster,
        "faster": faster + 1,  # SQL counts from 1
        "slower": faster + 2,
        "faster_seconds": HALF_LIVES_HOURS[faster] * 3600,
        "slower_seconds": HALF_LIVES_HOURS[faster + 1] * 3600,
    }


def read_popular(
    connection: Connection, *, n: int, language: str | None, decay: dict[str, Any]
) -> list[PopularContent]:
    """The n most popular of now; the newest where nothing is popular.

    The contenders (lib/core/contenders.py) are enough of the most popular by each half-life. The whole catalogue is
    looked at where they are too few: a young site's, or after many have gone.
    """
    parameters = {"n": n, "language": language, "pools": pools_of(language), **decay}
    rows = connection.execute(QUERIES["popular_contenders"], parameters).fetchall()
    if len(rows) < n:
        rows = connection.execute(QUERIES["popular"], parameters).fetchall()
    return [PopularContent(content_id, sum_, topics_of(topics)) for content_id, sum_, topics in rows]


def read_allowed(database: Database, content_ids: Sequence[str], *, seconds: float) -> set[str]:
    """Those of `content_ids` that may be shown. Neither of its two questions, of which the second is rare, outlives
    `seconds`."""
    given = {"content_ids": array_literal(content_ids)}
    ask = partial(database.read_texts, texts=given, seconds=seconds)
    return set(ask(QUERIES["available"]) or ask(QUERIES["allowed"]))


def is_known(database: Database, user_id: str) -> bool:
    """Whether the log knows anything of the user."""
    return bool(database.read_texts(QUERIES["is_known"], {"user_id": user_id}))


def read_active_users(connection: Connection, split: Split, *, since: datetime) -> list[str]:
    """Who acted since then, the latest first; none where they were split."""
    return read_or_split(connection, QUERIES["active_users"], split, {"since": since})
