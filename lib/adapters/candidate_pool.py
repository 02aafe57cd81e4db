"""What is a candidate for everybody, whoever asks."""

import numpy as np

from lib.adapters.contender_store import read_chosen, read_contenders, read_met
from lib.adapters.database import QUERIES, Connection
from lib.core import exploration
from lib.core.contenders import Met, leaders, suffice
from lib.core.pools import pool_of
from lib.core.popularity import carry
from lib.core.ranker.site import everybodys_candidates, pool_sizes

LOOKED_AT = 5_000  # contents at most, to find those that nobody has met: some 10 ms


def read_pool(
    connection: Connection, version: int | None, *, language: str | None, now: float, new_since: float
) -> list[str]:
    """The ids of the most popular at each half-life and of the newest, then those that nobody has met, the newest first
    (lib/core/exploration.py). Times are in unix seconds.

    They are what looking at the whole catalogue would find, but for what the app has made available, or has given
    another language, since the contenders were chosen.
    """
    met = _read_contenders(connection, version, language)
    if met is None:
        met, _ = leaders(read_met(connection, version, language=language), pool_sizes())
    return [
        *candidates_for_everybody(met, now),
        *read_new_ones(connection, version, language=language, since=new_since),
    ]


def candidates_for_everybody(met: Met, now: float) -> list[str]:
    """Of what somebody has met."""
    pool = everybodys_candidates(carry(met.sums, met.as_of, now), met.first_seen)
    return [met.content_ids[index] for index in np.flatnonzero(pool)]


def read_new_ones(connection: Connection, version: int | None, *, language: str | None, since: float) -> list[str]:
    """Of what nobody has met, the newest first. What has only been disliked is met once a model knows it."""
    parameters = {"version": version, "language": language, "looked_at": LOOKED_AT, "n": exploration.MOST_NEW}
    rows = connection.execute(QUERIES["newest_unmet"], parameters).fetchall()
    published_at = np.array([-np.inf if row[1] is None else row[1] for row in rows], dtype=float)
    return [rows[index][0] for index in exploration.new_candidates(published_at, since=since)]


def _read_contenders(connection: Connection, version: int | None, language: str | None) -> Met | None:
    """None where the best need not be among them: too many have gone, or they were chosen by another model."""
    chosen = read_chosen(connection)
    if chosen is None or chosen.version != version:
        return None
    contenders = read_contenders(connection, version, language=language)
    bounds = chosen.bounds.get(pool_of(language))  # none: what was met since then is all that there is of the language
    return contenders if suffice(contenders, bounds, pool_sizes()) else None
