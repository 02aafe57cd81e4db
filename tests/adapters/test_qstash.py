import dataclasses
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from lib.adapters import qstash as qstash_module
from lib.adapters.qstash import Message, QStashClient
from lib.core.schedules import Schedule, wanted_schedules
from lib.errors import QStashUnavailable
from lib.text import Text
from local.qstash.server import QStashServer

NOWHERE = "http://127.0.0.1:9/api/job"  # what is delivered there is refused at once


@contextmanager
def client_of(url: str, token: str, *, bypass_secret: str = "") -> Iterator[QStashClient]:
    client = QStashClient(token, url=url, bypass_secret=bypass_secret)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def client(qstash: QStashServer) -> Iterator[QStashClient]:
    with client_of(qstash.url, qstash.token) as client:
        yield client


def ask(qstash: QStashServer, path: str) -> Any:
    return httpx.get(qstash.url + path, headers={"Authorization": f"Bearer {qstash.token}"}).json()


def created_messages(qstash: QStashServer) -> list[dict[str, Any]]:
    events = ask(qstash, "/v2/events")["events"]
    return [event for event in events if event["state"] == "CREATED"]


def a_schedule(cron: str = "0 * * * *", schedule_id: str = "recs.shop.warm_cache") -> Schedule:
    return Schedule(schedule_id, cron, NOWHERE, {"action": "warm_cache"}, 3, Text("Warming"), Text("every hour"), 24)


def test_a_schedule_is_made_as_wanted(client: QStashClient) -> None:
    wanted = a_schedule()
    client.put_schedule(wanted)
    [schedule] = client.schedules()
    assert schedule["scheduleId"] == wanted.schedule_id
    assert (schedule["cron"], schedule["destination"], schedule["method"]) == (wanted.cron, NOWHERE, "POST")
    assert json.loads(schedule["body"]) == wanted.body
    assert schedule["retries"] == 3


def test_a_schedule_that_is_put_twice_is_one_and_the_latest(client: QStashClient) -> None:
    client.put_schedule(a_schedule())
    client.put_schedule(a_schedule(cron="30 * * * *"))
    assert [schedule["cron"] for schedule in client.schedules()] == ["30 * * * *"]


@pytest.mark.parametrize("app_url", ["https://shop.example.com", "http://localhost:3000", "https://münchen.example"])
def test_every_schedule_that_is_wanted_can_be_made(app_url: str) -> None:
    # Its clock stands still: nothing is delivered to these addresses.
    with QStashServer(clock=lambda: 1_700_000_010) as server, client_of(server.url, server.token) as client:
        for schedule in wanted_schedules(app_url, interval_seconds=5):
            client.put_schedule(schedule)
        assert len(client.schedules()) == 4


def test_schedules_that_are_held_as_wanted_are_left_alone_and_others_are_replaced(
    client: QStashClient, qstash: QStashServer
) -> None:
    kept, changed = a_schedule(schedule_id="recs.shop.kept"), a_schedule(schedule_id="recs.shop.changed")
    client.put_schedules([kept, changed])
    before = {schedule["scheduleId"]: schedule for schedule in client.schedules()}
    client._client.schedule.pause("recs.shop.kept")
    client.put_schedules([kept, dataclasses.replace(changed, retries=1), a_schedule(schedule_id="recs.shop.new")])
    after = {schedule["scheduleId"]: schedule for schedule in client.schedules()}
    assert after["recs.shop.kept"] == {**before["recs.shop.kept"], "isPaused": True}
    assert after["recs.shop.changed"]["retries"] == 1
    assert "recs.shop.new" in after


@pytest.mark.parametrize(("one", "other"), [("", "let-me-in"), ("let-me-in", "another"), ("let-me-in", "")])
def test_another_bypass_secret_replaces_the_schedules(qstash: QStashServer, one: str, other: str) -> None:
    for secret in (one, other):
        with client_of(qstash.url, qstash.token, bypass_secret=secret) as client:
            client.put_schedules([a_schedule()])
            [schedule] = client.schedules()
    headers = {name.lower(): values for name, values in schedule.get("header", {}).items()}
    assert headers.get("x-vercel-protection-bypass") == ([other] if other else None)


def test_a_tick_that_is_published_twice_is_one_message(client: QStashClient, qstash: QStashServer) -> None:
    slot = int(time.time()) + 600
    slots = [(slot, "recs.shop.5.1"), (slot + 5, "recs.shop.5.2")]
    for _ in range(2):
        client.publish_at(url=NOWHERE, body={"action": "process_user_actions"}, slots=slots)
    first, second = (ask(qstash, f"/v2/messages/{event['messageId']}") for event in created_messages(qstash)[::-1])
    assert [message["notBefore"] for message in (first, second)] == [slot * 1000, (slot + 5) * 1000]
    assert json.loads(first["body"]) == {"action": "process_user_actions"}
    assert first["maxRetries"] == 0


def test_a_batch_that_is_published_twice_is_one_and_is_bounded_in_parallelism(
    client: QStashClient, qstash: QStashServer
) -> None:
    batch = [Message(NOWHERE, {"shard": shard}, 2, f"recs.shop.7.{shard}", "recs.shop", 3) for shard in range(2)]
    for _ in range(2):
        client.publish_batch(batch)
    messages = [ask(qstash, f"/v2/messages/{event['messageId']}") for event in created_messages(qstash)[::-1]]
    assert [json.loads(message["body"]) for message in messages] == [{"shard": 0}, {"shard": 1}]
    assert [message["maxRetries"] for message in messages] == [2, 2]
    assert [(message["flowControlKey"], message["parallelism"]) for message in messages] == [("recs.shop", 3)] * 2


def test_a_message_is_published_and_its_id_answered(client: QStashClient, qstash: QStashServer) -> None:
    message_id = client.publish(url=NOWHERE, body={"action": "ping"}, retries=0)
    [message] = created_messages(qstash)
    assert (message["messageId"], message["url"], message["maxRetries"]) == (message_id, NOWHERE, 0)


def test_the_bypass_secret_goes_along_with_everything(qstash: QStashServer) -> None:
    with client_of(qstash.url, qstash.token, bypass_secret="let-me-in") as client:
        client.put_schedule(a_schedule())
        client.publish(url=NOWHERE, body={}, retries=0)
        client.publish_at(url=NOWHERE, body={}, slots=[(int(time.time()) + 600, "a")])
        client.publish_batch([Message(NOWHERE, {}, 0, "b", "recs.shop", 1)])
        [schedule] = client.schedules()
    headers = [schedule["header"], *(message["header"] for message in created_messages(qstash))]
    forwarded = [{name.lower(): value for name, value in header.items()} for header in headers]
    assert [header["x-vercel-protection-bypass"] for header in forwarded] == [["let-me-in"]] * 4


def test_without_a_bypass_secret_no_header_is_sent(client: QStashClient) -> None:
    client.put_schedule(a_schedule())
    [schedule] = client.schedules()
    assert not [name for name in schedule.get("header", {}) if "bypass" in name.lower()]


def test_the_signing_keys_are_read(client: QStashClient, qstash: QStashServer) -> None:
    assert client.signing_keys() == (qstash.current_signing_key, qstash.next_signing_key)


def test_a_wrong_token_is_said_without_saying_the_token(qstash: QStashServer) -> None:
    with (
        client_of(qstash.url, "not-the-token") as client,
        pytest.raises(QStashUnavailable, match="doesn't know") as caught,
    ):
        client.schedules()
    assert "not-the-token" not in caught.value.message
    assert "QSTASH_TOKEN" in caught.value.fix


def test_a_schedule_that_qstash_refuses_is_said(client: QStashClient) -> None:
    with pytest.raises(QStashUnavailable, match="refuses"):
        client.put_schedule(a_schedule(cron="*/5 * * * * *"))


def test_a_message_of_a_batch_that_qstash_refuses_is_said(client: QStashClient) -> None:
    with pytest.raises(QStashUnavailable, match="message of a batch"):
        client.publish_at(url=NOWHERE, body={}, slots=[(int(time.time()) + 600, "no:colons")])


def test_a_server_that_is_not_there_is_said_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with client_of("http://127.0.0.1:9", "a-token") as client, pytest.raises(QStashUnavailable, match="doesn't answer"):
        client.schedules()
    assert sum(waits) == 0


def test_a_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qstash_module, "ANSWER_SECONDS", 0.1)
    hangs = pytest.raises(QStashUnavailable, match="ReadTimeout")
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # connects, and says nothing
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        with client_of(url, "a-token") as client, hangs:
            client.signing_keys()
