import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.ranker.items import GLOBAL_NAMES, global_features
from lib.core.ranker.log import DAY, HOUR, Log, make_log
from lib.core.ranker.site import Items, shared_pool, site_at
from tests.core.ranker.logs import NOW, VECTORS, assert_same, log_of, random_log


def items_of(popularity: list[float], first_seen: list[float], available: list[bool] | None = None) -> Items:
    """Items that differ in these alone, the popularity the same at every half-life."""
    n = len(popularity)
    site = site_at(log_of([(0, item, NOW - HOUR, 1.0) for item in range(n)], n_users=1, n_items=n), NOW, [])
    return dataclasses.replace(
        site.items,
        popularity=np.repeat(np.array(popularity)[:, None], len(HALF_LIVES_HOURS), axis=1),
        first_seen=np.array(first_seen),
        available=np.array(available if available else [True] * n),
    )


def joined(one: Log, other: Log) -> Log:
    users, items, times, weights, positive = (
        np.concatenate([getattr(one, name), getattr(other, name)])
        for name in ("users", "items", "times", "weights", "positive")
    )
    return make_log(users, items, times, weights, positive, one.n_users, one.n_items)


@given(st.integers(0, 10_000), st.floats(1.0, 39.0))
@settings(deadline=None, max_examples=15)
def test_a_site_knows_nothing_of_what_happens_later(seed: int, days_ago: float) -> None:
    log, later = random_log(seed, n_actions=120), random_log(seed + 1, n_actions=120)
    now = NOW - days_ago * DAY
    after = later.take(later.times >= now)
    assert_same(site_at(joined(log.before(now), after), now, VECTORS), site_at(log.before(now), now, VECTORS))


@given(st.integers(0, 10_000), st.integers(1, 119))
@settings(deadline=None, max_examples=15)
def test_chunks_of_the_log_in_any_order_make_the_same_site(seed: int, cut: int) -> None:
    log = random_log(seed, n_actions=120)
    first, second = log.take(slice(0, cut)), log.take(slice(cut, None))
    assert_same(site_at(joined(second, first), NOW, VECTORS), site_at(log, NOW, VECTORS))


def test_rows_of_some_users_are_those_of_the_whole_site() -> None:
    log = random_log(2)
    users = np.array([3, 8])
    whole, some = site_at(log, NOW, VECTORS), site_at(log, NOW, VECTORS, users=users)
    read = set(whole.reads.items[np.isin(whole.reads.users, users)].tolist())
    for item in range(log.n_items):
        ours, theirs = (slice(*site.rows.starts[item : item + 2]) for site in (some, whole))
        if item in read:
            np.testing.assert_array_equal(some.rows.values[ours], whole.rows.values[theirs])
        else:
            assert len(some.rows.items[ours]) == 0


def test_statistics_are_what_the_names_say() -> None:
    hours = NOW - np.array([50.0, 36.0, 10.0, 0.5]) * HOUR
    log = log_of([(0, 0, hours[0], -1.0), (0, 0, hours[1], 1.0), (1, 0, hours[2], 2.0), (1, 0, hours[3], 2.0)],
                 n_users=2, n_items=2)  # fmt: skip
    items = site_at(log, NOW, []).items
    assert items.popularity[0, HALF_LIVES_HOURS.index(36.0)] == pytest.approx(0.5 + 2 ** (-10 / 36))
    assert (items.first_seen[0], items.last_seen[0]) == (hours[0], hours[3])
    assert (items.first_seen[1], items.last_seen[1]) == (np.inf, -np.inf)
    assert items.readers.tolist() == [2.0, 0.0]
    assert items.mean_weight == pytest.approx([(4 + 5 * 1.0) / 9, 1.0])
    assert items.unique_share == pytest.approx([3 / 4, 1.0])
    assert items.idf == pytest.approx([np.log1p(2 / 3), np.log1p(2)])
    assert items.reach == pytest.approx([2 / np.log1p(2 / 3), 0.0])
    assert items.available.tolist() == [True, False]


def test_features_of_items_are_finite_also_where_nobody_has_met_them() -> None:
    log = random_log(4, n_items=50, n_actions=40)
    items = site_at(log, NOW, []).items
    features = global_features(items, NOW)
    assert not items.met.all()
    assert features.shape == (50, len(GLOBAL_NAMES))
    assert np.isfinite(features).all()
    assert features[:, GLOBAL_NAMES.index("age")][items.met] == pytest.approx(
        np.log1p((NOW - items.first_seen[items.met]) / DAY), rel=1e-5
    )


def test_a_sum_that_rounding_left_below_zero_counts_as_nothing() -> None:
    items = items_of([-1e-3, 0.0], [NOW - DAY] * 2)
    features = global_features(items, NOW)
    np.testing.assert_array_equal(features[0], features[1])


def test_the_pool_for_all_holds_the_popular_and_the_newest_that_may_be_shown() -> None:
    n = 400
    first_seen = [NOW - DAY * (1 + item) for item in range(n)]
    popularity = [float(item) for item in range(n)]
    pool = np.flatnonzero(shared_pool(items_of(popularity, first_seen)))
    assert pool.tolist() == [*range(50), *range(300, 400)]
    hidden = [item not in (0, 399) for item in range(n)]
    assert np.flatnonzero(shared_pool(items_of(popularity, first_seen, hidden))).tolist() == [
        *range(1, 51),
        *range(299, 399),
    ]


def test_what_nobody_has_met_is_in_no_pool_of_a_log() -> None:
    assert np.flatnonzero(shared_pool(items_of([1.0, 0.0], [NOW - DAY, np.inf]))).tolist() == [0]
