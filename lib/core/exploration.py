"""Places in a list for what would hardly ever be shown otherwise: nothing can be learned about what is never shown."""

import numpy as np
from numpy.typing import NDArray

from lib.core.defaults import PAGE

Indices = NDArray[np.intp]

_NOT_FAR = 110  # places; beyond, what is found is hardly ever read
MOST_NEW = 200  # candidates that nobody has met: each is read from the database for every list
FEWEST_NEW = 50  # where that many are there, however old: a catalogue's dates may be from long before it came in


def new_candidates(published_at: NDArray[np.floating], *, since: float) -> Indices:
    """Which of the items that nobody has met (n,) are candidates, the newest first and the lower index of equals: those
    published since then, at most MOST_NEW, and where they are fewer than FEWEST_NEW the next older ones too.

    Times are unix seconds, -inf where they aren't known.
    """
    newest = np.argsort(-published_at, kind="stable")[:MOST_NEW]
    recent = int(np.count_nonzero(published_at[newest] >= since))
    return newest[: max(recent, FEWEST_NEW)]


def with_exploration(order: Indices, lift: NDArray[np.floating], is_new: NDArray[np.bool_], per_page: int) -> Indices:
    """`order` (n,) of candidates, best first and the new ones last, with new ones in their places and in the last of
    the first page a discovery, of the highest `lift` (n,)."""
    in_first_page = min(per_page, int(is_new.sum()))
    order = with_discovery(order, lift, page=PAGE - in_first_page)
    return order[with_new_ones(is_new[order], per_page=per_page)]


def with_discovery(order: Indices, lift: NDArray[np.floating], *, page: int = PAGE) -> Indices:
    """`order` (n,) of candidates, best first, with the last place of the first `page` given to one from not far beyond.

    It is that of the highest `lift` (n,), which says how much more his like read it than all do; -inf: not that one.
    """
    later = order[page : page + _NOT_FAR]
    if len(later) == 0 or np.isneginf(lift[later]).all():
        return order
    found = page + int(np.argmax(lift[later]))
    return np.concatenate([order[: page - 1], order[[found]], order[page - 1 : found], order[found + 1 :]])


def with_new_ones(is_new: NDArray[np.bool_], *, per_page: int) -> Indices:
    """Positions in a list (k,) whose new items come last, so ordered that these come forward to their share of it: that
    many a page, evenly spaced, so that a single one stands in the page's middle. They keep their order, and so does all
    else.
    """
    usual, new = np.flatnonzero(~is_new), np.flatnonzero(is_new)
    due = np.diff((np.arange(len(is_new) + 1) * per_page + PAGE // 2) // PAGE) > 0
    takes_new = due & (np.cumsum(due) <= len(new))
    takes_new[np.flatnonzero(~takes_new)[len(usual) :]] = True  # where nothing else is left
    order = np.empty(len(is_new), np.intp)
    order[takes_new], order[~takes_new] = new, usual
    return order
