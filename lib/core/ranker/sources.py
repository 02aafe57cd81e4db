"""Why an item is in a list: personal, trending, popular or new."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib.core.ranker.items import N_HALF_LIVES
from lib.core.ranker.log import Floats, Indices, Vectors

_SHORT, _LONG = slice(0, 3), slice(4, N_HALF_LIVES)  # 3 hours to 36; 12 days and more
_NO_SPREAD = 1e-3  # a signal that varies less says nothing: popularity does by the minutes between two drains


@dataclass(frozen=True)
class Signals:
    """What speaks for each candidate of a user (n,): their sum is what it is ranked by.

    `personal` comes from what the user read, `everybody` from what all did.
    """

    personal: Floats
    everybody: Floats


def sources_of(signals: Signals, popularity: Vectors, readers: Floats, chosen: Indices) -> list[str]:
    """The sources of the `chosen` of a user's candidates (n,), whose log popularities (n, half-lives) these are.

    1. "new": nobody has read it yet.
    2. "personal": what is personal speaks for it, and more than what all do, both beside the candidates' mean.
    3. "trending": it stands out among the candidates by half-lives up to 36 hours more than by those from 12 days.
    4. "popular": everything else.
    """
    if len(chosen) == 0:
        return []
    personal, everybody = ((values - values.mean())[chosen] for values in (signals.personal, signals.everybody))
    is_personal = personal > np.maximum(everybody, _NO_SPREAD)
    standing = standard_scores(popularity)[chosen]
    lately, always = (standing[:, half_lives].mean(axis=1) for half_lives in (_SHORT, _LONG))
    conditions = [readers[chosen] == 0, is_personal, lately > always]
    sources: list[str] = np.select(conditions, ["new", "personal", "trending"], "popular").tolist()
    return sources


def standard_scores(values: NDArray[np.floating]) -> Floats:
    """How many standard deviations values (n, ...) lie above their mean; zeros where they hardly vary."""
    if len(values) == 0:
        return np.zeros(values.shape)
    centred = values - values.mean(axis=0, dtype=np.float64)
    spread = np.sqrt(np.einsum("i...,i...->...", centred, centred) / len(values))
    scores: Floats = centred * np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > _NO_SPREAD)
    return scores
