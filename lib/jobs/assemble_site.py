"""The site as ranking sees it, for some users: put together from what is stored, not from the whole log.

1. What the users have read and seen, and the neighbours of what they read lately (gather_reads.py).
2. The candidates for everybody, out of everything that may be shown.
3. All of those items as they stand now (gather_items.py), and what is known of tastes in new ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lib.adapters.candidate_pool import read_pool
from lib.adapters.database import Connection
from lib.adapters.item_store import read_items, read_neighbours
from lib.adapters.services import Services
from lib.core.diversity import Variety
from lib.core.ranker.log import DAY, Vectors
from lib.core.ranker.profiles import profiles_of
from lib.core.ranker.site import Site
from lib.core.taste.new_items import UserTastes, user_tastes
from lib.jobs.gather_items import Basis, gather_circles, gather_items, gather_rows, with_later_content
from lib.jobs.gather_reads import gather_reads, personal_candidates
from lib.jobs.tuning import interest_half_life_days


@dataclass(frozen=True)
class AssembledSite:
    """`site` numbers its items by `content_ids` and its users by `user_ids`: those of whom the log knows anything.
    `tastes` are of all of both, None where nothing is known of how the new is read; `variety` is of the items."""

    site: Site
    tastes: UserTastes | None
    variety: Variety
    content_ids: list[str]
    user_ids: list[str]


def assemble_site(
    connection: Connection, services: Services, basis: Basis, user_ids: Sequence[str], *, language: str | None
) -> AssembledSite:
    """What `rank_users` needs for these users. Without a model nothing is known but popularity and what was read."""
    now = basis.now.timestamp()
    reads = gather_reads(connection, user_ids, counted=basis.settings.positive_actions)
    neighbours = read_neighbours(connection, basis.version, reads.latest())
    shared = read_pool(connection, basis.version, language=language, now=now, new_since=basis.new_since)
    stored = read_items(
        connection,
        basis.version,
        content_ids=sorted({*shared, *reads.latest()}),
        positions=personal_candidates(reads, neighbours),
        language=language,
    )
    stored = with_later_content(connection, services.text_vectors, basis, stored)
    place = {content_id: number for number, content_id in enumerate(shared)}
    stored.sort(key=lambda item: -1 if item.is_met else place.get(item.content_id, -1))  # the newest first among equals
    index_of = {item.content_id: index for index, item in enumerate(stored)}
    by_user, starts, seen = reads.numbered(index_of)
    site = Site(
        now=now,
        items=gather_items(connection, basis, stored),
        rows=gather_rows(stored, neighbours, basis.age_seconds),
        reads=by_user,
        seen_starts=starts,
        seen_items=seen,
        pool=np.array([item.content_id in place for item in stored], dtype=bool),
        n_readers=basis.learned.n_readers,
    )
    tastes = _tastes(site, basis, gather_circles(stored))
    _, text = site.items.vectors
    shares = basis.settings.topic_share, basis.settings.author_share
    variety = Variety([item.topics for item in stored], text, *shares)
    return AssembledSite(site, tastes, variety, list(index_of), reads.user_ids)


def _tastes(site: Site, basis: Basis, circles: Vectors) -> UserTastes | None:
    """Of all users of the site, by what they read lately."""
    if basis.learned.new_items is None:
        return None
    _, content = site.items.vectors
    return user_tastes(
        basis.learned.new_items,
        profiles_of(site.reads, np.arange(len(site.reads.ends))),
        site.items.first_seen,
        content,
        circles,
        site.now,
        half_life_seconds=interest_half_life_days(basis.settings, basis.model) * DAY,
    )
