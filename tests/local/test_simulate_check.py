"""scripts/simulate --measure and --check at a size that takes seconds: what can be counted must be right; times say
nothing here, and no test looks at them."""

import pytest

from local.simulate.measuring.check import Outcome, check
from local.simulate.measuring.main import measure
from local.simulate.measuring.processes import is_supported
from local.simulate.measuring.traffic import QUICK
from local.simulate.units import UnitCosts
from local.simulate.words import SCALARS, UNITS

pytestmark = pytest.mark.skipif(not is_supported(), reason="times of processes are read as Linux tells them")


@pytest.fixture(scope="module")
def costs() -> UnitCosts:
    return measure(quick=True, learning=False, progress=lambda _: None)


@pytest.fixture(scope="module")
def outcome(costs: UnitCosts) -> Outcome:
    return check(costs, QUICK, quick=True, progress=lambda _: None)


def test_everything_that_has_a_cost_is_measured(costs: UnitCosts) -> None:
    assert set(costs.units) == set(UNITS)
    assert set(costs.scalars) == set(SCALARS)
    assert all(value > 0 for value in costs.scalars.values())


def test_an_idle_tick_is_one_message_one_command_and_no_statement(costs: UnitCosts) -> None:
    tick = costs["tick"]
    assert (tick.messages, tick.invocations, tick.redis_commands) == (1, 1, 1)
    assert (tick.statements, tick.rows_written) == (0, 0)


def test_messages_calls_and_commands_are_as_the_model_says(outcome: Outcome) -> None:
    rows = {row.name: row for row in outcome.rows()}
    for name in ("messages", "invocations", "redis_commands"):
        assert rows[name].predicted == pytest.approx(rows[name].measured, rel=1e-6), name


def test_rows_are_as_the_model_says_but_for_who_chances_to_read_what(outcome: Outcome) -> None:
    predicted, measured = (part["traffic"] for part in (outcome.predicted, outcome.measured))
    assert predicted.rows_written == pytest.approx(measured.rows_written, rel=0.2)


def test_a_prediction_that_is_off_does_not_hold(outcome: Outcome) -> None:
    wrong = {part: 2.0 * usage for part, usage in outcome.predicted.items()}
    assert not Outcome(wrong, outcome.measured).holds
    assert Outcome(outcome.measured, outcome.measured).holds
