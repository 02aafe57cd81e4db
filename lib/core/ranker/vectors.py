"""The ranker's own item vectors: what the same users read."""

from lib.core.co_reads import learn_item_vectors
from lib.core.defaults import CO_READ_SIZE
from lib.core.embeddings import unit_rows
from lib.core.ranker.log import Log, Vectors


def co_read_vectors(reads: Log, _now: float, *, size: int = CO_READ_SIZE) -> Vectors:
    """Unit rows (n_items, size) or zeros, by the reads before a time."""
    return unit_rows(learn_item_vectors(reads.users, reads.items, reads.times, n_items=reads.n_items, size=size))
