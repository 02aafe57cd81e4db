"""Contenders: whatever happens after they were chosen, the best are among them, or they say that they don't suffice."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.contenders import Choice, Met, choose, standings, suffice, touched
from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.pools import ALL, UNKNOWN, pool_of
from lib.core.popularity import carry, merge
from lib.core.ranker import site as site_module
from lib.core.ranker.site import everybodys_candidates, pool_sizes

N_HALF_LIVES = len(HALF_LIVES_HOURS)
HOUR = 3_600.0
NOW = 1_700_000_000.0
LANGUAGES = [None, "en", "de"]


@pytest.fixture(autouse=True, scope="module")
def few() -> object:
    """Three of each half-life and two of the newest."""
    patch = pytest.MonkeyPatch()
    patch.setattr(site_module, "_PER_HALF_LIFE", 3)
    patch.setattr(site_module, "_NEWEST", 2)
    yield
    patch.undo()


def drawn(rng: np.random.Generator, n: int) -> Met:
    """Many of them alike: equal sums and equal times, and some that are only disliked."""
    sums = np.sort(rng.integers(1, 4, (n, N_HALF_LIVES)).astype(float), axis=1)
    as_of = NOW - 40 * HOUR * rng.integers(0, 5, n).astype(float)
    disliked = rng.random(n) < 0.1
    sums[disliked], as_of[disliked] = 0.0, -np.inf
    first_seen = np.where(rng.random(n) < 0.8, NOW - 50 * HOUR * rng.integers(1, 9, n), -np.inf)
    first_seen[disliked] = NOW - 100 * HOUR
    return Met(
        content_ids=[f"{number:03}" for number in range(n)],
        languages=[LANGUAGES[index] for index in rng.choice(3, n, p=[0.1, 0.7, 0.2])],
        is_noted=rng.random(n) < 0.5,
        as_of=as_of,
        sums=sums,
        first_seen=first_seen,
    )


def taken(met: Met, rows: list[int]) -> Met:
    return Met(
        [met.content_ids[row] for row in rows],
        [met.languages[row] for row in rows],
        met.is_noted[rows],
        met.as_of[rows],
        met.sums[rows],
        met.first_seen[rows],
    )


def best(met: Met, now: float) -> list[str]:
    chosen = everybodys_candidates(carry(met.sums, met.as_of, now), met.first_seen)
    return [met.content_ids[row] for row in np.flatnonzero(chosen)]


def contenders_among(met: Met, held: set[tuple[str, str]], language: str | None) -> Met:
    """Those that a read of the language gets."""
    pools = {pool_of(language)} if language is None else {pool_of(language), UNKNOWN}
    return in_language(
        taken(met, [row for row, id_ in enumerate(met.content_ids) if any((pool, id_) in held for pool in pools)]),
        language,
    )


def in_language(met: Met, language: str | None) -> Met:
    return taken(met, [row for row, other in enumerate(met.languages) if language in (None, other)])


def acted_on(
    met: Met, rng: np.random.Generator, choice: Choice | None, *, at: float, gain: float, noted: int
) -> tuple[Met, set[tuple[str, str]]]:
    """A drain (or, of a negative gain, a forgetting) touches some, and one that is new; the languages of the first
    `noted` are noted."""
    new = drawn(rng, 1)
    new = replace(new, content_ids=[f"{len(met):03}"], first_seen=np.array([at]), as_of=np.array([at]))
    new.sums[:] = 1.0
    rows = np.flatnonzero((rng.random(len(met)) < 0.15) & np.isfinite(met.as_of))
    as_of, sums = met.as_of.copy(), met.sums.copy()
    gains = np.full((len(rows), N_HALF_LIVES), gain)
    as_of[rows], sums[rows] = merge(as_of[rows], sums[rows], np.full(len(rows), at), gains)
    met = Met(
        met.content_ids + new.content_ids,
        met.languages + new.languages,
        np.append(met.is_noted, False),
        np.append(as_of, new.as_of),
        np.concatenate([sums, new.sums]),
        np.append(met.first_seen, new.first_seen),
    )
    changed = [*rows.tolist(), len(met) - 1]
    found = touched(
        met.sums[changed],
        met.as_of[changed],
        [met.languages[row] if row < noted else None for row in changed],
        np.array([row == len(met) - 1 for row in changed]),
        None if choice is None else choice.bounds,
    )
    return met, {(pool, met.content_ids[changed[index]]) for pool, index in found}


@given(st.integers(0, 10_000), st.integers(2, 60), st.lists(st.sampled_from([1.0, 0.01, -0.5]), max_size=4))
@settings(max_examples=300, deadline=None)
def test_where_contenders_suffice_the_best_of_all_are_among_them(seed: int, n: int, gains: list[float]) -> None:
    rng = np.random.default_rng(seed)
    met = drawn(rng, n)
    choice = choose([met], pool_sizes())
    held, now = set(choice.contenders), NOW
    for gain in gains:
        now += 7 * HOUR * rng.random()
        met, added = acted_on(met, rng, choice, at=now, gain=gain, noted=n)
        held |= added
    shown = taken(met, np.flatnonzero(rng.random(len(met)) < 0.9).tolist())  # some have gone
    for language in LANGUAGES:
        contenders = contenders_among(shown, held, language)
        bounds = choice.bounds.get(pool_of(language), choice.bounds[ALL])
        if suffice(contenders, bounds, pool_sizes()):
            assert best(contenders, now) == best(in_language(shown, language), now)


@given(st.integers(0, 10_000), st.integers(2, 60))
@settings(max_examples=100, deadline=None)
def test_what_is_touched_while_a_choice_is_made_of_what_was_before_makes_it_right(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    before = drawn(rng, n)
    choice = choose([before], pool_sizes())
    met, added = acted_on(before, rng, None, at=NOW + HOUR, gain=1.0, noted=0)
    held = set(choice.contenders) | added
    for language in LANGUAGES:
        contenders = contenders_among(met, held, language)
        if pool_of(language) in choice.bounds and suffice(contenders, choice.bounds[pool_of(language)], pool_sizes()):
            assert best(contenders, NOW + HOUR) == best(in_language(met, language), NOW + HOUR)


@given(st.integers(0, 10_000), st.integers(0, 60), st.integers(1, 9))
@settings(max_examples=100, deadline=None)
def test_a_choice_is_the_same_in_whatever_parts_and_order_things_come(seed: int, n: int, parts: int) -> None:
    rng = np.random.default_rng(seed)
    met = drawn(rng, n)
    several = [taken(met, rows.tolist()) for rows in np.array_split(rng.permutation(n), parts)]
    whole, found = choose([met], pool_sizes()), choose(several, pool_sizes())
    assert (found.contenders, found.bounds) == (whole.contenders, whole.bounds)
    assert sorted(found.languages) == sorted(whole.languages)


@given(st.integers(0, 10_000))
@settings(max_examples=100, deadline=None)
def test_right_after_a_choice_its_contenders_suffice_in_every_pool(seed: int) -> None:
    met = drawn(np.random.default_rng(seed), 60)
    choice = choose([met], pool_sizes())
    for language in LANGUAGES:
        contenders = contenders_among(met, set(choice.contenders), language)
        assert suffice(contenders, choice.bounds[pool_of(language)], pool_sizes())


def test_of_many_few_are_contenders_and_few_become_so() -> None:
    """In each pool at most twice what is needed at each half-life and of the newest."""
    rng = np.random.default_rng(3)
    met = replace(drawn(rng, 2_000), first_seen=NOW - 1e6 * rng.random(2_000))
    met = replace(met, sums=met.sums * (1 + rng.random((2_000, 1))))
    choice = choose([met], pool_sizes())
    assert len(choice.contenders) <= len(choice.bounds) * 2 * sum(pool_sizes())
    _, added = acted_on(met, rng, choice, at=NOW, gain=0.001, noted=2_000)
    assert len(added - set(choice.contenders)) < 20


def test_few_are_all_contenders_without_a_bound() -> None:
    met = drawn(np.random.default_rng(0), 6)
    choice = choose([met], pool_sizes())
    assert choice.bounds[ALL] is None
    assert [content_id for pool, content_id in choice.contenders if pool == ALL] == met.content_ids


def test_a_language_that_is_not_noted_yet_is_to_be_noted() -> None:
    met = replace(drawn(np.random.default_rng(0), 3), languages=["en", None, "de"], is_noted=np.array([0, 0, 1]) > 0)
    assert choose([met], pool_sizes()).languages == [("000", "en"), ("001", None)]


@given(
    st.lists(st.tuples(st.floats(0.01, 1e6), st.floats(0, 1e4)), min_size=2, max_size=8),
    st.floats(0, 1e4),
)
def test_standings_order_as_popularity_does_at_any_time(contents: list[tuple[float, float]], hours: float) -> None:
    sums = np.outer([sum_ for sum_, _ in contents], np.ones(N_HALF_LIVES))
    as_of = NOW - HOUR * np.array([age for _, age in contents])
    later = carry(sums, as_of, NOW + hours * HOUR)
    for column, popularity in zip(standings(sums, as_of).T, later.T, strict=True):
        ordered = popularity[np.argsort(column, kind="stable")]
        assert np.all(np.diff(ordered) >= -1e-6 * ordered[1:] - 1e-300)  # nothing is left to compare below


def test_a_standing_is_when_the_sum_has_decayed_to_one() -> None:
    sums = np.array([[4.0] * N_HALF_LIVES, [0.0] * N_HALF_LIVES])
    found = standings(sums, np.array([NOW, -np.inf]))
    for half_life, standing in zip(HALF_LIVES_HOURS, found[0], strict=True):
        assert standing == (4.0 if math.isinf(half_life) else NOW + 2 * half_life * HOUR)
    assert np.all(found[1] <= 0)
