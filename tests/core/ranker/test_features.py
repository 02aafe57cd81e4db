import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.ranker import features, personal_pool
from lib.core.ranker.features import candidates_of, feature_names
from lib.core.ranker.log import DAY, Indices, first_reads
from lib.core.ranker.neighbours import CHANNELS, Rows
from lib.core.ranker.personal_pool import profile_sums
from lib.core.ranker.profiles import ATTRIBUTE_NAMES, profiles_of
from lib.core.ranker.reads import UserReads
from lib.core.ranker.site import Site, site_at
from tests.core.ranker.logs import NOW, VECTORS, assert_same, log_of, random_log

USERS = np.arange(20)
seeds = st.integers(0, 10_000)


def random_site(seed: int) -> Site:
    return site_at(random_log(seed), NOW, VECTORS)


def personal_items(site: Site, users: Indices) -> Indices:
    """What production finds before it builds a site, from rows of the items in profiles, which it numbers itself."""
    profile = profiles_of(site.reads, users)
    read, numbers = np.unique(profile.items, return_inverse=True)
    lengths = np.diff(site.rows.starts)[read]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    entries = np.concatenate([np.arange(a, a + k) for a, k in zip(site.rows.starts[read], lengths, strict=True)])
    rows = Rows(starts, site.rows.items[entries], site.rows.values[entries])
    reads = UserReads(
        profile.users, numbers, profile.times, np.cumsum(np.bincount(profile.users, minlength=len(users)))
    )
    sums = profile_sums(profiles_of(reads, np.arange(len(users))), rows, site.items.idf[read])
    return np.unique(sums.items[personal_pool.personal_pool(sums)])


@given(seeds)
@settings(deadline=None, max_examples=10)
def test_the_rows_of_profiles_alone_say_what_to_fetch(seed: int) -> None:
    site = random_site(seed)
    site.pool[:] = False
    candidates = candidates_of(site, USERS)
    assert set(candidates.items.tolist()) <= set(personal_items(site, USERS).tolist())


def test_the_best_neighbours_of_each_channel_are_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personal_pool, "_PER_CHANNEL", 3)
    site = random_site(1)
    sums = profile_sums(profiles_of(site.reads, USERS), site.rows, site.items.idf)
    chosen = personal_pool.personal_pool(sums)
    for user in USERS:
        own = np.flatnonzero(sums.users == user)
        best = set()
        for channel in (0, 1, 3, 4):
            values = sums.values[own, channel]
            best |= {own[k] for k in sorted(range(len(own)), key=lambda k, v=values: (-v[k], k))[:3] if values[k] > 0}  # type: ignore[misc]
        assert set(own[chosen[own]].tolist()) == best


def test_what_a_channel_says_nothing_of_is_no_candidate_of_it() -> None:
    values = np.zeros((50, len(CHANNELS)), np.float32)
    values[:3, :4] = 1.0
    values[10, 4] = 0.5
    sums = personal_pool.Sums(np.zeros(50, np.intp), np.arange(50), values)
    assert np.flatnonzero(personal_pool.personal_pool(sums)).tolist() == [0, 1, 2, 10]


@given(seeds)
@settings(deadline=None, max_examples=10)
def test_candidates_are_finite_distinct_unseen_and_available(seed: int) -> None:
    site = random_site(seed)
    site.items.available[::3] = False
    candidates = candidates_of(site, USERS)
    assert candidates.features.shape == (len(candidates.items), len(feature_names(1)))
    assert np.isfinite(candidates.features).all()
    assert np.isfinite(candidates.attributes).all()
    assert site.items.available[candidates.items].all()
    ends = np.append(candidates.starts[1:], len(candidates.items))
    for user, start, end in zip(USERS, candidates.starts, ends, strict=True):
        seen = site.seen_items[site.seen_starts[user] : site.seen_starts[user + 1]]
        assert (np.diff(candidates.items[start:end]) > 0).all()
        assert not np.isin(candidates.items[start:end], seen).any()


def test_it_does_not_matter_who_else_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    site = random_site(2)
    whole = candidates_of(site, USERS)
    monkeypatch.setattr(features, "_USERS_AT_ONCE", 3)
    assert_same(candidates_of(site, USERS), whole)
    alone = candidates_of(site, np.array([7]))
    own = slice(whole.starts[7], whole.starts[8])
    np.testing.assert_array_equal(alone.items, whole.items[own])
    np.testing.assert_allclose(alone.features, whole.features[own], atol=1e-6)


def test_personal_features_are_what_their_names_say() -> None:
    """Against the definitions: the popularity of each item among all users, by how alike they are."""
    log = random_log(3, n_actions=150)
    site = site_at(log, NOW, VECTORS)
    reads = first_reads(log)
    user = 4
    names = feature_names(1)
    candidates = candidates_of(site, np.array([user]))
    profile = profiles_of(site.reads, np.array([user]))
    taste = np.zeros(log.n_items)
    taste[profile.items] = profile.weights * site.items.idf[profile.items]
    others = np.zeros((log.n_users, log.n_items))
    others[reads.users, reads.items] = site.items.idf[reads.items]
    lengths = np.linalg.norm(others, axis=1)
    alike = others @ taste / np.linalg.norm(taste) / np.where(lengths > 0, lengths, 1.0)
    mean = alike.sum() / site.n_readers
    decays = 2 ** (-(NOW - reads.times) / (3 * DAY))
    cohort = np.bincount(reads.items, decays * alike[reads.users], log.n_items)
    everybody = np.bincount(reads.items, decays, log.n_items)
    expected = np.log((cohort + 2 * mean + 0.02) / (mean * (everybody + 2) + 0.02))
    column = candidates.features[:, names.index("lift3d")]
    np.testing.assert_allclose(column, expected[candidates.items], atol=1e-4)
    vector = (profile.weights[:, None] * site.items.vectors[0][profile.items]).sum(axis=0)
    cosines = site.items.vectors[0] @ vector / np.linalg.norm(vector)
    np.testing.assert_allclose(candidates.features[:, names.index("cosine0")], cosines[candidates.items], atol=1e-5)


def test_a_profile_is_the_latest_reads_each_worth_less_the_more_followed() -> None:
    log = log_of([(0, item, NOW - 100 + item, 1.0) for item in range(60)], n_users=2, n_items=60)
    profile = profiles_of(site_at(log, NOW, []).reads, np.array([1, 0]))
    assert profile.n_reads.tolist() == [0.0, 60.0]
    assert profile.users.tolist() == [1] * 50
    assert profile.items.tolist() == list(range(10, 60))
    np.testing.assert_allclose(profile.weights, 2.0 ** (-np.arange(49, -1, -1) / 8))


def test_attributes_say_what_kind_of_reader_a_user_is() -> None:
    log = log_of(
        [(1, 0, NOW - 9 * DAY, 1.0), (0, 0, NOW - 2 * DAY, 1.0), (0, 1, NOW - 2 * DAY, 1.0)], n_users=3, n_items=2
    )
    found = candidates_of(site_at(log, NOW, []), np.array([0, 2])).attributes
    weights = np.array([2 ** (-1 / 8), 1.0])
    means = [weights @ values / weights.sum() for values in (np.log1p([7.0, 0.0]), np.log1p([2.0, 1.0]))]
    assert ATTRIBUTE_NAMES == ("reads_new", "reads_popular", "n_reads", "absent")
    np.testing.assert_allclose(found[0], [*means, np.log1p(2), np.log1p(2)], rtol=1e-5)
    assert not found[1].any()
