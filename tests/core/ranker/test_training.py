import dataclasses
import json
import math
from collections.abc import Sequence

import numpy as np
import pytest

from lib.core.half_lives import DEFAULT_POSITION
from lib.core.ranker import replay, training
from lib.core.ranker.half_life import popular_scores
from lib.core.ranker.log import DAY
from lib.core.ranker.training import Trained, train, trained_as_json, trained_from_json
from tests.core.ranker.logs import (
    NOW,
    VECTORS,
    WINDOW,
    assert_same,
    community_log,
    drawn_by_popularity,
    log_of,
    random_log,
)


def stored(trained: Trained) -> Trained | None:
    return trained_from_json(json.loads(json.dumps(trained_as_json(trained), allow_nan=False)))


def test_a_site_of_communities_gets_a_ranker(trained: Trained) -> None:
    assert trained.model is not None
    assert trained.gain > 0.1
    assert trained.slices > 4
    assert trained.users > 300
    assert trained.window_seconds == WINDOW


def test_training_is_deterministic_and_uses_nothing_from_later(trained: Trained) -> None:
    log = community_log(1)
    later = dataclasses.replace(log, times=log.times + 30 * DAY)
    both = log_of(
        [(int(u), int(i), float(t), 1.0) for some in (log, later.between(NOW, NOW + DAY)) for u, i, t in
         zip(some.users, some.items, some.times, strict=True)],
        n_users=log.n_users, n_items=log.n_items,
    )  # fmt: skip
    assert len(both) > len(log)
    assert_same(train(both, NOW, WINDOW, VECTORS), trained)


@pytest.mark.parametrize("says", [0.0, 1.0])
def test_a_ranker_that_is_no_better_than_popularity_is_not_kept(says: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says nothing, and one that says what popularity says."""
    monkeypatch.setattr(
        training, "scores", lambda model, features, attributes, starts: says * popular_scores(features, 6.0)
    )
    found = train(drawn_by_popularity(1), NOW, WINDOW, VECTORS, position=6.0)
    assert found.gain == 0.0 if says else found.gain < 0.0
    assert found.model is None


def test_a_ranker_is_checked_on_a_window_that_it_was_not_fitted_to(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted_to: list[list[float]] = []

    def record(parts: Sequence[replay.Slice], _n_vectors: int) -> None:
        fitted_to.append([part.time for part in parts])

    monkeypatch.setattr(training, "fitted", record)
    assert math.isnan(train(community_log(1), NOW, WINDOW, VECTORS, position=2.0).gain)
    [older] = fitted_to
    assert max(older) == NOW - 2 * WINDOW


@pytest.mark.parametrize(("gain", "error", "is_kept"), [(0.1, 0.0, True), (-0.01, 0.02, True), (-0.03, 0.02, False)])
def test_a_ranker_within_one_standard_error_of_popularity_is_kept(
    gain: float, error: float, is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "validated_gain", lambda *_: (gain, error))
    assert (train(drawn_by_popularity(1), NOW, WINDOW, VECTORS, position=6.0).model is not None) == is_kept


def test_the_error_of_the_gain_is_that_of_a_mean_over_all_who_were_replayed() -> None:
    parts = replay.slices(community_log(1), NOW, WINDOW, VECTORS)
    gain, error = training.validated_gain(parts, WINDOW, 2.0, 1)
    assert 0.0 < error < gain
    latest = dataclasses.replace(
        parts[0], n_sampled=4 * parts[0].n_sampled
    )  # thrice as many who read nothing of theirs
    diluted, smaller = training.validated_gain([latest, *parts[1:]], WINDOW, 2.0, 1)
    assert diluted == pytest.approx(gain / 4)
    assert smaller < error


def test_a_ranker_has_little_to_gain_where_all_read_by_the_same_popularity() -> None:
    found = train(drawn_by_popularity(1), NOW, WINDOW, VECTORS)
    assert math.isfinite(found.gain)
    assert found.gain < 0.03
    assert (found.model is not None) or found.gain < 0


@pytest.mark.parametrize("n_actions", [0, 1, 5, 60])
@pytest.mark.parametrize(("n_users", "n_items"), [(1, 1), (1, 9), (9, 1), (9, 9)])
def test_a_small_log_has_no_ranker(n_actions: int, n_users: int, n_items: int) -> None:
    found = train(random_log(1, n_users=n_users, n_items=n_items, n_actions=n_actions), NOW, WINDOW, VECTORS)
    assert found.model is None
    assert math.isnan(found.gain)


def test_a_position_that_is_given_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(training, "choose_position")
    assert train(random_log(1), NOW, WINDOW, VECTORS, position=3.25).position == 3.25


def test_no_slice_is_begun_after_the_deadline() -> None:
    left = [True] * 3

    def may_continue() -> bool:
        return bool(left) and left.pop()

    log = community_log(1)
    assert train(log, NOW, WINDOW, VECTORS, position=2.0, may_continue=may_continue).slices == 3
    late = train(log, NOW, WINDOW, VECTORS, may_continue=lambda: False)
    assert (late.position, late.slices, late.model) == (DEFAULT_POSITION, 0, None)


def test_a_user_counts_by_the_root_of_what_he_read_of_his_candidates() -> None:
    part = replay.slices(community_log(1), NOW, WINDOW, VECTORS)[0]
    hits = np.add.reduceat(part.examples.gains > 0, part.examples.starts, dtype=float)
    assert hits.max() > 2
    assert (hits <= part.counts).all()
    np.testing.assert_allclose(np.add.reduceat(part.examples.gains, part.examples.starts), np.sqrt(hits), rtol=1e-5)


def test_of_older_slices_a_sample_of_what_was_not_read_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    log = community_log(1)
    monkeypatch.setattr(replay, "_UNREAD", 20)
    sampled = replay.slices(log, NOW, WINDOW, VECTORS)
    monkeypatch.setattr(replay, "_UNREAD", 10_000)
    whole = replay.slices(log, NOW, WINDOW, VECTORS)
    assert len(sampled[0].examples.gains) == len(whole[0].examples.gains)
    for few, many in zip(sampled[1:], whole[1:], strict=True):
        assert len(few.examples.gains) < 0.4 * len(many.examples.gains)
        np.testing.assert_array_equal(
            few.examples.gains[few.examples.gains > 0], many.examples.gains[many.examples.gains > 0]
        )
        assert len(few.examples) == len(many.examples)


def test_fewer_users_are_replayed_where_their_features_would_take_too_much_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = replay.slices(community_log(1), NOW, WINDOW, VECTORS)
    for limit in ("_CELLS", "_CELLS_TO_VALIDATE"):
        monkeypatch.setattr(replay, limit, 100_000)
    parts = replay.slices(community_log(1), NOW, WINDOW, VECTORS)
    assert 0 < parts[0].examples.features.size < 100_000 < whole[0].examples.features.size
    assert 0 < sum(part.examples.features.size for part in parts[1:]) < 100_000


def test_what_was_trained_comes_back_from_json_to_the_last_bit(trained: Trained) -> None:
    found = stored(trained)
    assert found is not None
    assert_same(found, trained)


def test_popularity_alone_comes_back_from_json() -> None:
    found = stored(Trained(2.25, None, math.nan, 0, 0, 60.0))
    assert found is not None
    assert (found.position, found.model, math.isnan(found.gain)) == (2.25, None, True)


def test_a_ranker_of_other_features_is_not_taken(trained: Trained) -> None:
    document = trained_as_json(trained)
    names = document["model"]["names"]
    for other in (names[1:], [*names[:-1], "other"], names[::-1]):
        assert trained_from_json({**document, "model": {**document["model"], "names": other}}) is None
