import dataclasses
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.embeddings import unit_rows
from lib.core.exploration import with_discovery
from lib.core.half_lives import DEFAULT_POSITION
from lib.core.ranker import personal_pool
from lib.core.ranker import site as site_module
from lib.core.ranker.features import candidates_of, feature_names
from lib.core.ranker.half_life import popular_scores
from lib.core.ranker.log import DAY, HOUR, Log
from lib.core.ranker.profiles import profiles_of
from lib.core.ranker.serving import Arrangement, Ranked, rank_users
from lib.core.ranker.similar import most_similar
from lib.core.ranker.site import Site, site_at
from lib.core.ranker.softmax_ranker import scores
from lib.core.ranker.training import Trained
from lib.core.taste.new_items import UserTastes
from tests.core.ranker.logs import NOW, VECTORS, assert_same, community_log, log_of, part_of, random_log
from tests.core.ranker.test_features import personal_items

WITHOUT_MODEL = Trained(DEFAULT_POSITION, None, float("nan"), 0, 0, DAY)
USERS = np.arange(0, 120, 7)


@pytest.fixture(scope="module")
def log() -> Log:
    return community_log(1)


@pytest.fixture(scope="module")
def site(log: Log) -> Site:
    return site_at(log, NOW, VECTORS)


@pytest.mark.parametrize("has_model", [True, False])
def test_a_site_of_some_items_ranks_as_the_whole(
    log: Log, trained: Trained, has_model: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_module, "_PER_HALF_LIFE", 3)
    monkeypatch.setattr(site_module, "_NEWEST", 3)
    monkeypatch.setattr(personal_pool, "_PER_CHANNEL", 5)
    chosen = trained if has_model else WITHOUT_MODEL
    site = site_at(log, NOW, VECTORS)
    users = USERS[:3]
    kept = np.union1d(np.flatnonzero(site.pool), personal_items(site, users))
    kept = np.union1d(kept, profiles_of(site.reads, users).items)
    assert len(kept) < len(site.items)
    whole = rank_users(site, chosen, users, n=30)
    for ranked, expected in zip(rank_users(part_of(site, kept), chosen, users, n=30), whole, strict=True):
        similar = np.where(ranked.similar_to >= 0, kept[ranked.similar_to], -1)
        assert_same(dataclasses.replace(ranked, items=kept[ranked.items], similar_to=similar), expected)


@given(seed=st.integers(0, 10_000), n=st.integers(0, 40), hidden=st.sets(st.integers(0, 29)), has_model=st.booleans())
@settings(deadline=None, max_examples=30)
def test_lists_hold_nothing_seen_unavailable_or_twice(
    trained: Trained, seed: int, n: int, hidden: set[int], has_model: bool
) -> None:
    site = site_at(random_log(seed), NOW, VECTORS)
    site.items.available[list(hidden)] = False
    shown = set(np.flatnonzero(site.items.available).tolist())
    for user, ranked in enumerate(rank_users(site, trained if has_model else WITHOUT_MODEL, np.arange(20), n=n)):
        seen = site.seen_items[site.seen_starts[user] : site.seen_starts[user + 1]].tolist()
        items = ranked.items.tolist()
        assert set(items) <= shown - set(seen)
        assert len(items) == len(set(items)) == min(n, len(shown - set(seen)))
        assert len(ranked.scores) == len(ranked.sources) == len(ranked.similar_to) == len(items)
        assert np.isfinite(ranked.scores).all()
        assert (np.diff(np.delete(ranked.scores, slice(19, 20))) <= 0).all()  # but for the discovery


def test_users_with_reads_are_ranked_by_the_model(site: Site, trained: Trained) -> None:
    assert trained.model is not None
    candidates = candidates_of(site, np.array([7]))
    values = scores(trained.model, candidates.features, candidates.attributes, candidates.starts)
    best = candidates.items[np.argsort(-values, kind="stable")[:19]]
    [ranked] = rank_users(site, trained, np.array([7]), n=19)
    np.testing.assert_array_equal(ranked.items, best)
    np.testing.assert_allclose(ranked.scores, np.sort(values)[::-1][:19], atol=1e-4)
    assert (ranked.items[:5] % 8 == 7).all()  # of the user's own community


def test_a_user_without_reads_gets_the_popular_at_the_position(trained: Trained) -> None:
    log = community_log(2)
    log = dataclasses.replace(log, n_users=log.n_users + 1)
    site, newcomer = site_at(log, NOW, VECTORS), np.array([log.n_users - 1])
    for some in (trained, WITHOUT_MODEL):
        [ranked] = rank_users(site, dataclasses.replace(some, position=3.0), newcomer, n=10)
        popularity = site.items.popularity[:, 3]
        assert ranked.items.tolist() == np.argsort(-popularity, kind="stable")[:10].tolist()
        assert set(ranked.sources) <= {"trending", "popular"}
        assert (ranked.similar_to == -1).all()


def test_without_a_model_the_fixed_blend_decides(site: Site) -> None:
    user = np.array([14])
    candidates = candidates_of(site, user)
    cosines = candidates.features[:, -1]
    popularity = popular_scores(candidates.features, DEFAULT_POSITION).astype(float)
    similar, popular = ((values - values.mean()) / values.std() for values in (cosines.astype(float), popularity))
    expected = similar + 2.0 * popular
    [ranked] = rank_users(site, WITHOUT_MODEL, user, n=15)
    np.testing.assert_allclose(ranked.scores, np.sort(expected)[::-1][:15], atol=1e-3)


def test_without_a_model_and_vectors_popularity_decides(log: Log) -> None:
    site = site_at(log, NOW, [])
    [ranked] = rank_users(site, WITHOUT_MODEL, np.array([14]), n=15)
    candidates = candidates_of(site, np.array([14]))
    popular = popular_scores(candidates.features, DEFAULT_POSITION)
    assert ranked.items.tolist() == candidates.items[np.argsort(-popular, kind="stable")[:15]].tolist()
    assert "personal" not in ranked.sources


def test_a_model_that_does_not_know_the_sites_vectors_is_not_used(log: Log, trained: Trained) -> None:
    assert trained.model is not None
    assert len(trained.model.mean) == len(feature_names(1))
    site = site_at(log, NOW, VECTORS * 2)
    for mine, yours in zip(
        *(rank_users(site, some, USERS, n=9) for some in (trained, dataclasses.replace(trained, model=None))),
        strict=True,
    ):
        assert_same(mine, yours)


def test_the_lower_index_comes_first_among_equals(trained: Trained) -> None:
    """Odd items have two readers, even ones one; all were read at the same time."""
    actions = [(user, item, NOW - HOUR, 1.0) for item in range(60) for user in range(1 + item % 2)]
    for some in (trained, WITHOUT_MODEL):
        [ranked] = rank_users(site_at(log_of(actions, n_users=3, n_items=60), NOW, VECTORS), some, np.array([2]), n=45)
        assert ranked.items.tolist() == [*range(1, 60, 2), *range(0, 30, 2)]


def test_the_twentieth_place_goes_to_what_his_like_read_more_than_all_do(site: Site, trained: Trained) -> None:
    for user, ranked in zip(USERS, rank_users(site, trained, USERS, n=1_000), strict=True):
        candidates = candidates_of(site, np.array([user]))
        knn, lift = (candidates.features[:, feature_names(0).index(name)] for name in ("knn", "lift30d"))
        signal = np.full(len(site.items), -np.inf)
        signal[candidates.items] = np.where(knn > 0, lift, -np.inf)
        assert ranked.scores[19] <= ranked.scores[20]
        assert signal[ranked.items[19]] >= signal[ranked.items[21:120]].max() > -np.inf
        assert sorted(ranked.items.tolist()) == candidates.items.tolist()


@given(st.lists(st.sampled_from([-np.inf, 0.5, 1.0]), max_size=40), st.randoms(use_true_random=False))
def test_a_discovery_moves_one_item_and_the_first_of_equals(worth: list[float], random: Random) -> None:
    order = np.array(random.sample(range(len(worth)), len(worth)), np.intp)
    signal = np.array(worth, np.float32)
    found = with_discovery(order, signal).tolist()
    later = order[20:].tolist()
    best = max(later, key=lambda item: signal[item], default=None)
    if best is None or np.isneginf(signal[best]):
        assert found == order.tolist()
    else:
        assert found == [*order[:19], best, *(item for item in order[19:] if item != best)]


def ranked_by_source(site: Site, user: int) -> dict[int, str]:
    [ranked] = rank_users(site, WITHOUT_MODEL, np.array([user]), n=100)
    return dict(zip(ranked.items.tolist(), ranked.sources, strict=True))


def test_sources_say_what_spoke_for_an_item() -> None:
    """Item 0 was read by everybody long ago, 1 by some today, 2 rejected by all, 3 by whom the reader of 4 is like."""
    actions = [
        *((user, 0, NOW - 300 * DAY, 1.0) for user in range(1, 12)),
        *((user, 1, NOW - HOUR, 1.0) for user in range(1, 6)),
        (12, 2, NOW - DAY, -1.0),
        *((user, item, NOW - 40 * DAY, 1.0) for user in (13, 14, 15) for item in (3, 4)),
        (0, 4, NOW - 30 * DAY, 1.0),
    ]
    found = ranked_by_source(site_at(log_of(actions, n_users=17, n_items=5), NOW, VECTORS), 0)
    assert found == {0: "popular", 1: "trending", 2: "new", 3: "personal"}


def test_a_personal_item_names_the_read_that_speaks_for_it(site: Site, trained: Trained) -> None:
    actions = [
        *((user, item, NOW - 5 * DAY - item, 1.0) for user in range(1, 9) for item in (0, 1)),
        *((user, item, NOW - 5 * DAY - item, 1.0) for user in range(9, 17) for item in (2, 3)),
        (0, 0, NOW - 2 * DAY, 1.0),
        (0, 2, NOW - DAY, 1.0),
    ]
    small = site_at(log_of(actions, n_users=17, n_items=4), NOW, VECTORS)
    profile = profiles_of(small.reads, np.array([0]))
    assert most_similar(small, profile, np.array([3, 1])).tolist() == [2, 0]
    for user, ranked in zip(USERS, rank_users(site, trained, USERS, n=20), strict=True):
        reads = profiles_of(site.reads, np.array([user])).items
        for source, similar in zip(ranked.sources, ranked.similar_to, strict=True):
            assert (similar in reads) if source == "personal" else similar == -1
    assert "personal" in ranked.sources


def test_what_nobody_has_met_has_one_place_a_page_and_comes_after_all_that_the_ranker_knows(trained: Trained) -> None:
    log = dataclasses.replace(community_log(3, n_items=80), n_items=90)
    site = site_at(log, NOW, VECTORS)
    site.items.available[80:] = True
    site.pool[80:] = True
    assert trained.model is not None
    likes_the_unpopular = dataclasses.replace(trained.model, weights=-trained.model.weights)
    [ranked] = rank_users(site, dataclasses.replace(trained, model=likes_the_unpopular), np.array([5]), n=90)
    places = np.flatnonzero(ranked.items >= 80)
    assert ranked.items[places].tolist() == list(range(80, 90))
    assert {ranked.sources[place] for place in places} == {"new"}
    n = len(ranked.items)
    kept = list(range(9, n - 10, 20))  # for them, while there is anything else
    assert places[: len(kept)].tolist() == kept
    assert places[len(kept) :].tolist() == list(range(n - 10 + len(kept), n))
    assert np.isfinite(ranked.scores).all()


@pytest.mark.parametrize("has_model", [True, False])
def test_what_nobody_has_met_comes_by_each_ones_taste_and_the_lower_index_where_that_says_nothing(
    trained: Trained, has_model: bool
) -> None:
    """The last user has read nothing. Nothing is known of what 86 and 89 are about, and nothing of user 5's taste."""
    log = community_log(3, n_items=80)
    log = dataclasses.replace(log, n_items=90, n_users=log.n_users + 1)
    site = site_at(log, NOW, VECTORS)
    site.items.available[80:] = True
    site.pool[80:] = True
    random = np.random.default_rng(1)
    users, content = (unit_rows(random.standard_normal((n, 3))) for n in (log.n_users, 90))
    content[[86, 89]] = 0.0
    users[5] = 0.0
    chosen = np.array([0, 5, log.n_users - 1])
    lists = rank_users(
        site,
        trained if has_model else WITHOUT_MODEL,
        chosen,
        n=90,
        arrangement=Arrangement(UserTastes(users, content), new_per_page=2),
    )
    for user, ranked in zip(chosen, lists, strict=True):
        is_new = ranked.items >= 80
        fits = content[80:] @ users[user]
        assert ranked.items[is_new].tolist() == (80 + np.argsort(-fits, kind="stable")).tolist()
        lowest = ranked.scores[~is_new].min()
        np.testing.assert_allclose(ranked.scores[is_new], lowest - 2.0 + np.sort(fits)[::-1], atol=1e-5)
        assert np.flatnonzero(is_new)[:4].tolist() == [4, 14, 24, 34]
    assert lists[1].items[lists[1].items >= 80].tolist() == list(range(80, 90))


@pytest.mark.parametrize("n_actions", [0, 1, 5])
@pytest.mark.parametrize(("n_users", "n_items"), [(1, 1), (1, 9), (9, 1)])
def test_small_sites_have_short_lists(trained: Trained, n_actions: int, n_users: int, n_items: int) -> None:
    site = site_at(random_log(1, n_users=n_users, n_items=n_items, n_actions=n_actions), NOW, VECTORS)
    for some in (trained, WITHOUT_MODEL):
        lists: list[Ranked] = rank_users(site, some, np.arange(n_users), n=5)
        assert len(lists) == n_users
        assert all(len(ranked.items) <= min(5, n_items) for ranked in lists)
    assert rank_users(site, WITHOUT_MODEL, np.arange(0), n=5) == []


def test_popularity_columns_are_those_that_the_product_keeps(site: Site) -> None:
    assert site.items.popularity.shape == (len(site.items), len(HALF_LIVES_HOURS))
    assert feature_names(0)[: len(HALF_LIVES_HOURS)] == (
        "pop0.125d", "pop0.5d", "pop1.5d", "pop4d", "pop12d", "pop40d", "popinfd",
    )  # fmt: skip
