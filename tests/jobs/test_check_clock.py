"""The check compares this machine's clock with QStash's, whose signatures hold for minutes."""

import time
from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import pytest

from lib.adapters import qstash as qstash_module
from lib.adapters.qstash import QStashClient
from lib.adapters.services import Services
from lib.jobs.check_configuration import Inspection, inspect
from lib.jobs.checks.check import Check
from lib.settings import Settings
from local.qstash.server import QStashServer


@pytest.fixture
def services(qstash: QStashServer) -> Iterator[Services]:
    """With that QStash, and nothing else."""
    services = Services(
        Settings(
            qstash_token=qstash.token,
            qstash_url=qstash.url,
            app_url="http://127.0.0.1:9",
            redis_url="http://127.0.0.1:9",
            redis_token="a-token",
            database_url="postgresql://ann:secret@127.0.0.1:9/site",
        )
    )
    yield services
    services.close()


def clock_lines(inspection: Inspection) -> list[Check]:
    return [check for check in inspection.checks if check.name == "clock"]


def set_clock(monkeypatch: pytest.MonkeyPatch, *, ahead: float) -> None:
    """This machine's, as the client of QStash reads it."""
    monkeypatch.setattr(qstash_module, "time", SimpleNamespace(time=lambda: time.time() + ahead))


@pytest.mark.parametrize(
    ("ahead", "status", "said"),
    [
        pytest.param(0.0, "ok", "agrees with QStash's", id="the same"),
        pytest.param(25.0, "ok", "agrees with QStash's", id="a little ahead"),
        pytest.param(-25.0, "ok", "agrees with QStash's", id="a little behind"),
        pytest.param(45.0, "warning", "s ahead of QStash's; 60 s is the most", id="ahead"),
        pytest.param(-45.0, "warning", "s behind QStash's; 60 s is the most", id="behind"),
        pytest.param(90.0, "error", "s ahead of QStash's: its deliveries are refused (401) as exp", id="far ahead"),
        pytest.param(-90.0, "error", "s behind QStash's: its deliveries are refused (401) as not", id="far behind"),
        pytest.param(86_400.0, "error", "s ahead of QStash's", id="a day ahead"),
    ],
)
def test_a_clock_that_differs_is_said_by_how_much_and_how_to_set_it(
    services: Services, monkeypatch: pytest.MonkeyPatch, ahead: float, status: str, said: str
) -> None:
    set_clock(monkeypatch, ahead=ahead)
    [check] = clock_lines(inspect(services))
    assert check.status == status
    assert said in check.message
    assert bool(check.fix) is (status != "ok")
    if status != "ok":
        seconds = abs(ahead)
        assert any(f"clock is {shown:.0f} s " in check.message for shown in (seconds - 1, seconds, seconds + 1))


@pytest.mark.parametrize("date", [None, "", "yesterday", "Wed, 99 Nov 2026 10:00:00 GMT"])
def test_without_a_date_that_can_be_read_there_is_no_line(
    services: Services, monkeypatch: pytest.MonkeyPatch, date: str | None
) -> None:
    note_clock = QStashClient._note_clock

    def with_another_date(client: QStashClient, response: httpx.Response) -> None:
        del response.headers["Date"]
        if date is not None:
            response.headers["Date"] = date
        note_clock(client, response)

    monkeypatch.setattr(QStashClient, "_note_clock", with_another_date)
    inspection = inspect(services)
    assert clock_lines(inspection) == []
    assert "QStash client initialized successfully" in [check.message for check in inspection.checks]


def test_the_difference_is_known_only_after_an_answer(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, ahead=500.0)
    client = services.qstash
    before = client.clock_ahead
    client.schedules()
    assert before is None
    assert 498.0 < (client.clock_ahead or 0.0) < 502.0
