import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.half_lives import DEFAULT_POSITION, position_of
from lib.core.ranker import half_life
from lib.core.ranker.half_life import POSITIONS, blend_weights, choose_position
from lib.core.ranker.log import DAY, Log, first_reads
from lib.core.ranker.metrics import ndcg
from lib.core.ranker.truth import truth_at
from tests.core.ranker.logs import NOW, films_log, news_log, random_log

WINDOW = DAY


def chosen(log: Log) -> float:
    return choose_position(log, NOW, WINDOW, default=DEFAULT_POSITION)


def test_news_are_forgotten_within_hours() -> None:
    assert chosen(news_log(1)) <= 1.5


def test_films_are_remembered_for_months() -> None:
    assert chosen(films_log(1)) >= 5.0


@pytest.mark.parametrize("n_actions", [0, 1, 5, 40])
def test_a_site_with_little_to_learn_from_gets_the_default(n_actions: int) -> None:
    assert chosen(random_log(1, n_actions=n_actions)) == DEFAULT_POSITION


def test_it_stops_when_it_may_not_continue() -> None:
    asked: list[bool] = []

    def may_continue() -> bool:
        asked.append(len(asked) < 2)
        return asked[-1]

    assert choose_position(films_log(1), NOW, WINDOW, default=1.25, may_continue=may_continue) in POSITIONS
    assert asked == [True, True, False]
    assert choose_position(films_log(1), NOW, WINDOW, default=1.25, may_continue=lambda: False) == 1.25


def test_ranks_without_what_was_seen_are_those_of_lists_without_it() -> None:
    log = random_log(3, n_actions=600)
    time = NOW - 5 * DAY
    truth = truth_at(log, first_reads(log), time, 5 * DAY)
    scores = np.random.default_rng(1).permutation(log.n_items).astype(float)
    owner, seen = half_life._seen_of(log.before(time), truth.users)
    lists = []
    for user in range(len(truth.users)):
        unseen = np.setdiff1d(np.arange(log.n_items), seen[owner == user])
        hits = np.isin(unseen, truth.items[truth.owner == user]).astype(np.float32)
        lists.append(ndcg(hits, scores[unseen].astype(np.float32), np.zeros(1, np.intp), truth.counts[[user]])[0])
    assert len(lists) > 5
    np.testing.assert_allclose(half_life._ndcg(scores, truth, owner, seen), lists)


@given(st.floats(0.0, len(HALF_LIVES_HOURS) - 1))
def test_a_position_blends_the_two_half_lives_around_it(position: float) -> None:
    weights = blend_weights(position)
    assert weights.sum() == pytest.approx(1.0)
    assert weights @ np.arange(len(weights)) == pytest.approx(position)
    assert np.count_nonzero(weights) <= 2


def test_a_half_life_that_is_kept_has_its_own_position() -> None:
    assert [position_of(hours) for hours in HALF_LIVES_HOURS] == pytest.approx(list(range(7)))
    assert position_of(0.1) == 0.0
    assert 2.0 < position_of(48.0) < 3.0
    assert 5.0 < position_of(2_000.0) < 6.0
    assert position_of(math.inf) == 6.0


@given(st.floats(0.01, 1e6), st.floats(0.01, 1e6))
def test_a_longer_half_life_has_no_lower_position(one: float, other: float) -> None:
    shorter, longer = sorted((one, other))
    assert position_of(shorter) <= position_of(longer)
