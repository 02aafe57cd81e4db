"""Replays a site's own log: at past times, what would have been offered, and what was read next."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lib.core.ranker.features import candidates_of, feature_names
from lib.core.ranker.log import Indices, Log, first_reads
from lib.core.ranker.personal_pool import MOST_PERSONAL
from lib.core.ranker.site import MakeVectors, Site, site_at
from lib.core.ranker.softmax_ranker import Examples
from lib.core.ranker.truth import Truth, choose, sample, slice_times, truth_at, with_history

_USERS = 7_000
_CELLS = 60_000_000  # of features in all: 240 MB


@dataclass(frozen=True)
class Slice:
    """One replayed time: the users with something among their candidates that they went on to read, as examples."""

    time: float
    examples: Examples
    counts: Indices  # (n_users,) what each of them read in all
    n_sampled: int  # users, with those of whom nothing was among the candidates


def replay(site: Site, truth: Truth) -> Slice:
    """The slice of a site at the beginning of the truth's window."""
    candidates = candidates_of(site, truth.users)
    sizes = candidates.sizes()
    owner = np.repeat(np.arange(len(sizes)), sizes)
    n_items = len(site.items)
    hits = np.isin(owner * n_items + candidates.items, truth.owner * n_items + truth.items)
    found = np.bincount(owner, hits, len(sizes))
    rows, kept = found[owner] > 0, found > 0
    examples = Examples(
        features=candidates.features[rows],
        attributes=candidates.attributes[kept],
        starts=np.cumsum(sizes[kept]) - sizes[kept],
        # Between every user alike, which is noisy, and every read alike, where heavy users rule.
        gains=(hits[rows] / np.sqrt(found[owner[rows]])).astype(np.float32),
    )
    return Slice(site.now, examples, truth.counts[kept], len(sizes))


def slices(
    log: Log,
    now: float,
    window_seconds: float,
    vectors: Sequence[MakeVectors],
    *,
    may_continue: Callable[[], bool] = lambda: True,
) -> list[Slice]:
    """Replayed slices, the latest first, of a bounded number of users with history. Asks before each slice."""
    times = slice_times(log, now, window_seconds)
    reads = first_reads(log)
    result: list[Slice] = []
    for number, time in enumerate(times):
        if not may_continue():
            break
        truth = truth_at(log, reads, time, window_seconds)
        truth = choose(truth, with_history(truth, reads, time))
        truth = sample(truth, _USERS // len(times), seed=number)
        if len(truth.users):
            site = site_at(log, time, vectors, users=truth.users)
            truth = sample(truth, _CELLS // (len(times) * _cells_of_a_user(site)), seed=number)
            result.append(replay(site, truth))
    return result


def _cells_of_a_user(site: Site) -> int:
    """How many numbers the features of one user's candidates are at most."""
    candidates = int(np.count_nonzero(site.pool)) + MOST_PERSONAL
    return candidates * len(feature_names(len(site.items.vectors)))
