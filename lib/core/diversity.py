"""The last word on a list: no near-duplicates side by side, no topic everywhere, and a place for what is new.

All functions answer an order of positions in the list (k,), and keep the given order among what they don't move.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]

SCREEN = 20  # items that are seen together
_DUPLICATE = 0.97  # cosine of two contents' own vectors; a text and its copy with another title lie above


def spread(vectors: NDArray[np.float32], topics: Sequence[Sequence[str]], *, topic_share: float) -> Indices:
    """Best first, but what is too much like something above it, or of a topic that has had its share, comes later.

    `vectors` (k, d) are unit rows, or zeros where content has none. Of each screen of 20 a topic gets at most
    `topic_share`, where the list has anything else; what waits comes as soon as a screen has room for it.
    """
    limit = max(1, round(topic_share * SCREEN))
    waiting = list(range(len(vectors)))
    order: list[int] = []
    while waiting:
        screen: list[int] = []
        counts: Counter[str] = Counter()
        left = []
        for item in waiting:
            if len(screen) < SCREEN and _fits(item, screen, vectors, topics, counts, limit):
                screen.append(item)
                counts.update(topics[item])
            else:
                left.append(item)
        room = min(SCREEN - len(screen), len(left))
        order += screen + left[:room]  # where nothing else is left, more of the same is better than nothing
        waiting = left[room:]
    return np.array(order, dtype=np.intp)


def explore(is_new: NDArray[np.bool_], *, share: float) -> Indices:
    """Brings new items (mask (k,)) forward, in their order, so that they have `share` of the list: one in twenty, say.

    A new item that stands high by itself stays where it is and counts.
    """
    period = round(1.0 / share) if share > 0 else len(is_new) + 1
    usual, new = list(np.flatnonzero(~is_new)), list(np.flatnonzero(is_new))
    order: list[int] = []
    while usual or new:
        due = (len(order) + 1) // period > sum(bool(is_new[item]) for item in order)
        first = not usual or (new and (due or new[0] < usual[0]))
        order.append(int(new.pop(0) if first else usual.pop(0)))
    return np.array(order, dtype=np.intp)


def _fits(
    item: int,
    screen: Sequence[int],
    vectors: NDArray[np.float32],
    topics: Sequence[Sequence[str]],
    counts: Counter[str],
    limit: int,
) -> bool:
    if any(counts[topic] >= limit for topic in topics[item]):
        return False
    return not screen or float((vectors[list(screen)] @ vectors[item]).max()) < _DUPLICATE
