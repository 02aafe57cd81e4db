"""Items that nobody has met yet, ranked by their content vectors.

Two things tell who will read them. A user's own taste: the decayed sum of what he acted on, actions on items that
were young then counting up to four times. And his circle's: the reads of young items by people whose vector was like
his, with what everybody reads of the new, each as a direction away from the mean of all items that came up, read or
not. The circle counts for as much as a few actions, so it leads where a user did little or long ago, and fades where
he has said what he likes. Their sum is the user's vector for new items: serving is a dot product with the content
vector, and a user without history gets everybody's part.
"""

from dataclasses import dataclass

import numpy as np

from lib.core.embeddings import Floats, Indices, Vectors, unit_rows, weighted_row_sums
from lib.core.ranker.items import seen_between
from lib.core.ranker.log import Log, Mask, decay
from lib.core.taste.log_parts import is_first_read, latest_rows, of_users
from lib.core.taste.states import states_before_actions

_YOUNG_SHARE = 0.25  # of the log's span is the age at which an action counts half as one on a new item
_CENSORED_SHARE = 0.05  # of the span: what shows up that early may have been there before the log began
_YOUNG_BOOST = 3.0  # how much more an action on a brand-new item says about a user's taste in new items
_SHORTEST_HALF_AGE = 1.0  # seconds, for a log of no span


@dataclass(frozen=True)
class LogScale:
    """What is young and what is much on a site: when its log began and ended (unix seconds), and the mean weight of a
    positive action."""

    begin: float
    end: float
    usual_weight: float


@dataclass(frozen=True)
class CircleTaste:
    """What the readers of the new like: everybody (c,), and by the vector that a user has before any map (d, c)."""

    everybody: Floats
    by_state: Floats

    def of(self, states: Vectors) -> Vectors:
        """The taste of each user's circle, by his vector (u, d) or zeros: unit vectors (u, c), or zeros."""
        return unit_rows(unit_rows(states @ self.by_state) + unit_rows(self.everybody[None]))

    def as_arrays(self) -> dict[str, Floats]:
        """What is to be stored; CircleTaste(**arrays) is the same again."""
        return {"everybody": self.everybody, "by_state": self.by_state}


def scale_of(log: Log, now: float) -> LogScale:
    """The scale of the log before `now`."""
    log = log.before(now)
    weights = log.weights[log.positive & (log.weights > 0)]
    usual = float(weights.mean()) if len(weights) else 1.0
    return LogScale(begin=float(log.times[0]) if len(log) else now, end=now, usual_weight=usual)


def came_up(first_seen: Floats, scale: LogScale) -> Mask:
    """Which items (n,) were first acted on when the log had been going on for a while (inf: never)."""
    begin = scale.end - (1.0 - _CENSORED_SHARE) * (scale.end - scale.begin)
    return np.isfinite(first_seen) & (first_seen > begin)


def youth_of_actions(times: Floats, first_seen: Floats, scale: LogScale) -> Floats:
    """How new the item of each action (m,) was: 1 when it was first acted on, halving by age, 0 where that isn't known.

    `first_seen` (m,) is when anybody first acted on the item of each action, of any kind, in unix seconds.
    """
    half_age = max(_YOUNG_SHARE * (scale.end - scale.begin), _SHORTEST_HALF_AGE)
    known = came_up(first_seen, scale)
    ages = np.where(known, times - first_seen, 0.0)
    return decay(ages, half_age) * known


def own_taste(
    user_index: Indices,
    item_index: Indices,
    weights: Floats,
    ages_seconds: Floats,
    youth: Floats,
    content: Vectors,
    *,
    n_users: int,
    half_life_seconds: float,
    usual_weight: float,
) -> Floats:
    """Each user's own part (n_users, c), in numbers of usual positive actions: its length says how much is known.

    The first five arrays are (m,), one entry an action, in any order: those of a user's embedding, with `youth` of
    `youth_of_actions`. `content` (n, c) holds unit vectors or zeros.
    """
    worth = weights * (1.0 + _YOUNG_BOOST * youth) / usual_weight * decay(ages_seconds, half_life_seconds)
    rows = np.argsort(user_index, kind="stable")
    sums = weighted_row_sums(user_index[rows], item_index[rows], worth[rows], content, n_rows=n_users)
    return sums.astype(np.float64, copy=False)


def own_tastes_in_log(log: Log, now: float, users: Indices, content: Vectors, *, half_life_seconds: float) -> Floats:
    """The own part of `users` (u,) by their latest actions before `now` (u, c)."""
    log = log.before(now)
    first_seen, scale, theirs = seen_between(log)[0], scale_of(log, now), of_users(log, users)
    latest = theirs.take(latest_rows(theirs))
    return own_taste(
        latest.users,
        latest.items,
        latest.weights,
        now - latest.times,
        youth_of_actions(latest.times, first_seen[latest.items], scale),
        content,
        n_users=len(users),
        half_life_seconds=half_life_seconds,
        usual_weight=scale.usual_weight,
    )


def new_item_vectors(own: Floats, circle: Vectors, circle_actions: float) -> Vectors:
    """What new items' content vectors are multiplied with (u, c), the circle counting as that many actions."""
    return (own + circle_actions * circle).astype(np.float32)


def learn_circle_taste(
    log: Log, now: float, content: Vectors, item_vectors: Vectors, *, half_life_seconds: float
) -> CircleTaste:
    """By the log before `now`: one walk, 2 m d c operations. `content` (n_items, c) holds unit vectors or zeros."""
    log = log.before(now)
    first_seen, scale = seen_between(log)[0], scale_of(log, now)
    away = _away_from_usual(content, came_up(first_seen, scale))
    youth = youth_of_actions(log.times, first_seen[log.items], scale)
    reads = youth * log.weights * is_first_read(log)
    by_state = np.zeros((item_vectors.shape[1], content.shape[1]))
    for rows, before in states_before_actions(log, item_vectors, half_life_seconds=half_life_seconds):
        wanted = reads[rows] > 0
        weighted = before[wanted] * reads[rows[wanted], None].astype(np.float32)
        by_state += weighted.T @ away[log.items[rows[wanted]]]
    everybody = np.bincount(log.items, reads, log.n_items).astype(np.float64) @ away  # of none the counts are whole
    return CircleTaste(everybody, by_state)


def _away_from_usual(content: Vectors, new: Mask) -> Vectors:
    """Content vectors (n, c) from the mean of the `new` ones, absent ones still zero."""
    present = np.asarray(content.any(axis=1))
    centre = content[new & present].mean(axis=0) if (new & present).any() else np.zeros(content.shape[1])
    return ((content - centre) * present[:, None]).astype(np.float32)
