"""Deliveries of the local QStash to a real endpoint: signature, headers, retries, callbacks, limits, stopping."""

import base64
import hashlib
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from qstash import QStash, Receiver
from qstash.errors import SignatureError
from qstash.log import Log, LogState

from local.qstash import QStashServer
from local.qstash.delivery import MAX_RESPONSE_BYTES, Courier
from local.qstash.engine import THREAD_NAME
from local.qstash.messages import Message
from local.qstash.signing import sign
from tests.local.qstash_support import START, Answer, Clock, Endpoint, client_of, draft, serving_endpoint
from tests.support import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _without_looking_at_the_clock_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """What wakes the server is then what each test means to wake it."""
    monkeypatch.setattr("local.qstash.engine.LONGEST_WAIT_SECONDS", 3600.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Iterator[QStashServer]:
    with QStashServer(clock=clock) as server:
        yield server


@pytest.fixture
def client(server: QStashServer) -> Iterator[QStash]:
    with client_of(server) as client:
        yield client


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving_endpoint() as endpoint:
        yield endpoint


def publish(client: QStash, url: str, **options: Any) -> str:
    response = client.message.publish(url=url, **options)
    assert not isinstance(response, list)
    return response.message_id


def reached(client: QStash, message_id: str, state: LogState) -> Log:
    """The log entry of a message's state, as soon as there is one."""
    return eventually(lambda: client.log.list(filter={"message_id": message_id, "state": state}).logs)[0]


def test_the_claims_are_those_of_the_vendors_published_example() -> None:
    key, url = "sig_55CLgfUo1cbmvP6kZ2Z3WU4fQ1A3", "https://rebaz-qstash.requestcatcher.com/test"
    token = sign(key, url=url, body=b"Hello World", now=1664713164.9)
    claims = jwt.decode(token, key, algorithms=["HS256"], options={"verify_exp": False})
    assert claims.pop("jti").startswith("jwt_")
    assert claims == {
        "body": "pZGm1Av0IEBKARczz7exkNYsZb8LzaMrV7J32a2fFG4=",
        "exp": 1664713464,
        "iat": 1664713164,
        "iss": "Upstash",
        "nbf": 1664713164,
        "sub": url,
    }


def test_the_vendors_receiver_accepts_a_delivery_and_nothing_else(endpoint: Endpoint) -> None:
    url = f"{endpoint.url}?a=1"
    with QStashServer() as server, client_of(server) as client:
        receiver = Receiver(server.current_signing_key, server.next_signing_key)
        publish(client, url, body="{}")
        delivery = eventually(lambda: endpoint.deliveries)[0]
    signature, body = delivery.headers["Upstash-Signature"], delivery.body.decode()
    receiver.verify(signature=signature, body=body, url=url)
    right: dict[str, Any] = {"signature": signature, "body": body, "url": url}
    for wrong in ({"body": "[]"}, {"url": endpoint.url}, {"signature": signature + "x"}):
        with pytest.raises(SignatureError):
            receiver.verify(**right | wrong)


def test_after_a_rotation_deliveries_are_signed_with_the_former_next_key(endpoint: Endpoint) -> None:
    with QStashServer() as server, client_of(server) as client:
        receiver = Receiver(server.current_signing_key, server.next_signing_key)
        client.signing_key.rotate()
        publish(client, endpoint.url, body="x")
        delivery = eventually(lambda: endpoint.deliveries)[0]
        receiver.verify(signature=delivery.headers["Upstash-Signature"], body="x")
        client.signing_key.rotate()
        publish(client, endpoint.url, body="x")
        delivery = eventually(lambda: endpoint.deliveries[1:])[0]
        with pytest.raises(SignatureError):
            receiver.verify(signature=delivery.headers["Upstash-Signature"], body="x")


def test_a_delivery_is_the_request_that_was_asked_for(client: QStash, endpoint: Endpoint) -> None:
    message_id = publish(
        client,
        f"{endpoint.url}?a=%20b",
        method="PUT",
        body=b"\x00\xff",
        content_type="application/octet-stream",
        headers={"Authorization": "Bearer theirs", "User-Agent": "forged", "Upstash-Message-Id": "forged"},
    )
    [delivery] = eventually(lambda: endpoint.deliveries)
    assert (delivery.method, delivery.path, delivery.body) == ("PUT", "/hook?a=%20b", b"\x00\xff")
    headers = delivery.headers
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Authorization"] == "Bearer theirs"
    assert headers["User-Agent"] == "Upstash-QStash"
    assert headers["Upstash-Message-Id"] == message_id
    assert (headers["Upstash-Retried"], headers["Upstash-Caller-Ip"]) == ("0", "127.0.0.1")
    assert "Upstash-Schedule-Id" not in headers
    reached(client, message_id, LogState.DELIVERED)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_message_without_a_body_is_delivered_without_one(client: QStash, endpoint: Endpoint, method: Any) -> None:
    publish(client, endpoint.url, method=method)
    [delivery] = eventually(lambda: endpoint.deliveries)
    assert (delivery.method, delivery.body) == (method, b"")
    assert "Content-Type" not in delivery.headers


def test_a_schedules_delivery_names_its_schedule(
    clock: Clock, server: QStashServer, client: QStash, endpoint: Endpoint
) -> None:
    client.schedule.create_json(destination=endpoint.url, cron="* * * * *", body={"a": 1}, schedule_id="app.tick")
    clock.now += 30
    server.wake()
    [delivery] = eventually(lambda: endpoint.deliveries)
    assert delivery.headers["Upstash-Schedule-Id"] == "app.tick"
    assert json.loads(delivery.body) == {"a": 1}


def test_a_delayed_message_comes_after_one_without_a_delay(
    clock: Clock, server: QStashServer, client: QStash, endpoint: Endpoint
) -> None:
    publish(client, endpoint.url, body="later", not_before=int(START) + 5)
    publish(client, endpoint.url, body="now")
    eventually(lambda: endpoint.deliveries)
    clock.now += 5
    server.wake()
    eventually(lambda: len(endpoint.deliveries) == 2)
    assert endpoint.bodies() == [b"now", b"later"]


def test_a_delay_ends_by_itself(endpoint: Endpoint) -> None:
    with QStashServer() as server, client_of(server) as client:
        publish(client, endpoint.url, delay="50ms")
        eventually(lambda: endpoint.deliveries)


def test_a_retry_waits_for_as_long_as_the_endpoint_asks(
    clock: Clock, server: QStashServer, client: QStash, endpoint: Endpoint
) -> None:
    endpoint.answers = [Answer(503, {"Retry-After": "6m5s"})]
    message_id = publish(client, endpoint.url)
    assert reached(client, message_id, LogState.RETRY).next_delivery_time == (START + 365) * 1000
    clock.now += 365
    server.wake()
    reached(client, message_id, LogState.DELIVERED)
    assert [delivery.headers["Upstash-Retried"] for delivery in endpoint.deliveries] == ["0", "1"]


def test_a_redirect_is_not_followed_and_is_no_success(client: QStash, endpoint: Endpoint) -> None:
    endpoint.answers = [Answer(307, {"Location": endpoint.url})]
    message_id = publish(client, endpoint.url, retries=0)
    assert reached(client, message_id, LogState.FAILED).response_status == 307
    assert len(endpoint.deliveries) == 1


def test_a_non_retryable_error_is_a_dead_letter_at_once(client: QStash, endpoint: Endpoint) -> None:
    endpoint.answers = [Answer(489, {"Upstash-NonRetryable-Error": "true"}, b"never")]
    message_id = publish(client, endpoint.url)
    reached(client, message_id, LogState.FAILED)
    [letter] = client.dlq.list(filter={"message_id": message_id}).messages
    assert (letter.response_status, letter.response_body) == (489, "never")


def test_an_endpoint_that_is_not_there_is_a_failure_with_its_reason(client: QStash) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    message_id = publish(client, f"http://127.0.0.1:{port}/", retries=0)
    log = reached(client, message_id, LogState.FAILED)
    assert log.response_status == 0
    assert "ConnectionRefusedError" in str(log.error)


def test_an_endpoint_that_speaks_no_http_is_a_failure(client: QStash) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        message_id = publish(client, f"http://127.0.0.1:{listener.getsockname()[1]}/", retries=0)
        with listener.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(b"SSH-2.0-OpenSSH\r\n")
        assert "BadStatusLine" in str(reached(client, message_id, LogState.FAILED).error)


def test_an_endpoint_that_does_not_answer_in_time_has_failed(client: QStash, endpoint: Endpoint) -> None:
    endpoint.open.clear()
    message_id = publish(client, endpoint.url, retries=0, timeout="100ms")
    assert reached(client, message_id, LogState.FAILED).error == "no complete answer within 0.1 s"


def sent_in_vain(connection: socket.socket, piece: bytes) -> bool:
    """Whether the other side has gone."""
    try:
        connection.sendall(piece)
    except OSError:
        return True
    return False


def test_the_timeout_holds_for_an_answer_that_comes_in_drops(client: QStash) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        message_id = publish(client, f"http://127.0.0.1:{listener.getsockname()[1]}/", retries=0, timeout="200ms")
        with listener.accept()[0] as connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            eventually(lambda: sent_in_vain(connection, b"."))
    assert reached(client, message_id, LogState.FAILED).error == "no complete answer within 0.2 s"


def test_an_endless_answer_is_cut_short(client: QStash) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        message_id = publish(client, f"http://127.0.0.1:{listener.getsockname()[1]}/", retries=0)
        with listener.accept()[0] as connection:
            connection.sendall(b"HTTP/1.1 500 Oops\r\n\r\n")
            eventually(lambda: sent_in_vain(connection, b"x" * 65536))
    reached(client, message_id, LogState.FAILED)
    assert client.dlq.list().messages[0].response_body == "x" * MAX_RESPONSE_BYTES


def test_callbacks_are_signed_messages_of_their_own(endpoint: Endpoint) -> None:
    with serving_endpoint() as broken, QStashServer() as server, client_of(server) as client:
        broken.answers = [Answer(500, body=b"no database")]
        message_id = publish(
            client,
            broken.url,
            body="hello",
            retries=0,
            callback=f"{endpoint.url}/each",
            callback_headers={"X-Kind": "each"},
            failure_callback=f"{endpoint.url}/failed",
        )
        eventually(lambda: len(endpoint.deliveries) == 2)
        receiver = Receiver(server.current_signing_key, server.next_signing_key)
    told = {delivery.path: delivery for delivery in endpoint.deliveries}
    assert told["/hook/each"].headers["X-Kind"] == "each"
    for path, delivery in told.items():
        url = endpoint.url.replace("/hook", path)
        receiver.verify(signature=delivery.headers["Upstash-Signature"], body=delivery.body.decode(), url=url)
        payload = json.loads(delivery.body)
        assert (payload["status"], payload["sourceMessageId"], payload["url"]) == (500, message_id, broken.url)
        assert base64.b64decode(payload["body"]) == b"no database"
        assert base64.b64decode(payload["sourceBody"]) == b"hello"
        assert delivery.headers["Upstash-Message-Id"] != message_id
    assert "dlqId" in json.loads(told["/hook/failed"].body)


def test_ten_deliveries_run_at_once_and_no_more(client: QStash, endpoint: Endpoint) -> None:
    endpoint.open.clear()
    client.message.batch([{"url": endpoint.url} for _ in range(15)])
    eventually(lambda: endpoint.active == 10)
    endpoint.open.set()
    eventually(lambda: len(client.log.list(filter={"state": LogState.DELIVERED}).logs) == 15)
    assert (len(endpoint.deliveries), endpoint.most_active) == (15, 10)


def test_flow_control_lets_one_delivery_of_a_key_run_at_a_time(client: QStash, endpoint: Endpoint) -> None:
    client.message.batch([{"url": endpoint.url, "flow_control": {"key": "k", "parallelism": 1}} for _ in range(5)])
    eventually(lambda: len(client.log.list(filter={"state": LogState.DELIVERED}).logs) == 5)
    assert endpoint.most_active == 1


def test_publishing_from_many_threads_delivers_everything_once(endpoint: Endpoint) -> None:
    with QStashServer() as server, client_of(server) as client:
        with ThreadPoolExecutor(8) as threads:
            ids = list(threads.map(lambda n: publish(client, endpoint.url, body=str(n)), range(100)))
        eventually(lambda: len(client.log.list(filter={"state": LogState.DELIVERED}).logs) == 100)
    assert sorted(endpoint.bodies(), key=int) == [str(n).encode() for n in range(100)]
    assert {delivery.headers["Upstash-Message-Id"] for delivery in endpoint.deliveries} == set(ids)


def test_stopping_breaks_off_a_delivery_under_way(endpoint: Endpoint) -> None:
    endpoint.open.clear()
    with QStashServer() as server, client_of(server) as client:
        publish(client, endpoint.url)
        eventually(lambda: endpoint.active)
    assert THREAD_NAME not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", int(server.url.split(":")[-1]))):
        pass


def test_after_the_stop_no_delivery_begins(endpoint: Endpoint) -> None:
    courier = Courier()
    courier.abort()
    message = Message("msg_1", draft(url=endpoint.url), START, START)
    assert courier.send(message, {}).error == "ConnectionAbortedError: the server is stopping"
    assert endpoint.deliveries == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_what_a_client_needs_and_ends_when_told(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "local.qstash", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout
            lines = [process.stdout.readline().strip() for _ in range(4)]
            printed = {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}
            client = QStash(printed["QSTASH_TOKEN"], base_url=printed["QSTASH_URL"], retry=False)
            keys = client.signing_key.get()
            client.http._client.close()
            process.send_signal(number)
            assert process.wait(10) == 0
        finally:
            process.kill()
    assert printed["QSTASH_CURRENT_SIGNING_KEY"] == keys.current
    assert printed["QSTASH_NEXT_SIGNING_KEY"] == keys.next


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "local.qstash", "--port", str(taken.getsockname()[1])]
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("can't listen on 127.0.0.1:")
    assert "Traceback" not in result.stderr


def test_the_body_hash_is_of_the_raw_bytes() -> None:
    token = sign("k" * 32, url="https://a/", body=b"\xff", now=START)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert base64.urlsafe_b64decode(claims["body"]) == hashlib.sha256(b"\xff").digest()
