"""Which of the items that a user read speaks most for one that is recommended: "because you read"."""

import numpy as np

from lib.core.ranker.log import Floats, Indices, ranges
from lib.core.ranker.neighbours import CHANNELS
from lib.core.ranker.personal_pool import channel_weights
from lib.core.ranker.profiles import Profiles
from lib.core.ranker.site import Site


def most_similar(site: Site, profile: Profiles, items: Indices) -> Indices:
    """For each of `items` (n, distinct) the item of one user's profile that contributed most, -1 where none did.

    Of each channel of the neighbours and each set of vectors every read has its share of what they add up to; the
    shares are added. The latest read is taken among equals.
    """
    by_channel = _channel_worths(site, profile, items)
    by_vectors = [
        profile.weights[:, None] * np.maximum(vectors[profile.items] @ vectors[items].T, 0.0)
        for vectors in site.items.vectors
    ]
    worths = np.stack([*by_channel, *by_vectors])
    totals = worths.sum(axis=1)
    scales = np.divide(1.0, totals, out=np.zeros_like(totals), where=totals > 0)
    shares = np.einsum("cmn,cn->mn", worths, scales)
    if len(shares) == 0:
        return np.full(len(items), -1)
    best = len(shares) - 1 - np.argmax(shares[::-1], axis=0)
    return np.where(shares.max(axis=0) > 0, profile.items[best], -1)


def _channel_worths(site: Site, profile: Profiles, items: Indices) -> Floats:
    """What each read of a profile adds to each item by each channel (channels, m, n)."""
    lengths = np.diff(site.rows.starts)[profile.items]
    entries = ranges(site.rows.starts[:-1][profile.items], lengths)
    number = np.full(len(site.items), -1)
    number[items] = np.arange(len(items))
    columns = number[site.rows.items[entries]]
    read = np.repeat(np.arange(len(lengths)), lengths)[columns >= 0]
    weights = channel_weights(profile, site.items.idf)[read]
    worths = np.zeros((len(CHANNELS), len(lengths), len(items)))
    worths[:, read, columns[columns >= 0]] = (weights * site.rows.values[entries[columns >= 0]]).T
    return worths
