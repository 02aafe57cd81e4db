"""Replays a site's own log: at past times, what would have been offered, and what was read next."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lib.core.ranker.features import candidates_of, feature_names
from lib.core.ranker.log import Indices, Log, first_reads, starts_of
from lib.core.ranker.personal_pool import MOST_PERSONAL
from lib.core.ranker.site import MakeVectors, Site, site_at
from lib.core.ranker.softmax_ranker import Examples, joined
from lib.core.ranker.truth import Truth, choose, sample, slice_times, truth_at, with_history

_USERS = 40_000
_USERS_AT_ONCE = 512  # whose candidates with features are some 40 MB
_UNREAD = 150  # candidates of a user, of some 800, that he didn't read: with all of them fewer users have room
_CELLS = 64_000_000  # of features in all: 256 MB
_CELLS_TO_VALIDATE = 32_000_000  # of the latest slice, which is kept whole: only then its lists are real ones


@dataclass(frozen=True)
class Slice:
    """One replayed time: the users with something among their candidates that they went on to read, as examples."""

    time: float
    examples: Examples
    counts: Indices  # (n_users,) what each of them read in all
    n_sampled: int  # users, with those of whom nothing was among the candidates


def replay(site: Site, truth: Truth, *, unread: float = np.inf, seed: int = 0) -> Slice:
    """The slice of a site at the beginning of the truth's window.

    With `unread` only about as many candidates that were not read are kept of each user, drawn at random.
    """
    rng, numbers = np.random.default_rng(seed), np.arange(len(truth.users))
    starts = range(0, len(numbers), _USERS_AT_ONCE)
    chunks = [choose(truth, (numbers >= start) & (numbers < start + _USERS_AT_ONCE)) for start in starts]
    parts = [_examples(site, chunk, unread, rng) for chunk in chunks]
    examples, counts = zip(*parts, strict=True)
    return Slice(site.now, joined(examples), np.concatenate(counts), len(numbers))


def _examples(site: Site, truth: Truth, unread: float, rng: np.random.Generator) -> tuple[Examples, Indices]:
    """The examples, and what each of their users read in all."""
    candidates = candidates_of(site, truth.users)
    sizes = candidates.sizes()
    owner = np.repeat(np.arange(len(sizes)), sizes)
    n_items = len(site.items)
    hits = np.isin(owner * n_items + candidates.items, truth.owner * n_items + truth.items)
    found = np.bincount(owner, hits, len(sizes))
    share = np.minimum(1.0, unread / np.maximum(sizes - found, 1))[owner]
    rows = (found[owner] > 0) & (hits | (rng.random(len(share)) < share))
    kept = found > 0
    kept_sizes = np.bincount(owner[rows], minlength=len(sizes))[kept]
    examples = Examples(
        features=candidates.features[rows],
        attributes=candidates.attributes[kept],
        starts=starts_of(kept_sizes)[:-1],
        # Between every user alike, which is noisy, and every read alike, where heavy users rule.
        gains=(hits[rows] / np.sqrt(found[owner[rows]])).astype(np.float32),
    )
    return examples, truth.counts[kept]


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
            unread, cells = (_UNREAD, _CELLS // len(times)) if result else (np.inf, _CELLS_TO_VALIDATE)
            truth = sample(truth, cells // _cells_of_a_user(site, unread), seed=number)
            result.append(replay(site, truth, unread=unread, seed=number))
    return result


def _cells_of_a_user(site: Site, unread: float) -> int:
    """About how many numbers the features of one user's candidates are at most."""
    candidates = int(np.count_nonzero(site.pool)) + MOST_PERSONAL
    return int(min(candidates, 1.2 * unread)) * len(feature_names(len(site.items.vectors)))
