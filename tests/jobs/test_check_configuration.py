import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from lib.adapters.services import Services
from lib.core.schedules import PROCESS_ACTIONS, Schedule, wanted_schedules
from lib.jobs.check_configuration import Inspection, inspect
from lib.jobs.checks.check import Check
from lib.jobs.initialize import initialize
from local.qstash.server import QStashServer
from tests.adapters.roles import administer
from tests.conftest import MakeDatabase

NOW = datetime.fromtimestamp(1_700_000_052, UTC)

SELDOM = {"actions_interval_seconds": 120}

Make = Callable[..., Services]


@pytest.fixture
def qstash() -> Iterator[QStashServer]:
    """Its clock stands still, so that nothing is delivered to the addresses here."""
    with QStashServer(clock=NOW.timestamp) as server:
        yield server


@pytest.fixture
def with_changes(qstash_services: Services) -> Iterator[Make]:
    """`with_changes(name=value, ...)`: services with these settings; everything that they need is in place."""
    initialize(qstash_services, NOW)
    made: list[Services] = []

    def make(**changes: Any) -> Services:
        made.append(Services(dataclasses.replace(qstash_services.settings, **changes)))
        return made[-1]

    yield make
    for services in made:
        services.close()


def bad(inspection: Inspection) -> list[Check]:
    """Without the test message, which arrives nowhere here: tests/jobs/test_check_delivery.py is about that."""
    return [check for check in inspection.checks if check.status != "ok" and check.name != "delivery"]


def test_where_everything_is_in_place_every_check_is_ok(with_changes: Make) -> None:
    inspection = inspect(with_changes())
    assert bad(inspection) == []
    rows = inspection.as_json()["schedules"]
    assert {row["every"] for row in rows} == {"every 5 seconds", "every 2 hours", "every hour", "every 6 hours"}
    assert all(datetime.fromisoformat(row["next_run"]) > NOW for row in rows)


def test_a_list_that_grows_towards_the_size_of_a_record_is_warned_of(with_changes: Make) -> None:
    services = with_changes()
    for _ in range(60):
        services.queue._redis.execute("LPUSH", "pending_user_actions", "x" * 1_000_000)
    [check] = bad(inspect(services))
    assert (check.name, check.status) == ("pending actions", "warning")
    assert "about 60 MB" in check.message


def test_schedules_of_another_interval_are_out_of_date_though_their_cron_is_the_same(with_changes: Make) -> None:
    [check] = bad(inspect(with_changes(actions_interval_seconds=60)))
    assert (check.name, check.status) == ("schedules", "error")
    assert check.message.startswith("1 of the four schedules are missing or out of date: recs.")
    assert check.message.endswith(f"{PROCESS_ACTIONS.name}.")


@pytest.mark.parametrize(
    "change", [{"cron": "0 4 * * *"}, {"destination": "https://elsewhere.example.com/"}, {"body": {}}], ids=str
)
def test_a_schedule_that_somebody_changed_is_out_of_date(with_changes: Make, change: dict[str, Any]) -> None:
    services = with_changes()
    wanted = wanted_schedules(services.settings.app_url, interval_seconds=5)[0]
    services.qstash.put_schedule(dataclasses.replace(wanted, **change))
    [check] = bad(inspect(services))
    assert wanted.schedule_id in check.message
    assert "/api/init" in check.fix


def test_a_paused_schedule_is_shown(with_changes: Make) -> None:
    services = with_changes()
    wanted: Schedule = wanted_schedules(services.settings.app_url, interval_seconds=5)[1]
    services.qstash._client.schedule.pause(wanted.schedule_id)
    inspection = inspect(services)
    [check] = bad(inspection)
    assert (check.status, check.message) == (
        "warning",
        f"The schedule {wanted.schedule_id} is paused: nothing is delivered.",
    )
    assert [row.id for row in inspection.schedules if row.paused] == [wanted.schedule_id]


def test_content_of_a_wrong_shape_is_an_error_that_names_the_column(
    with_changes: Make, make_database: MakeDatabase
) -> None:
    url = make_database()
    administer(url, "CREATE TABLE content (content_id bigint)")
    services = with_changes(database_url=url)
    initialize(services, NOW)
    [check] = bad(inspect(services))
    assert check.message.startswith("content isn't as expected: it has no column embedding")
    assert check.message.endswith("content_id is bigint.")


@pytest.mark.parametrize(
    ("changes", "name", "status"),
    [
        pytest.param({"admin_api_key": ""}, "ADMIN_API_KEY", "error", id="no key"),
        pytest.param({"admin_api_key": "", "allow_unsigned_local": True}, "ADMIN_API_KEY", "warning", id="on a laptop"),
        pytest.param({"app_url_is_guessed": True}, "NEXT_PUBLIC_APP_URL", "warning", id="an address that is guessed"),
        pytest.param({"redis_token": "wrong"}, "redis", "error", id="a wrong token"),
    ],
)
def test_what_is_not_as_it_should_be_has_its_own_line(
    with_changes: Make, changes: dict[str, Any], name: str, status: str
) -> None:
    [check] = bad(inspect(with_changes(**changes)))
    assert (check.name, check.status) == (name, status)
    assert check.fix


def test_a_qstash_that_is_not_on_this_machine_cannot_reach_it_and_has_a_price(
    with_changes: Make, qstash: QStashServer
) -> None:
    elsewhere = qstash.url.replace("127.0.0.1", "127.1")  # the same address in a spelling that no check knows
    services = with_changes(app_url="http://localhost:3000", qstash_url=elsewhere)
    said = {check.name: check for check in bad(inspect(services))}
    assert "QStash can't reach http://localhost:3000" in said["app url"].message
    assert "ngrok" in said["app url"].fix
    assert "17,320 QStash messages a day ($5.20 a month) and 518,400 Redis commands" in said["cost"].message
    assert "cost" not in {check.name for check in bad(inspect(with_changes(qstash_url=elsewhere, **SELDOM)))}


def test_no_check_says_a_secret(with_changes: Make) -> None:
    services = with_changes(qstash_token="", redis_token="the-redis-token", bypass_secret="the-bypass-secret")
    said = str(inspect(services).as_json())
    assert [secret for secret in services.settings.secrets if secret in said] == []
