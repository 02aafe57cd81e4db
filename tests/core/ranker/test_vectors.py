import numpy as np
import pytest

from lib.core.defaults import CO_READ_SIZE
from lib.core.ranker.log import first_reads
from lib.core.ranker.vectors import co_read_vectors
from tests.core.ranker.logs import NOW, log_of, random_log


def test_items_with_the_same_readers_are_alike_and_others_are_not() -> None:
    actions = [(u, i, NOW + u + i, 1.0) for u in range(10) for i in ((0, 1, 2) if u < 5 else (3, 4, 5))]
    vectors = co_read_vectors(log_of(actions, n_users=10, n_items=7), NOW)
    assert vectors[0] @ vectors[2] > 0.99
    assert vectors[3] @ vectors[5] > 0.99
    assert abs(vectors[0] @ vectors[3]) < 0.01
    assert not vectors[6].any()


@pytest.mark.parametrize(("n_users", "n_items", "n_actions"), [(1, 1, 0), (1, 1, 1), (2, 3, 5), (1, 9, 5), (9, 1, 5)])
def test_small_logs_give_vectors_of_the_full_size(n_users: int, n_items: int, n_actions: int) -> None:
    reads = first_reads(random_log(1, n_users=n_users, n_items=n_items, n_actions=n_actions))
    vectors = co_read_vectors(reads, NOW)
    assert vectors.shape == (n_items, CO_READ_SIZE)
    lengths = np.linalg.norm(vectors, axis=1)
    assert np.isin(lengths.round(4), [0.0, 1.0]).all()
