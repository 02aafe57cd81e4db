"""The local QStash's API, asked by the vendor's own client wherever that has a call for it."""

import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from qstash import QStash
from qstash.errors import DailyMessageLimitExceededError, QStashError
from qstash.log import LogState
from qstash.message import BatchJsonRequest, FlowControlProperties, PublishResponse
from qstash.schedule import ScheduleState

from local.qstash import QStashServer
from local.qstash.page import latest_messages
from tests.local.qstash_support import START, Answer, Clock, Endpoint, client_of, serving_endpoint
from tests.support import eventually

EVERY_MINUTE = "* * * * *"
HOOK = "https://example.com/hook"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Iterator[QStashServer]:
    with QStashServer(clock=clock, schedule_cap=2) as server:
        yield server


@pytest.fixture
def client(server: QStashServer) -> Iterator[QStash]:
    with client_of(server) as client:
        yield client


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving_endpoint() as endpoint:
        yield endpoint


def publish(client: QStash, url: str = HOOK, **options: Any) -> PublishResponse:
    response = client.message.publish_json(url=url, **options)
    assert isinstance(response, PublishResponse)
    return response


def send(server: QStashServer, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {server.token}"} | options.pop("headers", {})
    return httpx.request(method, server.url + path, headers=headers, trust_env=False, **options)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", "Basic x", "Bearer \xe9"])
def test_without_the_token_nothing_is_answered(server: QStashServer, authorization: str | None) -> None:
    headers = [] if authorization is None else [(b"Authorization", authorization.encode("latin-1"))]
    response = httpx.get(f"{server.url}/v2/keys", headers=headers, trust_env=False)
    assert response.status_code == 401
    assert "unauthorized" in response.json()["error"]


def test_tokens_and_keys_are_random_and_can_be_given() -> None:
    servers = [QStashServer(), QStashServer()]
    given = QStashServer(token="t", current_key="a" * 32, next_key="b" * 32)
    try:
        secrets = [value for server in servers for name, value in server.environment().items() if name != "QSTASH_URL"]
        assert len(set(secrets)) == 6
        assert all(len(secret) >= 32 for secret in secrets)
        assert (given.token, given.current_signing_key, given.next_signing_key) == ("t", "a" * 32, "b" * 32)
    finally:
        for server in (*servers, given):
            server.stop()


def test_an_empty_signing_key_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        QStashServer(next_key="")


def test_the_client_reads_a_message_that_waits(client: QStash) -> None:
    response = client.message.publish(
        url=f"{HOOK}?a=1&b=%20",
        body=b"caf\xc3\xa9",
        content_type="text/plain",
        method="PUT",
        headers={"X-Key": "k"},
        retries=2,
        retry_delay="1000 * (1 + retried)",
        callback="https://example.com/done",
        callback_headers={"X-Done": "d"},
        failure_callback="https://example.com/failed",
        delay=60,
        timeout="30s",
        label="l",
        flow_control={"key": "f", "parallelism": 2, "rate": 3, "period": "1m"},
    )
    assert isinstance(response, PublishResponse)
    message = client.message.get(response.message_id)
    assert (message.url, message.method, message.body) == (f"{HOOK}?a=1&b=%20", "PUT", "café")
    assert message.headers == {"Content-Type": ["text/plain"], "X-Key": ["k"]}
    assert (message.max_retries, message.retry_delay_expression) == (2, "1000 * (1 + retried)")
    assert (message.created_at, message.not_before) == (START * 1000, (START + 60) * 1000)
    assert (message.callback, message.failure_callback) == ("https://example.com/done", "https://example.com/failed")
    assert message.callback_headers == {"Content-Type": ["application/json"], "X-Done": ["d"]}
    assert (message.label, message.caller_ip, message.schedule_id) == ("l", "127.0.0.1", None)
    assert message.flow_control == FlowControlProperties("f", parallelism=2, rate=3, period=60)


def test_a_body_that_is_no_text_comes_back_in_base64(client: QStash) -> None:
    response = client.message.publish(url=HOOK, body=b"\xff\x00", delay=60)
    assert isinstance(response, PublishResponse)
    message = client.message.get(response.message_id)
    assert (message.body, message.body_base64) == (None, "/wA=")


def test_a_duplicate_is_told_apart_by_its_status_and_its_flag(server: QStashServer, client: QStash) -> None:
    first = publish(client, deduplication_id="tick-1", delay=60)
    second = publish(client, deduplication_id="tick-1")
    assert (first.deduplicated, second.deduplicated) == (False, True)
    assert second.message_id == first.message_id
    response = send(server, "POST", f"/v2/publish/{HOOK}", headers={"Upstash-Deduplication-Id": "tick-1"})
    assert response.status_code == 202


def test_the_same_content_is_published_once(client: QStash) -> None:
    bodies = ["a", "a", "b"]
    responses = [publish(client, body=body, content_based_deduplication=True, delay=60) for body in bodies]
    assert [response.deduplicated for response in responses] == [False, True, False]


def test_a_percent_encoded_destination_is_decoded(server: QStashServer, client: QStash) -> None:
    path = "/v2/publish/https%3A%2F%2Fexample.com%2Fhook"
    response = send(server, "POST", path, headers={"Upstash-Delay": "60s"})
    assert client.message.get(response.json()["messageId"]).url == HOOK


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v2/publish/my-group", {}, 400),
        (f"/v2/publish/{HOOK}", {"Upstash-Cron": EVERY_MINUTE}, 400),
        (f"/v2/publish/{HOOK}", {"Upstash-Retries": "many"}, 400),
        (f"/v2/schedules/{HOOK}", {}, 400),
        (f"/v2/enqueue/q/{HOOK}", {}, 404),
        ("/v2/batch", {}, 400),
        ("/v1/publish", {}, 404),
    ],
)
def test_what_is_refused_says_why(server: QStashServer, path: str, headers: dict[str, str], status: int) -> None:
    response = send(server, "POST", path, headers=headers)
    assert response.status_code == status
    assert response.json()["error"]


@pytest.mark.parametrize(("size", "status"), [(2**20, 200), (2**20 + 1, 413)])
def test_a_message_holds_a_megabyte(server: QStashServer, size: int, status: int) -> None:
    headers = {"Upstash-Delay": "60s"}
    assert send(server, "POST", f"/v2/publish/{HOOK}", content=b"x" * size, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("length", "sent", "status"), [("30000000", b"", b"413"), ("x", b"", b"400"), ("9", b"x", b"400")]
)
def test_a_body_that_is_not_as_long_as_it_should_be_is_refused(
    server: QStashServer, length: str, sent: bytes, status: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", int(server.url.split(":")[-1]))) as connection:
        connection.sendall(f"POST /v2/publish/{HOOK} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n".encode() + sent)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(65536).split()[1] == status


def test_a_request_without_a_length_is_refused(server: QStashServer) -> None:
    assert send(server, "POST", f"/v2/publish/{HOOK}", content=iter([b"x"])).status_code == 411


def test_a_batch_publishes_each_item_with_its_own_options(client: QStash) -> None:
    items: list[BatchJsonRequest] = [
        {"url": f"{HOOK}/{n}", "body": n, "not_before": int(START) + n, "deduplication_id": f"tick-{n % 2}"}
        for n in (5, 10, 15)
    ]
    responses = [response for response in client.message.batch_json(items) if not isinstance(response, list)]
    assert [response.deduplicated for response in responses] == [False, False, True]
    message = client.message.get(responses[1].message_id)
    assert (message.url, message.body, message.not_before) == (f"{HOOK}/10", "10", (START + 10) * 1000)
    assert responses[2].message_id == responses[0].message_id


def test_a_bad_item_of_a_batch_does_not_hold_up_the_good_ones(server: QStashServer, client: QStash) -> None:
    good = {"destination": HOOK, "headers": {"Upstash-Delay": "60s"}, "body": None, "queue": None}
    bad = [{"destination": "nowhere"}, {"destination": HOOK, "queue": "q"}, {"destination": HOOK, "body": {}}, 1]
    bad += [{"destination": HOOK, "headers": {"a": 1}}, {"destination": HOOK, "body": "x" * (2**20 + 1)}]
    first, *middle, last = send(server, "POST", "/v2/batch", json=[good, *bad, good]).json()
    assert all(list(item) == ["error"] for item in middle)
    assert client.message.get(first["messageId"]).url == client.message.get(last["messageId"]).url == HOOK


def test_cancelled_messages_are_gone(client: QStash) -> None:
    one, two, three, four = (publish(client, delay=60).message_id for _ in range(4))
    client.message.cancel(one)
    assert client.message.cancel_many([one, two]) == 1
    assert client.message.cancel_all() == 2
    for message_id in (one, two, three, four):
        with pytest.raises(QStashError, match="404"):
            client.message.get(message_id)
        with pytest.raises(QStashError, match="404"):
            client.message.cancel(message_id)


def test_cancelling_by_a_filter_is_refused_rather_than_cancelling_all(server: QStashServer, client: QStash) -> None:
    message_id = publish(client, delay=60).message_id
    assert send(server, "DELETE", "/v2/messages?label=old").status_code == 400
    assert client.message.get(message_id).message_id == message_id


def test_the_client_reads_a_schedule(client: QStash) -> None:
    schedule_id = client.schedule.create_json(
        destination=HOOK, cron="*/5 * * * *", body={"a": 1}, schedule_id="app.tick", delay=25, retries=0, timeout=10
    )
    schedule = client.schedule.get("app.tick")
    assert (schedule_id, schedule.schedule_id, schedule.cron) == ("app.tick", "app.tick", "*/5 * * * *")
    assert (schedule.destination, schedule.method, schedule.body) == (HOOK, "POST", '{"a": 1}')
    assert (schedule.delay, schedule.retries, schedule.timeout, schedule.paused) == (25, 0, 10, False)
    assert (schedule.created_at, schedule.next_schedule_time) == (START * 1000, (START + 270) * 1000)
    assert (schedule.last_schedule_time, schedule.last_schedule_states) == (None, None)
    assert schedule.caller_ip == "127.0.0.1"
    assert client.schedule.list() == [schedule]


def test_a_schedule_of_the_same_id_is_replaced(client: QStash) -> None:
    for cron in (EVERY_MINUTE, "0 * * * *"):
        client.schedule.create(destination=HOOK, cron=cron, schedule_id="s")
    assert [schedule.cron for schedule in client.schedule.list()] == ["0 * * * *"]


def test_schedules_without_an_id_are_each_a_new_one_up_to_the_cap(client: QStash) -> None:
    created = {client.schedule.create(destination=HOOK, cron=EVERY_MINUTE) for _ in range(2)}
    assert {schedule.schedule_id for schedule in client.schedule.list()} == created
    with pytest.raises(QStashError, match="412"):
        client.schedule.create(destination=HOOK, cron=EVERY_MINUTE)


def test_a_cron_of_six_fields_is_refused(client: QStash) -> None:
    with pytest.raises(QStashError, match=r"400.*expected exactly 5 fields, found 6"):
        client.schedule.create(destination=HOOK, cron="*/5 * * * * *")


def test_a_schedule_is_paused_resumed_and_deleted(client: QStash) -> None:
    client.schedule.create(destination=HOOK, cron=EVERY_MINUTE, schedule_id="s")
    client.schedule.pause("s")
    assert client.schedule.get("s").paused
    client.schedule.resume("s")
    assert not client.schedule.get("s").paused
    client.schedule.delete("s")
    assert client.schedule.list() == []
    for call in (client.schedule.get, client.schedule.pause, client.schedule.resume, client.schedule.delete):
        with pytest.raises(QStashError, match="404"):
            call("s")


def test_replacing_a_schedule_loses_no_run_that_was_due(clock: Clock, client: QStash) -> None:
    client.schedule.create(destination=HOOK, cron=EVERY_MINUTE, schedule_id="s", delay="1h")
    clock.now += 30
    client.schedule.create(destination=HOOK, cron=EVERY_MINUTE, schedule_id="s", delay="1h")
    assert client.message.cancel_all() == 1


def test_a_fired_schedule_tells_its_times_and_states(
    clock: Clock, server: QStashServer, client: QStash, endpoint: Endpoint
) -> None:
    client.schedule.create(destination=endpoint.url, cron=EVERY_MINUTE, schedule_id="s")
    clock.now += 30
    server.wake()
    eventually(lambda: client.log.list(filter={"schedule_id": "s", "state": LogState.DELIVERED}).logs)
    schedule = client.schedule.get("s")
    assert schedule.last_schedule_time == clock.now * 1000
    assert schedule.next_schedule_time == (clock.now + 60) * 1000
    assert list((schedule.last_schedule_states or {}).values()) == [ScheduleState.SUCCESS]


def test_rotating_makes_the_next_key_current(server: QStashServer, client: QStash) -> None:
    before = client.signing_key.get()
    assert (before.current, before.next) == (server.current_signing_key, server.next_signing_key)
    after = client.signing_key.rotate()
    assert after.current == before.next
    assert after.next not in (before.current, before.next)
    assert (after.current, after.next) == (server.current_signing_key, server.next_signing_key)


def test_the_log_tells_the_life_of_a_message(client: QStash, endpoint: Endpoint) -> None:
    endpoint.answers = [Answer(500, {"X-Why": "db"}, b"no database")]
    message_id = publish(client, url=endpoint.url, body="hi", retries=1, retry_delay="0", label="l").message_id
    eventually(lambda: len(client.log.list(filter={"message_id": message_id}).logs) == 6)
    logs = client.log.list(filter={"message_id": message_id}).logs[::-1]
    assert [log.state.value for log in logs] == ["CREATED", "ACTIVE", "ERROR", "RETRY", "ACTIVE", "DELIVERED"]
    error, retry = logs[2], logs[3]
    assert (error.response_status, error.error, error.response_body) == (500, "answered 500", "bm8gZGF0YWJhc2U=")
    assert (error.response_headers or {})["X-Why"] == ["db"]
    assert (retry.next_delivery_time, retry.max_retries, retry.retry_delay_expression) == (START * 1000, 1, "0")
    assert (retry.url, retry.method, retry.label, retry.body_base64) == (endpoint.url, "POST", "l", "ImhpIg==")


def test_the_log_is_filtered_and_paged(client: QStash) -> None:
    first, second = (publish(client, url=f"{HOOK}/{n}", delay=60, label=n).message_id for n in "ab")

    def found(**query: Any) -> list[str]:
        return [log.message_id for log in client.log.list(filter=query).logs]  # type: ignore[arg-type]

    assert found() == [second, first]
    assert found(url=f"{HOOK}/a") == found(label="a") == found(message_ids=[first, "x"]) == [first]
    assert found(state=LogState.FAILED) == found(queue="q") == found(from_time=int(START * 1000) + 1) == []
    page = client.log.list(count=1)
    rest = client.log.list(count=1, cursor=page.cursor)
    assert [log.message_id for log in page.logs + rest.logs] == [second, first]
    assert rest.cursor is None


def test_a_failed_message_is_found_in_the_dlq_and_deleted(client: QStash, endpoint: Endpoint) -> None:
    endpoint.answers = [Answer(500, {"X-Why": "db"}, b"no database")] * 3
    failed = [publish(client, url=endpoint.url, retries=0).message_id for _ in range(3)]
    letters = eventually(lambda: len(client.dlq.list().messages) == 3 and client.dlq.list().messages)
    assert letters
    assert {letter.message_id for letter in letters} == set(failed)
    one = client.dlq.get(letters[0].dlq_id)
    assert (one.response_status, one.response_body, one.response_headers["X-Why"]) == (500, "no database", ["db"])  # type: ignore[index]
    assert client.dlq.list(filter={"message_id": failed[0], "response_status": 500}).messages[0].message_id == failed[0]
    assert client.dlq.list(filter={"caller_ip": "10.0.0.1"}).messages == []
    assert len(client.dlq.list(count=2).messages) == 2
    client.dlq.delete(letters[0].dlq_id)
    assert client.dlq.delete_many([letter.dlq_id for letter in letters]) == 2
    assert client.dlq.list().messages == []
    for call in (client.dlq.get, client.dlq.delete):
        with pytest.raises(QStashError, match="404"):
            call(letters[0].dlq_id)


def test_the_page_shows_why_a_webhook_failed(server: QStashServer, client: QStash, endpoint: Endpoint) -> None:
    endpoint.answers = [Answer(500, body=b"<script>alert(1)</script>" + b"x" * 1000)]
    client.schedule.create(destination=f"{HOOK}?<b>", cron=EVERY_MINUTE, schedule_id="app.tick")
    message_id = publish(client, url=endpoint.url, headers={"X-Key": "very-secret"}).message_id
    eventually(lambda: client.log.list(filter={"message_id": message_id, "state": LogState.RETRY}).logs)
    page = httpx.get(server.url, trust_env=False).text
    for text in ("app.tick", EVERY_MINUTE, "2026-01-01 00:01:00", message_id, "RETRY", "1 of 4", "500", "answered 500"):
        assert text in page
    assert "<script>" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
    assert max(len(run) for run in re.findall("x+", page)) < 500
    for secret in (server.token, server.current_signing_key, server.next_signing_key, "very-secret"):
        assert secret not in page


def test_a_message_that_is_tried_again_still_shows_why_it_failed_before() -> None:
    failed = {"messageId": "m", "state": "RETRY", "retried": 0, "responseStatus": 500, "error": "bad", "durationMs": 7}
    [row] = latest_messages([{"messageId": "m", "state": "ACTIVE", "retried": 1}, failed])
    assert (row["state"], row["retried"]) == ("ACTIVE", 1)
    assert (row["responseStatus"], row["error"], row["durationMs"]) == (500, "bad", 7)


def test_the_page_lists_the_last_200_messages(server: QStashServer, client: QStash) -> None:
    ids = [publish(client, delay=60).message_id for _ in range(201)]
    page = httpx.get(server.url, trust_env=False).text
    assert [message_id in page for message_id in ids] == [False] + [True] * 200


def test_the_page_is_not_shown_under_a_foreign_name(server: QStashServer) -> None:
    assert httpx.get(server.url, headers={"Host": "evil.example"}, trust_env=False).status_code == 403


def test_a_token_of_another_region_is_not_found_here() -> None:
    with QStashServer(tokens_elsewhere=["theirs"]) as server, client_of(server, "theirs") as client:
        refused = pytest.raises(QStashError, match=r"status: 404.*user not found in this region")
        with refused:
            client.schedule.list()


def test_after_the_day_s_quota_no_message_is_taken_and_no_batch() -> None:
    with QStashServer(message_limit=1) as server, client_of(server) as client:
        client.message.publish_json(url=HOOK, body={}, delay=60)
        with pytest.raises(DailyMessageLimitExceededError) as caught:
            client.message.publish_json(url=HOOK, body={})
        assert (caught.value.limit, caught.value.remaining) == ("1", "0")
        with pytest.raises(DailyMessageLimitExceededError):
            client.message.batch_json([BatchJsonRequest(url=HOOK, body={})])
