from collections.abc import Sequence

import numpy as np
import pytest

from lib.core.ranker.log import DAY, Log, make_log
from lib.core.taste import interest_half_life
from lib.core.taste.interest_half_life import HALF_LIVES_DAYS, choose_interest_half_life
from lib.core.taste.map_settings import Held, Replay, replay_of
from tests.core.ranker.logs import NOW, random_log
from tests.core.taste.sites import co_read_items, fashions_log

KINDS, OF_A_KIND = 8, 12


def turning_log(days_of_a_kind: float, *, n_users: int = 300, days: int = 60, seed: int = 1) -> Log:
    """Users who read one kind of items for so many days and then turn to another, all of them at different times."""
    random = np.random.default_rng(seed)
    n_actions = 40 * n_users
    users, ago = random.integers(0, n_users, n_actions), random.random(n_actions) * days
    turn = ((ago + users / n_users * days_of_a_kind) // days_of_a_kind).astype(int)
    kinds = random.integers(0, KINDS, (n_users, turn.max() + 1))[users, turn]
    ones = np.ones(n_actions)
    items = kinds * OF_A_KIND + random.integers(0, OF_A_KIND, n_actions)
    return make_log(users, items, NOW - ago * DAY, ones, ones > 0, n_users, KINDS * OF_A_KIND)


def chosen(log: Log, *, now: float = NOW, default_days: float = 30.0) -> float:
    return choose_interest_half_life(log, now, co_read_items, default_days=default_days)


def test_where_users_turn_to_other_things_soon_only_the_latest_count() -> None:
    assert chosen(turning_log(6.0)) <= 4.0


def test_where_users_stay_as_they_are_the_default_is_not_shortened() -> None:
    assert chosen(turning_log(1_000.0)) >= 30.0


@pytest.mark.parametrize("n_actions", [0, 1, 5, 40])
def test_a_site_with_little_to_learn_from_gets_the_default(n_actions: int) -> None:
    assert chosen(random_log(1, n_actions=n_actions), default_days=17.0) == 17.0


def test_nothing_from_after_now_counts() -> None:
    log, now = turning_log(6.0), NOW - 5 * DAY
    assert chosen(log, now=now) == chosen(log.before(now), now=now) != 30.0


def test_it_stops_when_it_may_not_continue(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []

    def replay_and_note(held: Held, *, half_life_seconds: float, evidence_half_lives_days: Sequence[float]) -> Replay:
        tried.append(half_life_seconds / DAY)
        return replay_of(held, half_life_seconds=half_life_seconds, evidence_half_lives_days=evidence_half_lives_days)

    monkeypatch.setattr(interest_half_life, "replay_of", replay_and_note)
    choose_interest_half_life(fashions_log(1), NOW, co_read_items, may_continue=lambda: len(tried) < 4)
    assert set(tried) < set(HALF_LIVES_DAYS)
    assert choose_interest_half_life(fashions_log(1), NOW, co_read_items, may_continue=lambda: False) == 30.0
