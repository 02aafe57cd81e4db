"""Items that nobody has met yet, ranked by their content vectors.

Two things tell who will read them. A user's own taste: what he read lately, reads of items that were young then
counting up to four times. And his circle's: the reads of young items by people whose vector was like his, with what
everybody reads of the new. All are directions away from the mean of the items that came up, read or not. The circle
counts for as much as a few reads, so it leads where a user did little or long ago, and fades where he has said what he
likes.

A user's vector is a decayed sum of item vectors, so what his circle likes is the same sum of what the circle of each
item likes: that is kept with the items, and a read needs no more than the items that the user read.
"""

from dataclasses import dataclass, replace

import numpy as np

from lib.core.embeddings import Floats, Indices, Vectors, unit_rows, weighted_row_sums
from lib.core.ranker.items import seen_between
from lib.core.ranker.log import Log, Mask, decay
from lib.core.ranker.profiles import Profiles
from lib.core.taste.log_parts import is_first_read
from lib.core.taste.states import states_before_actions

_YOUNG_SHARE = 0.25  # of the log's span is the age at which a read counts half as one of a new item
_CENSORED_SHARE = 0.05  # of the span: what shows up that early may have been there before the log began
_YOUNG_BOOST = 3.0  # how much more the read of a brand-new item says about a user's taste in new items
_SHORTEST_HALF_AGE = 1.0  # seconds, for a log of no span
_DIGITS = 6  # of a cosine; items of the same content are equals, whatever the order of a sum
_NOISE = 1e-6  # of the lengths that are added up; what cancels out to less is rounding, no direction


@dataclass(frozen=True)
class NewItemTaste:
    """What a log says of how the new is read. `begin` and `end` are the log's (unix seconds), `centre` (c,) is the mean
    content of what came up, `everybody` (c,) what all read of it, zeros where that says nothing. A user's circle counts
    as `circle_reads` of his own."""

    begin: float
    end: float
    centre: Floats
    everybody: Floats
    circle_reads: float


@dataclass(frozen=True)
class UserTastes:
    """How well items suit users: `content` (n, c) times `users` (u, c), unit vectors or zeros."""

    users: Vectors
    content: Vectors

    def of(self, user: int, items: Indices) -> Floats:
        """The cosines of some items' content (k,) with one user's taste; 0 where either isn't known."""
        cosines: Floats = (self.content[items] @ self.users[user]).astype(np.float64)
        return cosines.round(_DIGITS)


def learn_new_item_taste(
    log: Log,
    now: float,
    content: Vectors,
    item_vectors: Vectors,
    *,
    half_life_seconds: float,
    circle_reads: float,
) -> tuple[NewItemTaste, Vectors]:
    """By the log before `now`, and what the circle of each item likes (n_items, c): one walk, 2 m d c operations.

    `content` (n_items, c) and `item_vectors` (n_items, d) hold unit vectors or zeros.
    """
    log = log.before(now)
    first_seen, begin = seen_between(log)[0], float(log.times[0]) if len(log) else now
    centre = _centre(content, _came_up(first_seen, begin, now))
    away = _away(content, centre)
    reads = _youth(log.times, first_seen[log.items], begin, now) * log.weights * is_first_read(log)
    by_state = np.zeros((item_vectors.shape[1], content.shape[1]))
    for rows, before in states_before_actions(log, item_vectors, half_life_seconds=half_life_seconds):
        wanted = reads[rows] > 0
        weighted = before[wanted] * reads[rows[wanted], None].astype(np.float32)
        by_state += weighted.T @ away[log.items[rows[wanted]]]
    counts = np.bincount(log.items, reads, log.n_items).astype(np.float64)  # of none they are whole
    noise = _NOISE * reads.sum()
    everybody = counts @ away
    circles = item_vectors @ by_state.astype(np.float32)
    return (
        NewItemTaste(begin, now, centre, everybody * (np.linalg.norm(everybody) > noise), circle_reads),
        circles * (np.linalg.norm(by_state) > noise),
    )


def user_tastes(
    taste: NewItemTaste,
    profiles: Profiles,
    first_seen: Floats,
    content: Vectors,
    circles: Vectors,
    now: float,
    *,
    half_life_seconds: float,
) -> UserTastes:
    """The tastes of the profiles' users. `first_seen` (n,), `content` (n, c) and `circles` (n, c) are of the items that
    profiles point to, and that are to be ranked."""
    youth = _youth(profiles.times, first_seen[profiles.items], taste.begin, taste.end)
    worth = decay(now - profiles.times, half_life_seconds)
    read = np.flatnonzero(np.bincount(profiles.items, minlength=len(content)))  # of many items, a few
    number = np.zeros(len(content), np.intp)
    number[read] = np.arange(len(read))
    profiles = replace(profiles, items=number[profiles.items])
    circle = unit_rows(_sums(profiles, worth, circles[read])) + unit_rows(taste.everybody[None])
    own = _sums(profiles, worth * (1.0 + _YOUNG_BOOST * youth), _away(content[read], taste.centre))
    return UserTastes(unit_rows(own + taste.circle_reads * unit_rows(circle)), content)


def _sums(profiles: Profiles, worth: Floats, vectors: Vectors) -> Floats:
    """The sum of each user's reads (n_users, c), zeros where they cancel out."""
    sums = weighted_row_sums(profiles.users, profiles.items, worth, vectors, n_rows=profiles.n_users)
    lengths = np.linalg.norm(vectors, axis=1)[profiles.items]
    noise = _NOISE * np.bincount(profiles.users, worth * lengths, profiles.n_users)
    known: Floats = sums * (np.linalg.norm(sums, axis=1) > noise)[:, None]
    return known


def _came_up(first_seen: Floats, begin: float, end: float) -> Mask:
    """Which items (n,) were first acted on when the log had been going on for a while (inf: never)."""
    return np.isfinite(first_seen) & (first_seen > begin + _CENSORED_SHARE * (end - begin))


def _youth(times: Floats, first_seen: Floats, begin: float, end: float) -> Floats:
    """How new the item of each action (m,) was: 1 when it was first acted on, halving by age, 0 where that isn't known.

    `first_seen` (m,) is when anybody first acted on the item of each action, of any kind, in unix seconds.
    """
    half_age = max(_YOUNG_SHARE * (end - begin), _SHORTEST_HALF_AGE)
    known = _came_up(first_seen, begin, end)
    return decay(np.where(known, times - first_seen, 0.0), half_age) * known


def _centre(content: Vectors, new: Mask) -> Floats:
    """The mean (c,) of the content that is there and `new`."""
    wanted = new & np.asarray(content.any(axis=1))
    centre: Floats = content[wanted].mean(axis=0, dtype=np.float64) if wanted.any() else np.zeros(content.shape[1])
    return centre


def _away(content: Vectors, centre: Floats) -> Vectors:
    """Content vectors (n, c) from the centre, absent ones still zero."""
    present = np.asarray(content.any(axis=1))
    return ((content - centre) * present[:, None]).astype(np.float32)
