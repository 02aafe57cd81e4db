import pytest

from lib.core.ranker.log import DAY, Log, Vectors
from lib.core.taste import circle_settings
from lib.core.taste.circle_settings import choose_circle_reads
from tests.core.ranker.logs import NOW, random_log
from tests.core.taste.sites import HALF_LIFE, circles_site, random_vectors, scaled

Site = tuple[Log, Vectors, Vectors]


def chosen(site: Site, *, now: float = NOW, half_life: float = HALF_LIFE, default: float = 8.0) -> float:
    return choose_circle_reads(*(site[0], now, site[1], site[2]), half_life_seconds=half_life, default=default)


def test_the_circle_counts_for_much_where_it_tells_what_is_read() -> None:
    assert chosen(circles_site(1), default=0.0) > 0.0


@pytest.mark.parametrize("follow", [0.9, 0.5])
def test_it_stays_at_the_default_where_another_makes_no_clear_difference(follow: float) -> None:
    assert chosen(circles_site(1, follow=follow)) == 8.0


@pytest.mark.parametrize("n_actions", [0, 1, 5, 40])
def test_a_site_with_little_to_learn_from_gets_the_default(n_actions: int) -> None:
    log = random_log(1, n_actions=n_actions)
    assert chosen((log, random_vectors(30, 5), random_vectors(30, 4)), default=3.0) == 3.0


def test_the_choice_is_the_same_on_a_clock_that_runs_faster() -> None:
    log, content, vectors = circles_site(1)
    faster = chosen((scaled(log, 4.0), content, vectors), now=4 * NOW, half_life=4 * HALF_LIFE, default=0.0)
    assert faster == chosen((log, content, vectors), default=0.0)


def test_nothing_from_after_now_counts() -> None:
    site = circles_site(1)
    assert chosen(site, now=NOW - 29 * DAY, default=0.0) == 0.0  # too few had read anything new
    assert chosen(site, now=NOW, default=0.0) > 0.0


def test_a_long_log_is_replayed_by_some_of_its_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circle_settings, "_MAX_ACTIONS", 300)
    assert chosen(circles_site(1), default=0.0) == 0.0  # of too few users


def test_it_stops_when_it_may_not_continue() -> None:
    log, content, vectors = circles_site(1)
    asked: list[bool] = []

    def may_continue() -> bool:
        asked.append(len(asked) < 3)
        return asked[-1]

    some = choose_circle_reads(
        log, NOW, content, vectors, half_life_seconds=HALF_LIFE, default=0.0, may_continue=may_continue
    )
    assert some in (0.0, 1.0, 2.0)
    assert asked == [True, True, True, False]
