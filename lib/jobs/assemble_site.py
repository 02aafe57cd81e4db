"""The site as ranking sees it, for some users: put together from what is stored, not from the whole log.

1. What the users have read and seen, and the neighbours of what they read lately (gather_reads.py).
2. The candidates for everybody, out of everything that may be shown, and all of those items as they stand now: those
   that no earlier part of the run has gathered (gathered.py).
3. What is known of tastes in new ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lib.adapters.database import Connection
from lib.adapters.item_store import StoredRows, read_neighbours
from lib.adapters.services import Services
from lib.core.diversity import Variety
from lib.core.ranker.log import DAY, Indices, Vectors, ranges, starts_of
from lib.core.ranker.neighbours import Rows, carry_rows
from lib.core.ranker.profiles import profiles_of
from lib.core.ranker.site import Site
from lib.core.taste.new_items import UserTastes, user_tastes
from lib.jobs.gather_items import Basis, items_of
from lib.jobs.gather_reads import gather_reads, personal_candidates
from lib.jobs.gathered import Gathered, GatheredItems
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
    connection: Connection,
    services: Services,
    basis: Basis,
    user_ids: Sequence[str],
    *,
    language: str | None,
    gathered: Gathered,
) -> AssembledSite:
    """What `rank_users` needs for these users. Without a model nothing is known but popularity and what was read."""
    reads = gather_reads(connection, user_ids, counted=basis.settings.positive_actions)
    latest = reads.latest()
    neighbours = read_neighbours(connection, basis.version, latest)
    personal = personal_candidates(reads, neighbours)
    items = gathered.items(connection, services, basis, language=language)
    # The newest that nobody has met are candidates for all, and so is what suits one of the users best.
    fitting = services.text_vectors.fitting(connection, basis.version, reads.user_ids, language=language)
    shared = [*items.shared, *sorted({*fitting} - {*items.shared})]
    items.read(connection, services, content_ids=[*shared, *latest], positions=personal)
    chosen, index_of = _chosen(items, shared, latest, personal)
    by_user, starts, seen = reads.numbered(index_of[items.numbers(reads.content_ids)])
    standing = items.standing
    positions = standing["position"][chosen]
    pool = np.zeros(len(chosen), bool)
    pool[index_of[items.numbers(shared)]] = True
    site = Site(
        now=basis.now.timestamp(),
        items=items_of(standing, chosen),
        rows=_rows(neighbours, index_of[items.numbers(neighbours.content_ids)], positions, basis.age_seconds),
        reads=by_user,
        seen_starts=starts,
        seen_items=seen,
        pool=pool,
        n_readers=basis.learned.n_readers,
    )
    _, text = site.items.vectors
    shares = basis.settings.topic_share, basis.settings.author_share
    numbers = chosen.tolist()
    return AssembledSite(
        site,
        _tastes(site, basis, standing["circle"][chosen]),
        Variety([items.topics[number] for number in numbers], text, *shares),
        [items.content_ids[number] for number in numbers],
        reads.user_ids,
    )


def _chosen(
    items: GatheredItems, shared: Sequence[str], latest: Sequence[str], personal: Indices
) -> tuple[Indices, Indices]:
    """The numbers of the site's items in its order, and the index there of each that has been gathered (n + 1,): -1 for
    those that are no part of it, and for what has no number. In the order of ids; what nobody has met comes last, the
    newest first."""
    everybodys = items.numbers(shared)
    is_chosen = np.zeros(len(items), bool)
    for numbers in (everybodys, items.numbers(latest), items.numbers_at(personal)):
        is_chosen[numbers] = True
    numbers = np.flatnonzero(is_chosen)
    numbers = numbers[np.argsort(items.standing["position"][numbers])]  # nearly the order of ids
    chosen = np.array(sorted(numbers.tolist(), key=items.content_ids.__getitem__), np.intp)
    place = np.full(len(items), -1)
    place[everybodys] = np.arange(len(shared))
    place[np.isfinite(items.standing["first_seen"])] = -1
    chosen = chosen[np.argsort(place[chosen], kind="stable")]
    index_of = np.full(len(items) + 1, -1)
    index_of[chosen] = np.arange(len(chosen))
    return chosen, index_of


def _rows(neighbours: StoredRows, owners: Indices, positions: Indices, age_seconds: float) -> Rows:
    """The neighbours of what is in the profiles, as far as they are items of the site, as they stand now. `owners` (n,)
    are the indices of the items whose neighbours these are, `positions` those of the site's items."""
    rows = neighbours.rows
    index_at = np.full(1 + max(positions.max(initial=-1), rows.items.max(initial=-1)), -1, np.int32)
    index_at[positions[positions >= 0]] = np.flatnonzero(positions >= 0)
    order = np.argsort(owners)
    lengths = np.diff(rows.starts)[order]
    entries = ranges(rows.starts[order], lengths)
    items = index_at[rows.items[entries]]
    is_kept = items >= 0
    starts = starts_of(np.bincount(np.repeat(owners[order], lengths)[is_kept], minlength=len(positions)))
    return Rows(starts, items[is_kept], carry_rows(rows.values[entries[is_kept]], age_seconds))


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
