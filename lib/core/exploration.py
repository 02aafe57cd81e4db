"""Places in a list for what would hardly ever be shown otherwise: nothing can be learned about what is never shown."""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]

PAGE = 20  # items that a user sees together
_FIRST_NEW = PAGE // 2  # place of the first new one, of one a page; the discovery has the page's last place


def with_discovery(order: Indices, signal: NDArray[np.floating]) -> Indices:
    """`order` (n,) of candidates, best first, with the last place of the first page given to one from beyond it, that
    of the highest `signal` (n,): what neighbours say most for, if anything.
    """
    later = order[PAGE:]
    if len(later) == 0 or signal[later].max() <= 0:
        return order
    found = later[np.argmax(signal[later])]
    kept = order[order != found]
    return np.insert(kept, PAGE - 1, found)


def with_new_ones(is_new: NDArray[np.bool_]) -> Indices:
    """Positions in a list (k,), so ordered that new items come forward to their share of it, one a page.

    They keep their order, and so does all else. One that stands high by itself stays where it is and counts.
    """
    usual, new = list(np.flatnonzero(~is_new)), list(np.flatnonzero(is_new))
    order: list[int] = []
    shown = 0
    while usual or new:
        due = (len(order) + 1 + PAGE - _FIRST_NEW) // PAGE > shown
        if new and (due or not usual or new[0] < usual[0]):
            shown += 1
            order.append(int(new.pop(0)))
        else:
            order.append(int(usual.pop(0)))
    return np.array(order, dtype=np.intp)
