"""For each item, the items that matter to its readers: one sparse row an item, several values a neighbour.

A row of item j holds, for a neighbour i, sums over the users v that read both:
  cohort_h   2^(-age of v's read of i / h) / |v|, for each half-life h: how much the readers of j read i lately
  knn        1 / (sqrt(n_i n_j) + 10): how much more they share than two items of their sizes do
  follows    2^(-age / 7 days) / gap, where i is at most 5 reads after j
Applied to a user's profile, rows add up to the popularity of items among the users that are like him: with
x_v = idf of what v read and sim(u, v) = x_u·x_v / |u||v|,
sum_v sim(u, v) 2^(-age) = sum_j x_u(j) idf_j cohort(j, i) / |u|.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib.core.ranker.log import DAY, Indices, Vectors, decay, ranges, starts_of
from lib.core.ranker.reads import COHORT_HALF_LIVES_DAYS, FOLLOW_HALF_LIFE_DAYS, Reads
from lib.core.ranking import largest

N_COHORTS = len(COHORT_HALF_LIVES_DAYS)
CHANNELS = (*(f"cohort{h:g}d" for h in COHORT_HALF_LIVES_DAYS), "knn", "follows")
_HALF_LIVES = np.array([*COHORT_HALF_LIVES_DAYS, np.inf, FOLLOW_HALF_LIFE_DAYS]) * DAY  # of each channel, seconds
_KNN_SHRINKAGE = 10.0
_FOLLOW_GAP = 5
_READERS_PER_ITEM = 2_000  # the latest
_PAIRS_PER_SHARD = 1_000_000  # about 100 MB while a shard is worked on


@dataclass(frozen=True)
class Rows:
    """Neighbours of item j: `items[starts[j]:starts[j + 1]]` with `values` (·, channels)."""

    starts: Indices
    items: NDArray[np.int32]
    values: Vectors


def carry_rows(values: Vectors, seconds: float) -> Vectors:
    """What the values (..., channels) of rows are worth `seconds` later, where nothing was read in between."""
    carried: Vectors = values * np.exp2(-seconds / _HALF_LIVES).astype(np.float32)
    return carried


def carry_cohort_popularity(values: Vectors, seconds: float) -> Vectors:
    """What an item's popularity at the cohorts' half-lives (..., cohort half-lives) is worth `seconds` later."""
    worth = [decay(np.array(seconds / DAY), half_life) for half_life in COHORT_HALF_LIVES_DAYS]
    return (values * np.array(worth)).astype(np.float32)


def neighbour_rows(reads: Reads, sources: Indices, *, size: int) -> Rows:
    """Rows of the items `sources` (ascending, distinct), the best `size` neighbours each; other rows are empty."""
    parts = [_shard(reads, shard, size) for shard in _shards(reads, sources)]
    counts = np.zeros(len(reads.idf), np.intp)
    for shard_sources, *_ in parts:
        counts += np.bincount(shard_sources, minlength=len(counts))
    items = np.concatenate([np.empty(0, np.int32), *(part[1] for part in parts)])
    values = np.concatenate([np.empty((0, len(CHANNELS)), np.float32), *(part[2] for part in parts)])
    return Rows(starts_of(counts), items, values)


def _shards(reads: Reads, sources: Indices) -> Iterator[Indices]:
    """`sources` cut into pieces of about the same number of pairs to add up."""
    lengths = (reads.by_user.ends - reads.begins)[reads.by_user.users[reads.by_item.rows]]
    sums = starts_of(lengths)
    starts, ends = _readers_of(reads, sources)
    shard = np.cumsum(sums[ends] - sums[starts]) // _PAIRS_PER_SHARD
    return iter(np.split(sources, np.flatnonzero(np.diff(shard)) + 1))


def _readers_of(reads: Reads, sources: Indices) -> tuple[Indices, Indices]:
    ends = reads.by_item.starts[sources + 1]
    return np.maximum(reads.by_item.starts[sources], ends - _READERS_PER_ITEM), ends


def _shard(reads: Reads, sources: Indices, size: int) -> tuple[Indices, NDArray[np.int32], Vectors]:
    """(source, item, values) of the neighbours of a few items, by source."""
    pairs, rows, gaps = _co_reads(reads, sources)
    heads = np.flatnonzero(np.diff(pairs, prepend=-1))
    if len(heads) == 0:
        return np.empty(0, np.intp), np.empty(0, np.int32), np.empty((0, len(CHANNELS)), np.float32)
    local, items = np.divmod(pairs[heads], len(reads.idf))
    values = _channel_sums(reads, sources[local], items, rows, gaps, heads)
    best = _best(local, values, size)
    return sources[local[best]], items[best].astype(np.int32), values[best]


def _co_reads(reads: Reads, sources: Indices) -> tuple[Indices, Indices, Indices]:
    """All reads by the readers of a few items: (pair of items in order, row of the read, reads after the source)."""
    starts, ends = _readers_of(reads, sources)
    of_reader = reads.by_item.rows[ranges(starts, ends - starts)]
    source_of_reader = np.repeat(np.arange(len(sources)), ends - starts)
    users = reads.by_user.users[of_reader]
    lengths = reads.by_user.ends[users] - reads.begins[users]
    rows = ranges(reads.begins[users], lengths)
    gaps = rows - np.repeat(of_reader, lengths)
    pairs = np.repeat(source_of_reader, lengths) * len(reads.idf) + reads.by_user.items[rows]
    order = np.argsort(pairs, kind="stable")
    order = order[gaps[order] != 0]
    return pairs[order], rows[order], gaps[order]


def _channel_sums(
    reads: Reads, sources: Indices, items: Indices, rows: Indices, gaps: Indices, heads: Indices
) -> Vectors:
    """The channels of each pair of items, from its co-reads (rows of both reads) that begin at `heads`."""
    values = np.empty((len(heads), len(CHANNELS)), np.float32)
    inverse = reads.inverse_norms[reads.by_user.users[rows]]
    for channel in range(N_COHORTS):
        values[:, channel] = np.add.reduceat(inverse * reads.decays[rows, channel], heads)
    shared = np.diff(heads, append=len(rows))
    values[:, -2] = shared / (np.sqrt(reads.readers[sources] * reads.readers[items]) + _KNN_SHRINKAGE)
    follows = (gaps >= 1) & (gaps <= _FOLLOW_GAP)
    steps = np.divide(reads.decays[rows, -1], gaps, out=np.zeros(len(rows)), where=follows)
    values[:, -1] = np.add.reduceat(steps, heads)
    return values


def _best(local: Indices, values: Vectors, size: int) -> Indices:
    """Which pairs to keep: of each source the `size` with the largest shares of their channels' maxima.

    Shares stay as they are while values decay, so that rows that are carried keep the neighbours of a rebuild.
    """
    first = np.flatnonzero(np.diff(local, prepend=-1))
    sizes = np.diff(first, append=len(local))
    worth = np.zeros(len(local), np.float32)
    for channel in values.T:
        maxima = np.maximum(np.maximum.reduceat(channel, first), np.float32(1e-30))
        worth += channel / np.repeat(maxima, sizes)
    kept = np.ones(len(local), bool)
    for start, length in zip(first[sizes > size], sizes[sizes > size], strict=True):
        kept[start : start + length] = largest(worth[start : start + length], size)
    return np.flatnonzero(kept)
