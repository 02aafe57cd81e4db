"""Nothing of scripts/dev outlives it, however it ends, and its data does."""

import signal
from collections.abc import Iterator

import pytest

from tests.end_to_end.checkout import FAST_TICKS, Checkout, copied
from tests.support import eventually

PARTS = ("valkey-server", "-m local.functions", "postgres: ", "local/tether.py")


@pytest.fixture(scope="module")
def used() -> Iterator[Checkout]:
    """One copy for all: the database cluster is made once."""
    with copied() as checkout:
        yield checkout


@pytest.fixture
def shared(used: Checkout) -> Iterator[Checkout]:
    """That copy, with nothing running in it."""
    yield used
    used.kill_everything()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_process_is_left_five_seconds_after(shared: Checkout, number: signal.Signals) -> None:
    dev = shared.run("--no-sample", variables=FAST_TICKS).wait_until_ready()
    commands = shared.processes().values()
    for part in PARTS:
        assert any(part in command for command in commands), f"{part} does not run"

    dev.process.send_signal(number)

    eventually(lambda: not shared.processes(), timeout=5)
    assert dev.process.wait() == (-number if number == signal.SIGKILL else 0)
    assert "Traceback" not in dev.output


def test_ctrl_c_while_the_servers_start_leaves_nothing_either(checkout: Checkout) -> None:
    dev = checkout.run()
    eventually(lambda: any("initdb" in command for command in checkout.processes().values()))
    assert dev.end(signal.SIGINT) == 0
    assert checkout.processes() == {}
    assert "Traceback" not in dev.output


def test_sample_traffic_is_fed_and_a_fresh_start_forgets_it(shared: Checkout) -> None:
    dev = shared.run(variables=FAST_TICKS).wait_until_ready()
    rows = "SELECT (SELECT count(*) > 600 FROM user_actions), (SELECT count(*) > 0 FROM content)"
    eventually(lambda: dev.rows(rows) == [(True, True)])
    assert len(dev.get("/api/recommend?user_id=sample-user-1").json()["items"]) == 20
    assert dev.end() == 0
    assert "Traceback" not in dev.output

    dev = shared.run("--no-sample", "--fresh", variables=FAST_TICKS).wait_until_ready()
    assert dev.rows("SELECT (SELECT count(*) FROM user_actions), (SELECT count(*) FROM content)") == [(0, 0)]
    dev.end()
