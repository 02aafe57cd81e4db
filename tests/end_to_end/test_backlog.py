"""A long list drains in many ticks, each in a process of its own. (scripts/soak --backlog 1000000 is the long version.)

A tick begins no batch in its last five seconds, so a short budget makes for many ticks.
"""

from local.soak.backlog import drain_backlog

ACTIONS = 60_000
BUDGET_SECONDS = 6.0  # some tenths of a second for batches
MOST_GROWTH = 1.15  # of the memory of a tick, from the first to the largest


def test_ticks_share_a_backlog_each_within_its_time_and_none_growing() -> None:
    report = drain_backlog(actions=ACTIONS, budget_seconds=BUDGET_SECONDS, progress=lambda _: None)

    working = [tick for tick in report.ticks if tick.summary["claimed"]]
    assert len(working) > 2
    assert max(tick.seconds for tick in working) < BUDGET_SECONDS
    assert max(tick.peak_mb for tick in working) < MOST_GROWTH * working[0].peak_mb
    assert sum(tick.summary["applied"] for tick in working) == report.rows == ACTIONS
    assert sum(tick.summary["duplicates"] for tick in working) == 0
    assert max(tick.summary["pending"] for tick in working) > 0
    assert working[-1].summary["pending"] == 0
    assert report.popularity_error < 1e-6
