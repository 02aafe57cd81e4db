"""Drains are killed at every point of their work, at least 200 of them, while an app pushes and users read."""

import subprocess
import sys

import pytest

from local.functions import ROOT
from local.soak.kill_points import POINTS
from local.soak.nursery import ANY_MOMENT
from local.soak.report import Report
from local.soak.run import soak

KILLS = 220
MOST_SECONDS = 240.0
LEAST_KILLS_A_POINT = 4


@pytest.fixture(scope="module")
def report() -> Report:
    """Of one run, which every test here looks at."""
    return soak(kills=KILLS, seconds=MOST_SECONDS, seed=20261125, progress=lambda *_: None)


def test_drains_died_at_every_point_and_others_took_their_batches_over(report: Report) -> None:
    assert report.kills.total() >= KILLS  # two may die in the same moment
    assert report.kills.keys() == {*POINTS, ANY_MOMENT}
    assert min(report.kills.values()) >= LEAST_KILLS_A_POINT
    assert report.claimed_again > 0


def test_every_distinct_action_is_in_the_log_exactly_once(report: Report) -> None:
    assert report.repeated > 0
    assert report.actions == report.distinct > KILLS
    assert (report.wrong["lost"], report.wrong["applied twice"]) == (0, 0)


def test_every_unreadable_element_is_a_dead_letter_exactly_once(report: Report) -> None:
    assert (report.wrong["dead letters lost"], report.wrong["dead letters kept twice"]) == (0, 0)


def test_stored_popularity_equals_the_one_recomputed_from_the_log(report: Report) -> None:
    assert report.wrong["popularity off"] == 0


def test_no_cached_list_is_older_than_its_users_last_action(report: Report) -> None:
    assert report.cached_lists > 0
    assert report.wrong["stale cached lists"] == 0


def test_nothing_is_left_in_flight_and_no_tick_was_published_twice(report: Report) -> None:
    assert report.ticks > 0
    assert (report.wrong["keys left in flight"], report.wrong["ticks published twice"]) == (0, 0)


def test_the_soak_script_prints_the_count_and_its_verdict() -> None:
    command = [sys.executable, "-c", "import sys; from local.soak.command import main; sys.exit(main())", "--kills=8"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "8 kills at" in run.stdout
    assert "✅ lost: 0" in run.stdout
    assert "❌" not in run.stdout
