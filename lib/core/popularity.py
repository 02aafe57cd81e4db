"""Time-decayed popularity as mergeable sums.

The state of a content item is the time it is up to (`as_of`) and one sum per half-life. Sums at two times are
carried to the later one and added, so any order and any chunking of the actions give the same state (forward
decay: Cormode et al., ICDE 2009). Times are unix seconds in float64.
"""

import numpy as np
from numpy.typing import NDArray

from lib.core.defaults import HALF_LIVES_HOURS

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

_SECONDS_PER_HOUR = 3600.0
_HALVINGS_PER_SECOND = 1.0 / (np.array(HALF_LIVES_HOURS) * _SECONDS_PER_HOUR)


def decayed_sums(times: Floats, signs: Floats, groups: Indices, n_groups: int) -> tuple[Floats, Floats]:
    """What the contributions of each group (a content item) add up to at the group's latest time.

    `times`, `signs` and `groups` are (m,): when, +1 to add or -1 to take back, and to which of `n_groups` groups.
    Returns `as_of` (n_groups,) and `sums` (n_groups, half-lives). A group without contributions is the identity of
    `merge`: -inf and zeros.
    """
    as_of = np.full(n_groups, -np.inf)
    np.maximum.at(as_of, groups, times)
    sums = np.zeros((n_groups, len(HALF_LIVES_HOURS)))
    np.add.at(sums, groups, signs[:, None] * _decay(as_of[groups] - times))
    return as_of, sums


def carry(sums: Floats, from_: Floats | float, to: Floats | float) -> Floats:
    """The sums (..., half-lives) of the time `from_` as they stand at `to`, which is never earlier (broadcasts)."""
    # Only an empty group is of the time -inf: its zeros stay zeros at any age, and -inf - -inf would be NaN.
    ages = np.zeros(np.broadcast_shapes(np.shape(from_), np.shape(to)))
    np.subtract(to, from_, out=ages, where=np.isfinite(from_))
    return sums * _decay(ages)


def merge(as_of_a: Floats, sums_a: Floats, as_of_b: Floats, sums_b: Floats) -> tuple[Floats, Floats]:
    """Both states as one, at the later of the two times: commutative and, to rounding, associative."""
    as_of = np.maximum(as_of_a, as_of_b)
    return as_of, carry(sums_a, as_of_a, as_of) + carry(sums_b, as_of_b, as_of)


def first_action_changes(pairs: Indices, times: Floats, previous_first: Floats) -> tuple[Indices, Floats, Floats]:
    """What new positive actions change where only a user's first action on a content counts, first by time.

    `pairs` (m,) says to which (user, content) pair each action of `times` (m,) belongs, as an index into
    `previous_first` (n_pairs,): the time of the pair's first action as counted so far, NaN for none. An action
    that turns out to be earlier takes the place of the one that was counted, so the sums equal a recompute from
    the whole log whatever the order of arrival. Returns (pair, time, sign) of each change, one or two a pair.
    """
    earliest = np.full(len(previous_first), np.inf)
    np.minimum.at(earliest, pairs, times)
    is_earlier = earliest < previous_first
    is_first = np.isnan(previous_first) & np.isfinite(earliest)
    replaced, added = np.flatnonzero(is_earlier), np.flatnonzero(is_earlier | is_first)
    return (
        np.concatenate([added, replaced]),
        np.concatenate([earliest[added], previous_first[replaced]]),
        np.concatenate([np.ones(len(added)), -np.ones(len(replaced))]),
    )


def _decay(ages_seconds: Floats) -> Floats:
    """2^(-age/half-life), ages (...) to factors (..., half-lives)."""
    return np.exp2(-ages_seconds[..., None] * _HALVINGS_PER_SECOND)
