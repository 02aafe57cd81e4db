import base64
import dataclasses
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from lib.adapters.qstash import QStashClient
from lib.adapters.schema import is_current
from lib.adapters.services import Services
from lib.core.schedules import Schedule
from lib.jobs.check_configuration import Inspection
from lib.jobs.initialize import initialize
from lib.settings import Settings, parse_settings
from lib.text import Text
from local.qstash.server import QStashServer
from tests.conftest import MakeDatabase

MINUTE = 1_700_000_040
NOW = datetime.fromtimestamp(MINUTE + 12, UTC)
JOBS = ["process_user_actions", "process_user_embeddings", "refresh_cold_start", "warm_cache"]
IDS = [f"recs.127.0.0.1-9.{job}" for job in JOBS]

NOTHING = Text("")

Make = Callable[..., Services]


@pytest.fixture
def qstash() -> Iterator[QStashServer]:
    """Its clock stands still, so that nothing is delivered to the addresses here."""
    with QStashServer(clock=NOW.timestamp) as server:
        yield server


@pytest.fixture
def with_changes(qstash_services: Services) -> Iterator[Make]:
    """`with_changes(name=value, ...)`: services with the QStash of the test and these settings."""
    made: list[Services] = []

    def make(settings: Settings = qstash_services.settings, **changes: Any) -> Services:
        made.append(Services(dataclasses.replace(settings, **changes)))
        return made[-1]

    yield make
    for services in made:
        services.close()


@pytest.fixture
def put_schedule(qstash: QStashServer) -> Iterator[Callable[[str], None]]:
    """`put_schedule(id)`: what some other deployment or app has in the same account."""
    client = QStashClient(qstash.token, url=qstash.url, bypass_secret="")
    yield lambda name: client.put_schedule(
        Schedule(name, "0 3 * * *", "https://other.example.com/x", {}, 3, NOTHING, NOTHING, 1)
    )
    client.close()


def ask(qstash: QStashServer, path: str) -> Any:
    headers = {"Authorization": f"Bearer {qstash.token}"}
    return httpx.get(qstash.url + path, headers=headers).raise_for_status().json()


def schedules(qstash: QStashServer) -> dict[str, dict[str, Any]]:
    return {schedule["scheduleId"]: schedule for schedule in ask(qstash, "/v2/schedules")}


def published(qstash: QStashServer) -> list[dict[str, Any]]:
    """The messages but the check's own, the earliest first."""
    created = [event for event in ask(qstash, "/v2/events")["events"] if event["state"] == "CREATED"]
    created = [event for event in created if b"ping" not in base64.b64decode(event["body"])]
    messages = [ask(qstash, f"/v2/messages/{event['messageId']}") for event in created]
    return sorted(messages, key=lambda message: int(message["notBefore"]))


def is_in_order(inspection: Inspection) -> bool:
    """But for the test message, which arrives nowhere here."""
    return {check.name for check in inspection.checks if check.status == "error"} <= {"delivery"}


def found(inspection: Inspection, name: str, status: str) -> str:
    """What the checks of that name and status say, with how to mend it."""
    checks = [check for check in inspection.checks if (check.name, check.status) == (name, status)]
    return "\n".join(f"{check.message} {check.fix}" for check in checks)


def test_ten_calls_make_four_schedules_and_this_minutes_ticks_once(
    qstash_services: Services, qstash: QStashServer
) -> None:
    for _ in range(10):
        inspection = initialize(qstash_services, NOW)
        assert is_in_order(inspection)
    made = schedules(qstash)
    assert sorted(made) == IDS
    assert sorted(row.id for row in inspection.schedules) == IDS
    assert [made[id_]["cron"] for id_ in IDS] == ["* * * * *", "0 */2 * * *", "0 */6 * * *", "0 * * * *"]
    assert json.loads(made[IDS[0]]["body"]) == {"action": "process_user_actions", "publish_ticks": True}
    ticks = published(qstash)
    assert [tick["notBefore"] for tick in ticks] == [(MINUTE + second) * 1000 for second in range(15, 60, 5)]
    assert {tick["url"] for tick in ticks} == {"http://127.0.0.1:9/api/actions/batch-process"}
    assert {tick["body"] for tick in ticks} == {'{"action": "process_user_actions"}'}


def test_another_interval_replaces_the_schedule(
    qstash_services: Services, with_changes: Make, qstash: QStashServer
) -> None:
    initialize(qstash_services, NOW)
    assert is_in_order(initialize(with_changes(actions_interval_seconds=120), NOW))
    made = schedules(qstash)
    assert sorted(made) == IDS
    assert made[IDS[0]]["cron"] == "*/2 * * * *"
    assert json.loads(made[IDS[0]]["body"]) == {"action": "process_user_actions"}


@pytest.mark.parametrize("theirs", ["nightly-report", "recs-backup", "recs.shop.example.com.report"])
def test_schedules_of_another_app_are_left_alone(
    qstash_services: Services, qstash: QStashServer, put_schedule: Callable[[str], None], theirs: str
) -> None:
    put_schedule(theirs)
    before = schedules(qstash)[theirs]
    inspection = initialize(qstash_services, NOW)
    assert schedules(qstash)[theirs] == before
    assert theirs not in str([inspection.schedules, found(inspection, "leftover schedules", "warning")])
    assert found(inspection, "existing schedules", "ok").startswith("Found 5 existing schedule(s)")


def test_ours_under_another_host_are_shown_with_the_command_that_deletes_them_and_stay(
    qstash_services: Services, qstash: QStashServer, put_schedule: Callable[[str], None]
) -> None:
    put_schedule("recs.old.example.com.warm_cache")
    inspection = initialize(qstash_services, NOW)
    assert is_in_order(inspection)
    assert "recs.old.example.com.warm_cache" in schedules(qstash)
    warning = found(inspection, "leftover schedules", "warning")
    assert "old.example.com" in warning
    assert 'curl -X DELETE -H "Authorization: Bearer $QSTASH_TOKEN"' in warning
    assert warning.split()[-1] == f"{qstash.url}/v2/schedules/recs.old.example.com.warm_cache"


def test_a_preview_deployment_only_looks(with_changes: Make, qstash: QStashServer, make_database: MakeDatabase) -> None:
    services = with_changes(vercel_env="preview", database_url=make_database())
    inspection = initialize(services, NOW)
    assert "preview deployment" in found(inspection, "preview", "warning")
    assert not inspection.ok
    assert not schedules(qstash)
    assert not published(qstash)
    with services.database.transaction() as connection:
        assert not is_current(connection)


@pytest.mark.parametrize("key", ["qstash_current_signing_key", "qstash_next_signing_key"])
def test_a_signing_key_that_differs_is_an_error(with_changes: Make, key: str) -> None:
    inspection = initialize(with_changes(**{key: "sig_of_last_year"}), NOW)
    assert not inspection.ok
    message = found(inspection, "signing keys", "error")
    assert key.upper() in message
    assert "sig_of_last_year" not in message


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("QSTASH_TOKEN", ""),
        ("QSTASH_CURRENT_SIGNING_KEY", ""),
        ("QSTASH_NEXT_SIGNING_KEY", ""),
        ("NEXT_PUBLIC_APP_URL", ""),
        ("NEXT_PUBLIC_APP_URL", "http://shop.example.com"),
        ("ACTIONS_INTERVAL_SECONDS", "7"),
    ],
)
def test_with_a_variable_missing_or_wrong_it_says_so_and_schedules_nothing(
    with_changes: Make, qstash_services: Services, qstash: QStashServer, variable: str, value: str
) -> None:
    settings = parse_settings({**environment(qstash_services.settings), variable: value})
    inspection = initialize(with_changes(settings), NOW)
    assert not inspection.ok
    assert found(inspection, variable, "error")
    assert not schedules(qstash)
    assert not published(qstash)


def environment(settings: Settings) -> dict[str, str]:
    names = ("QSTASH_URL", "QSTASH_TOKEN", "QSTASH_CURRENT_SIGNING_KEY", "QSTASH_NEXT_SIGNING_KEY", "DATABASE_URL")
    return {
        **{name: getattr(settings, name.lower()) for name in names},
        "NEXT_PUBLIC_APP_URL": settings.app_url,
        "UPSTASH_REDIS_REST_URL": settings.redis_url,
        "UPSTASH_REDIS_REST_TOKEN": settings.redis_token,
        "ADMIN_API_KEY": settings.admin_api_key,
    }


def test_without_qstash_the_tables_are_made_all_the_same(with_changes: Make, make_database: MakeDatabase) -> None:
    inspection = initialize(with_changes(qstash_url="http://127.0.0.1:9", database_url=make_database()), NOW)
    assert not inspection.ok
    assert "QStash doesn't answer" in found(inspection, "qstash", "error")
    assert found(inspection, "schema", "ok")


def test_without_postgres_the_schedules_are_made_all_the_same(with_changes: Make, qstash: QStashServer) -> None:
    inspection = initialize(with_changes(database_url="postgresql://ann:secret@127.0.0.1:9/site"), NOW)
    assert not inspection.ok
    assert "Postgres doesn't answer" in found(inspection, "postgres", "error")
    assert sorted(schedules(qstash)) == IDS
