import math
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.ranking import top_n

finite = st.floats(-1e6, 1e6)
any_score = st.one_of(finite, st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf]))


def scores_and_excluded() -> st.SearchStrategy[list[tuple[float, bool]]]:
    return st.lists(st.tuples(any_score, st.booleans()), max_size=40)


@given(scores_and_excluded(), st.integers(0, 50))
@settings(deadline=None)
def test_the_top_n_are_the_best_that_are_available(rows: list[tuple[float, bool]], n: int) -> None:
    scores, excluded = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], bool)
    available = [index for index, (score, out) in enumerate(rows) if not out and not math.isnan(score)]
    expected = sorted(available, key=lambda index: (-rows[index][0], index))[:n]
    assert top_n(scores, n, excluded=excluded).tolist() == expected


@given(st.lists(finite, unique=True, max_size=40), st.integers(0, 50), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_shuffled_candidates_have_the_same_top_n(scores: list[float], n: int, random: Random) -> None:
    shuffled = random.sample(scores, len(scores))
    best, best_of_shuffled = top_n(np.array(scores), n), top_n(np.array(shuffled), n)
    assert [scores[index] for index in best] == [shuffled[index] for index in best_of_shuffled]
