"""How actions spread over users, contents and the hours of a day."""

import math

import numpy as np
from numpy.typing import NDArray

HOURS = 24
BUSIEST_HOUR = 20
MOST_PEAK_FACTOR = 8 / 3  # of the shape below: the peak over the mean
_CELLS = 400  # contents are looked at in so many groups


def hourly_rates(peak: float, factor: float) -> list[float]:
    """Actions a second in each hour of a day whose busiest hour has `peak`, `factor` times the mean: a hill of the
    shape ((1 + cos) / 2)^2 around the evening, over what goes on at night."""
    if not 1 <= factor <= MOST_PEAK_FACTOR:
        raise ValueError(f"the peak is 1 to {MOST_PEAK_FACTOR:.2f} times the mean, not {factor:g}")
    hill = (factor - 1) / (MOST_PEAK_FACTOR - 1)
    angles = (2 * math.pi * (hour - BUSIEST_HOUR) / HOURS for hour in range(HOURS))
    return [peak / factor * (1 - hill + hill * MOST_PEAK_FACTOR * ((1 + math.cos(a)) / 2) ** 2) for a in angles]


def distinct(draws: float, among: float) -> float:
    """How many different ones so many draws find, in the mean, where all are equally likely."""
    if among <= 1 or draws <= 1:
        return min(draws, among)
    return -among * math.expm1(draws * math.log1p(-1 / among))


def contents_with_new_readers(actions: float, contents: int, *, exponent: float, users: float, before: float) -> float:
    """Different contents that `actions` reach by somebody for the first time, where the k-th content is acted on as
    often as k^-exponent, and `before` actions by `users` went before."""
    ranks, sizes = _groups(contents)
    shares = ranks**-exponent
    shares /= (sizes * shares).sum()
    first = np.exp(-before * shares / max(users, 1.0))  # how often the user hasn't acted on it yet
    return float((sizes * -np.expm1(actions * np.log1p(-np.minimum(shares * first, 1 - 1e-12)))).sum())


def _groups(contents: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The middle rank of each group, and how many contents are in it: each of the first alone, then ever more."""
    edges = np.unique(np.geomspace(1, contents + 1, min(contents, _CELLS) + 1).round())
    return np.sqrt(edges[:-1] * (edges[1:] - 1)), np.diff(edges)
