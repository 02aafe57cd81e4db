"""A backlog that one tick has no time for, and ticks that keep up."""

import base64
import dataclasses
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from lib.adapters.services import Services
from lib.core.helpers import flow_key
from lib.core.schedules import BATCH_PROCESS_PATH
from lib.jobs import call_helpers as call_module
from lib.jobs import process_actions as process_module
from lib.jobs.process_actions import process_user_actions
from lib.jobs.report_status import report_status
from lib.jobs.run import Deadline, Summary
from local.qstash.server import QStashServer
from tests.api.test_endpoints import post
from tests.jobs.site import Site, action

ACTIONS = 120
PARALLELISM = 3


@pytest.fixture
def backlog(site: Site, qstash_services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """More than a tick can drain, as far as it can tell, on a site that has a QStash."""
    monkeypatch.setattr(process_module._Pace, "rate", 0.1)
    monkeypatch.setattr(call_module, "time", SimpleNamespace(time=lambda: 1_767_225_600.0))
    yield from with_few_claimed(site, qstash_services)


def with_few_claimed(site: Site, services: Services) -> Iterator[Site]:
    settings = dataclasses.replace(services.settings, claim_max_elements=20, fan_out_parallelism=PARALLELISM)
    services = Services(settings)
    site.push(*[action(f"user {number}", f"item {number % 7}") for number in range(ACTIONS)])
    yield dataclasses.replace(site, services=services)
    services.close()


def tick(site: Site) -> Summary:
    return process_user_actions(site.services, Deadline.after(60), calls_helpers=True)


def messages(qstash: QStashServer) -> list[dict[str, Any]]:
    token = {"Authorization": f"Bearer {qstash.token}"}
    events = httpx.get(qstash.url + "/v2/events", headers=token).json()["events"]
    return [event for event in events if event["state"] == "CREATED"]


def test_a_tick_that_cannot_keep_up_asks_for_helpers_and_goes_on(backlog: Site, qstash: QStashServer) -> None:
    summary = tick(backlog)
    assert (summary["helpers"], summary["applied"], summary["pending"]) == (PARALLELISM, ACTIONS, 0)
    settings, asked = backlog.services.settings, messages(qstash)
    assert len(asked) == PARALLELISM
    for message in asked:
        assert message["url"] == settings.app_url + BATCH_PROCESS_PATH
        assert (message["flowControlKey"], message["parallelism"]) == (flow_key(settings.app_url), PARALLELISM)
        assert message["maxRetries"] == 0
        body = json.loads(base64.b64decode(message["body"]))
        assert body == {"action": "process_user_actions", "helper": True}


def test_ticks_that_meet_the_same_backlog_ask_for_the_same_helpers(backlog: Site, qstash: QStashServer) -> None:
    for _ in range(2):
        assert tick(backlog)["helpers"] == PARALLELISM
        backlog.push(*[action(f"user {number}", "a") for number in range(ACTIONS)])
    assert len(messages(qstash)) == PARALLELISM


def test_who_helps_asks_nobody(backlog: Site, qstash: QStashServer) -> None:
    body = {"action": "process_user_actions", "helper": True}
    summary = post(backlog.services, BATCH_PROCESS_PATH, body).json
    assert (summary["applied"], summary["pending"], "helpers" in summary) == (ACTIONS, 0, False)
    assert messages(qstash) == []


def test_a_plain_call_may_ask(backlog: Site) -> None:
    assert post(backlog.services, BATCH_PROCESS_PATH, {"action": "process_user_actions"}).json["helpers"] == PARALLELISM


def test_a_tick_that_keeps_up_sends_no_message(site: Site, qstash_services: Services, qstash: QStashServer) -> None:
    for busy in with_few_claimed(site, qstash_services):
        summary = tick(busy)
        assert (summary["applied"], "helpers" in summary) == (ACTIONS, False)
    assert messages(qstash) == []


def test_the_status_says_that_helpers_were_called(backlog: Site) -> None:
    tick(backlog)
    status = report_status(backlog.services, datetime.now(UTC))
    assert status["jobs"]["process_user_actions"]["helpers"] == PARALLELISM


@pytest.mark.parametrize("trouble", ["refuses connections", "hangs", "knows us not"])
def test_a_qstash_that_is_away_hinders_no_drain(backlog: Site, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    monkeypatch.setattr(call_module, "PUBLISHING_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # connects, and says nothing
        changes: dict[str, Any] = {
            "refuses connections": {"qstash_url": "http://127.0.0.1:9"},
            "hangs": {"qstash_url": f"http://127.0.0.1:{hanging.getsockname()[1]}"},
            "knows us not": {"qstash_token": "wrong", "qstash_url": backlog.services.settings.qstash_url},
        }[trouble]
        services = Services(dataclasses.replace(backlog.services.settings, **changes))
        summary = tick(dataclasses.replace(backlog, services=services))
        services.close()
    assert (summary["helpers"], summary["applied"], summary["pending"]) == (0, ACTIONS, 0)
