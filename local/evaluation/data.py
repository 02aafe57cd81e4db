"""What is ranked at a cut in time, and the lists that come of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib.core.diversity import Topics

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Scores = NDArray[np.floating]
Content = Mapping[str, Vectors]  # content vector of each item id, all of one size

LIST_LENGTH = 100


class UnusableDataError(Exception):
    """The data can't be used. The message says in one sentence what is wrong with them."""


@dataclass(frozen=True)
class Cut:
    """One cut of a data set. Users and items of the events (m,) are indices into the ids."""

    dataset: str
    name: str
    now: float  # unix seconds, as all times
    end: float  # of the time that the lists are to serve
    user_ids: list[str]  # who to rank for comes first
    n_ranked_users: int
    item_ids: list[str]  # sorted, so that equals are ordered as in production
    topics: list[Topics]  # (n_items,)
    candidates: Indices
    new_candidates: Indices
    users: Indices
    items: Indices
    times: Floats
    weights: Floats
    positive: NDArray[np.bool_]


@dataclass(frozen=True)
class Ranking:
    """One user's list: at most LIST_LENGTH candidates that he hasn't acted on, the best first."""

    user_id: str
    items: list[str]
    new_items: list[str] | None = None  # None without content vectors: nothing else tells new items apart


def seen_candidates(cut: Cut) -> Iterator[NDArray[np.bool_]]:
    """For each user to rank for: which candidates (n_candidates,) he has acted on in any way."""
    order = np.argsort(cut.users, kind="stable")
    bounds = np.searchsorted(cut.users[order], np.arange(cut.n_ranked_users + 1))
    for user in range(cut.n_ranked_users):
        seen = np.zeros(len(cut.item_ids), bool)
        seen[cut.items[order[bounds[user] : bounds[user + 1]]]] = True
        yield seen[cut.candidates]
