"""Choosing settings by replaying a log on itself: its last part is ranked from what was known before."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from lib.core.ranker.log import Floats, Indices, Log, Mask, Vectors, first_reads
from lib.core.ranker.metrics import DISCOUNTS, K, ideal_gains

Choice = TypeVar("Choice")

_CLEAR = 2.0  # standard errors over users
_FEWEST_USERS = 30  # fewer can't tell one setting from another
_CELLS = 20_000_000  # users times items, which bounds time and memory
_USERS_AT_ONCE = 128  # that are scored


@dataclass(frozen=True)
class Held:
    """What was held back: for each of `users` (u,) which items (u, n_items) may be ranked, and which he read."""

    users: Indices
    allowed: Mask
    read: Mask

    def without(self, items: Mask) -> "Held":
        """The same users, with the marked items (n_items,) neither ranked nor looked for."""
        return Held(self.users, self.allowed & ~items, self.read & ~items)


def hold_back(log: Log, start: float, *, newcomers: bool, max_users: int) -> Held:
    """The first reads from `start` on of at most `max_users` users who had done something before.

    With `newcomers` only items that were first seen from `start` on are ranked, otherwise only those seen before; what
    a user had already acted on is not ranked for him.
    """
    earlier, later = log.before(start), log.take(log.times >= start)
    known_users, known_items = _present(earlier.users, log.n_users), _present(earlier.items, log.n_items)
    reads = first_reads(log).between(start, np.inf)
    reads = reads.take(known_users[reads.users] & (known_items[reads.items] != newcomers))
    users = _at_most(np.unique(reads.users), min(max_users, _CELLS // max(log.n_items, 1)))
    ranked = _present(later.items, log.n_items) & ~known_items if newcomers else known_items
    allowed = np.tile(ranked, (len(users), 1)) & ~_pairs(earlier, users)
    return Held(users, allowed, _pairs(reads, users) & allowed)


def head_items(log: Log, *, since: float, share: float) -> Mask:
    """The few items (n_items,) that together have `share` of the first reads since that time."""
    reads = np.bincount(first_reads(log).between(since, np.inf).items, minlength=log.n_items)
    most_read = np.argsort(-reads, kind="stable")
    is_head = np.zeros(log.n_items, bool)
    is_head[most_read[np.cumsum(reads[most_read]) <= share * reads.sum()]] = True
    return is_head


def ndcg_per_user(held: Held, user_vectors: Vectors, item_vectors: Vectors) -> Floats:
    """NDCG@20 of each user (u,) whose vector (u, d) times an item's (n_items, d) is the item's score."""
    columns = np.flatnonzero(held.allowed.any(axis=0))
    items, result = item_vectors[columns], np.zeros(len(held.users))
    n = min(K, len(columns))
    for start in range(0, len(held.users) if n else 0, _USERS_AT_ONCE):
        part = slice(start, start + _USERS_AT_ONCE)
        scores = np.where(held.allowed[part][:, columns], user_vectors[part] @ items.T, np.float32(-np.inf))
        best = np.argpartition(-scores, n - 1, axis=1)[:, :n]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        hits = np.take_along_axis(held.read[part], columns[np.take_along_axis(best, order, axis=1)], axis=1)
        result[part] = hits @ DISCOUNTS[:n] / ideal_gains(np.maximum(held.read[part].sum(axis=1), 1))
    return result


def better_choice(default: Choice, values: Mapping[Choice, Floats], *, clear: float = _CLEAR) -> Choice:
    """The choice of the best mean over users, or the default unless that beats it clearly.

    `values` holds an array (u,) for each choice, of the same users in the same order, the default among them. Clearly
    is by more than `clear` standard errors of the difference.
    """
    if len(values[default]) < _FEWEST_USERS:
        return default
    best = max(values, key=lambda choice: float(values[choice].mean()))
    gain = values[best] - values[default]
    return best if gain.mean() > clear * gain.std() / np.sqrt(len(gain)) else default


def choose(
    default: Choice,
    others: Iterable[Choice],
    values_of: Callable[[Choice], Floats],
    *,
    may_continue: Callable[[], bool],
    clear: float = _CLEAR,
) -> Choice:
    """`better_choice` of the default and as many of the others as `may_continue`, asked before each, allows to try."""
    values = {default: values_of(default)}
    for choice in with_default(default, others)[1:]:
        if not may_continue():
            break
        values[choice] = values_of(choice)
    return better_choice(default, values, clear=clear)


def with_default(default: Choice, others: Iterable[Choice]) -> list[Choice]:
    """The default first, then the others without it."""
    return list(dict.fromkeys([default, *others]))


def _present(indices: Indices, n: int) -> Mask:
    present = np.zeros(n, bool)
    present[indices] = True
    return present


def _at_most(users: Indices, limit: int) -> Indices:
    """Every k-th of the users (u,), so that there are no more than `limit`."""
    return users[:: 1 + (len(users) - 1) // max(limit, 1)] if len(users) else users


def _pairs(log: Log, users: Indices) -> Mask:
    """Which items each of `users`, ascending, has an action on (u, n_items)."""
    place = np.minimum(np.searchsorted(users, log.users), max(len(users) - 1, 0))
    pairs = np.zeros((len(users), log.n_items), bool)
    if len(users):
        theirs = users[place] == log.users
        pairs[place[theirs], log.items[theirs]] = True
    return pairs
