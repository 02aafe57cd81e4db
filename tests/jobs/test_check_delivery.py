"""The check's test message: what is asked, when, and what is made of what comes back."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from lib.adapters.pings import PING_KEY, PING_TTL_SECONDS
from lib.adapters.qstash import Delivery
from lib.adapters.services import Services
from lib.jobs.check_configuration import inspect
from lib.jobs.checks import delivery
from lib.jobs.checks.check import Check
from lib.jobs.initialize import initialize
from lib.web import endpoints
from lib.web.http import Request
from local.qstash.server import QStashServer
from tests.deployment import Deployment, serving_deployment
from tests.support import eventually


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    with serving_deployment() as deployment:
        yield deployment


@pytest.fixture
def services(qstash_services: Services, deployment: Deployment) -> Services:
    """With an address that answers 404 until something is deployed there."""
    services = Services(dataclasses.replace(qstash_services.settings, app_url=deployment.url))
    deployment.afterwards.callback(services.close)
    return services


def look(services: Services, *, sends: bool = True) -> Check | None:
    """What is said of the test message, if anything."""
    checks = inspect(services, sends_ping=sends).checks
    return next((check for check in checks if check.name == "delivery"), None)


def pings(qstash: QStashServer) -> list[dict[str, Any]]:
    """What was published, the latest first."""
    headers = {"Authorization": f"Bearer {qstash.token}"}
    events = httpx.get(f"{qstash.url}/v2/events", headers=headers).raise_for_status().json()["events"]
    return [event for event in events if event["state"] == "CREATED"]


def redis(services: Services, *command: str) -> Any:
    return services.pings._redis.execute(*command)


def test_a_message_that_arrives_signed_is_shown_with_its_time(services: Services, deployment: Deployment) -> None:
    deployment.deploy(services)
    check = look(services)
    assert check is not None
    assert check.status == "ok"
    ping = services.pings.latest()
    assert ping is not None
    assert f"within {ping.round_trip_ms:,} ms" in check.message


def test_at_most_one_a_minute_is_sent_and_shown_to_everybody(
    services: Services, deployment: Deployment, qstash: QStashServer
) -> None:
    deployment.deploy(services)
    seen = [look(services) for _ in range(4)]
    assert len(pings(qstash)) == 1
    assert len(set(seen)) == 1
    assert 0 < redis(services, "TTL", PING_KEY) <= PING_TTL_SECONDS
    redis(services, "DEL", PING_KEY)
    look(services)
    assert len(pings(qstash)) == 2


def test_one_that_is_on_its_way_is_a_warning_and_shown_once_it_has_arrived(
    services: Services, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(Services, "qstash", _Holding(services.qstash))
    check = look(services)
    assert check is not None
    assert (check.status, check.message) == ("warning", "The test message is on its way from QStash.")
    monkeypatch.undo()
    deployment.deploy(services)
    nonce = redis(services, "HGET", PING_KEY, "nonce")
    services.pings.note_arrival(nonce)
    later = look(services)
    assert later is not None
    assert later.status == "ok"


class _Holding:
    """A QStash that takes messages and hasn't delivered any yet."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def publish(self, **_: object) -> str:
        return "msg_held"

    def delivery(self, _: str) -> None:
        return None


def test_one_that_failed_is_an_error_at_once_and_stays_one_within_the_minute(
    services: Services, qstash: QStashServer
) -> None:
    for _ in range(2):
        check = look(services)
        assert check is not None
        assert (check.status, "(404)" in check.message) == ("error", True)
    assert len(pings(qstash)) == 1


def test_without_sending_only_what_was_sent_before_is_shown(
    services: Services, deployment: Deployment, qstash: QStashServer
) -> None:
    deployment.deploy(services)
    assert look(services, sends=False) is None
    assert pings(qstash) == []
    sent = look(services)
    assert look(services, sends=False) == sent


def test_a_preview_sends_none(services: Services, qstash: QStashServer) -> None:
    preview = Services(dataclasses.replace(services.settings, vercel_env="preview"))
    initialize(preview, datetime.now(UTC))
    preview.close()
    assert pings(qstash) == []


def test_a_message_that_qstash_does_not_take_may_be_tried_again_at_once(services: Services) -> None:
    with QStashServer(message_limit=0) as full:
        changes: dict[str, Any] = {name.lower(): value for name, value in full.environment().items()}
        poor = Services(dataclasses.replace(services.settings, **changes))
        check = look(poor)
        assert check is not None
        assert "are used up" in check.message
        assert poor.pings.latest() is None
        poor.close()


@pytest.mark.parametrize("nonce", ["another", "", 7, None, ["x"], "x" * 101])
def test_a_ping_with_another_nonce_changes_nothing(services: Services, nonce: object) -> None:
    services.pings.begin("the-nonce")
    before = redis(services, "HGETALL", PING_KEY)
    body = httpx.Request("POST", "http://x", json={"action": "ping", "nonce": nonce}).content
    assert endpoints.batch_process(Request("POST", {}, {}, body, None), services).status == "200 OK"
    assert redis(services, "HGETALL", PING_KEY) == before
    services.pings.note_arrival("the-nonce")
    assert "arrived" in redis(services, "HGETALL", PING_KEY)


def test_an_arrival_after_the_minute_leaves_no_key_behind(services: Services) -> None:
    services.pings.note_arrival("the-nonce")
    services.pings.note_message("the-nonce", "msg_1")
    assert redis(services, "EXISTS", PING_KEY) == 0


def test_a_delivery_that_is_under_way_is_neither_delivered_nor_failed(services: Services, qstash: QStashServer) -> None:
    client = services.qstash
    url = services.settings.app_url + "/api/actions/batch-process"
    assert client.delivery(client.publish(url=url, body={}, retries=1)) is None
    failed = client.publish(url=url, body={}, retries=0)
    ended: Delivery = eventually(lambda: client.delivery(failed))  # type: ignore[assignment]
    assert (ended.succeeded, ended.status, ended.body) == (False, 404, "nothing here")
