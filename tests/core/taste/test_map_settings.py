import dataclasses

import numpy as np
import pytest

from lib.core.embeddings import Floats, Vectors
from lib.core.ranker.log import DAY, Log
from lib.core.taste import map_settings
from lib.core.taste.learned_map import MapSettings
from lib.core.taste.map_settings import choose_map_settings
from tests.core.ranker.logs import NOW, random_log
from tests.core.taste.sites import HALF_LIFE, chains_log, co_read_items, fashions_log, scaled

DEFAULT = MapSettings()


def chosen(log: Log, *, now: float = NOW, default: MapSettings = DEFAULT) -> MapSettings:
    return choose_map_settings(log, now, co_read_items, half_life_seconds=HALF_LIFE, default=default)


def test_where_items_are_soon_forgotten_only_what_was_read_lately_counts() -> None:
    assert chosen(fashions_log(1)).evidence_half_life_days <= 1.5


def test_where_ways_never_change_all_the_log_counts() -> None:
    short = MapSettings(evidence_half_life_days=0.5)
    assert chosen(chains_log(1), default=short).evidence_half_life_days >= 4.0


@pytest.mark.parametrize("n_actions", [0, 1, 5, 40])
def test_a_site_with_little_to_learn_from_gets_the_default(n_actions: int) -> None:
    default = MapSettings(evidence_half_life_days=7.0, item_ridge=5.0)
    assert chosen(random_log(1, n_actions=n_actions), default=default) == default


def test_the_choice_is_the_same_on_a_clock_that_runs_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    log, factor = fashions_log(1), 4.0
    expected = chosen(log)
    grid = map_settings._GRIDS["evidence_half_life_days"]
    monkeypatch.setitem(map_settings._GRIDS, "evidence_half_life_days", tuple(factor * days for days in grid))
    found = choose_map_settings(
        scaled(log, factor),
        factor * NOW,
        co_read_items,
        half_life_seconds=factor * HALF_LIFE,
        default=dataclasses.replace(DEFAULT, evidence_half_life_days=factor * DEFAULT.evidence_half_life_days),
    )
    assert expected != DEFAULT
    assert found == dataclasses.replace(expected, evidence_half_life_days=factor * expected.evidence_half_life_days)


def test_nothing_from_after_now_counts() -> None:
    log, now = fashions_log(1), NOW - 5 * DAY
    assert chosen(log, now=now) == chosen(log.before(now), now=now)


@pytest.mark.parametrize(
    ("everything", "tail", "expected"),
    [
        pytest.param(1.1, 1.1, 0.5, id="better at both"),
        pytest.param(1.2, 0.6, 4.0, id="a list of what is popular"),
        pytest.param(0.9, 1.3, 0.5, id="a little worse at the popular, much better at the rest"),
    ],
)
def test_gains_are_weighed_as_shares_of_what_the_default_reaches(
    everything: float, tail: float, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stub:
        def ndcg(self, settings: MapSettings) -> Floats:
            shares = [everything, tail] if settings.evidence_half_life_days == 0.5 else [1.0, 1.0]
            return np.repeat(np.array([[0.4], [0.02]]) * np.array(shares)[:, None], 50, axis=1)

    monkeypatch.setattr(map_settings, "replay_of", lambda *_, **__: Stub())
    assert chosen(chains_log(1)).evidence_half_life_days == expected


def test_the_tail_is_without_the_most_read_items() -> None:
    log = fashions_log(1)
    held = map_settings.hold_back_latest(log, co_read_items, max_actions=len(log))
    assert held is not None
    left_out = (held.all_items.allowed & ~held.tail.allowed).any(axis=0)
    assert 0 < left_out.sum() < 10
    assert not (held.tail.read & left_out).any()


def test_item_vectors_are_learned_from_what_came_before_what_is_held_back() -> None:
    learned_from: list[Log] = []

    def learn_items(log: Log) -> Vectors:
        learned_from.append(log)
        return co_read_items(log)

    log = fashions_log(1)
    choose_map_settings(log, NOW, learn_items, half_life_seconds=HALF_LIFE)
    [earlier] = learned_from
    assert len(earlier) == pytest.approx(0.9 * len(log), abs=1)
    np.testing.assert_array_equal(earlier.times, log.times[: len(earlier)])


def test_a_long_log_is_replayed_by_some_of_its_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_settings, "_MAX_ACTIONS", 1_000)
    sizes: list[int] = []

    def learn_items(log: Log) -> Vectors:
        sizes.append(len(log))
        return co_read_items(log)

    choose_map_settings(fashions_log(1), NOW, learn_items, half_life_seconds=HALF_LIFE)
    assert 0 < sizes[0] < 1_200


def test_it_stops_when_it_may_not_continue() -> None:
    asked: list[bool] = []

    def may_continue() -> bool:
        asked.append(len(asked) < 2)
        return asked[-1]

    log = fashions_log(1)
    some = choose_map_settings(log, NOW, co_read_items, half_life_seconds=HALF_LIFE, may_continue=may_continue)
    assert some in (DEFAULT, MapSettings(evidence_half_life_days=0.5))
    assert asked[:3] == [True, True, False]
    none = choose_map_settings(log, NOW, _must_not_learn, half_life_seconds=HALF_LIFE, may_continue=lambda: False)
    assert none == DEFAULT


def _must_not_learn(_log: Log) -> Vectors:
    raise AssertionError("there was no time for that")
