"""The README's recipe for other hosts: gunicorn with the product's files alone, called by QStash and over raw HTTP."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from qstash import QStash
from qstash.log import Log, LogState
from qstash.message import PublishResponse
from upstash_redis import Redis

from lib.core.schedules import BATCH_PROCESS_PATH, JOBS, PROCESS_ACTIONS, WARM_CACHE, Job
from lib.settings import Settings
from local.qstash.server import QStashServer
from tests.adapters.roles import administer
from tests.api.signing import sign
from tests.conftest import Servers
from tests.end_to_end.attacks import Answer, Headers, as_one_chunk, length_of, read_answers, write_request
from tests.end_to_end.checkout import free_port
from tests.local.qstash_support import client_of
from tests.support import eventually, qstash_settings, variables_of

ROOT = Path(__file__).resolve().parents[2]
DEPLOYED = ("api", "lib", "public", "requirements.txt")
WORKERS = 2
KEY = "the-admin-key-of-this-test"
WITH_KEY = {"Authorization": f"Bearer {KEY}"}
PING = b'{"action": "ping"}'
BROKEN = """
from lib.web.edge import keyed_application

def fail(request, services):
    raise ZeroDivisionError(services.settings.admin_api_key)

app = keyed_application("/api/broken", fail)
"""

FROM_1_TO_16 = "FROM generate_series(1, 16) n"
CHUNKED = ("Transfer-Encoding", "chunked")
ENDS = (LogState.DELIVERED, LogState.ERROR, LogState.FAILED)

Variables = Mapping[str, str]


def command_line(address: str) -> list[str]:
    """What README.md says, but for the address."""
    [line] = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("gunicorn ")]
    words = shlex.split(line)
    words[words.index("--bind") + 1] = address
    return [sys.executable, "-m", *words]


class Gunicorn:
    """The server at work, as its callers and its host see it."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, output: Path) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self._address = ("127.0.0.1", port)
        self._output = output

    @property
    def output(self) -> str:
        return self._output.read_text()

    def lines(self, pattern: str) -> list[str]:
        return [line for line in self.output.splitlines() if re.search(pattern, line)]

    def is_listening(self) -> bool:
        with suppress(OSError), socket.create_connection(self._address, timeout=5):
            return True
        return False

    def is_gone(self) -> bool:
        """Whether no process of it is left, workers included."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(self.url + path, headers=headers, timeout=30)

    def post(self, path: str, body: bytes, **headers: str) -> httpx.Response:
        return httpx.post(self.url + path, content=body, headers=headers, timeout=30)

    def send(self, data: bytes) -> list[Answer]:
        """The answers to these bytes, until the server closes the connection."""
        received = b""
        with socket.create_connection(self._address, timeout=30) as connection, suppress(ConnectionResetError):
            connection.sendall(data)
            while part := connection.recv(65_536):
                received += part
        return read_answers(received)


@contextmanager
def serving(folder: Path, variables: Variables, port: int) -> Iterator[Gunicorn]:
    """In a copy of what is deployed and nothing else, with these variables and no others of ours."""
    home = folder / "app"
    home.mkdir()
    for part in DEPLOYED:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, home / part)
    (home / "api" / "broken.py").write_text(BROKEN)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **variables}
    output = folder / "output.txt"
    with (
        output.open("wb") as file,
        subprocess.Popen(
            command_line(f"127.0.0.1:{port}"),
            cwd=home,
            env=environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
        ) as process,
    ):
        server = Gunicorn(process, port, output)
        try:
            eventually(lambda: process.poll() is not None or server.is_listening(), 30)
            assert process.poll() is None, server.output
            yield server
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def push(settings: Settings, actions: Sequence[Mapping[str, str]]) -> None:
    """As an app does it, with the vendor's client."""
    with Redis(settings.redis_url, settings.redis_token) as redis:
        redis.lpush("pending_user_actions", *map(json.dumps, actions))


def signed(settings: Settings, body: bytes) -> dict[str, str]:
    url = settings.app_url + BATCH_PROCESS_PATH
    return {"Upstash-Signature": sign(body, url, settings.qstash_current_signing_key)}


def rows(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(settings.database_url) as connection:
        return connection.execute(query.encode()).fetchall()


def count_waiting(settings: Settings) -> int:
    """The functions' connections that wait for a lock in Postgres."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return int(rows(settings, query)[0][0])


@dataclass(frozen=True)
class Site:
    """The server with services that were empty before /api/init."""

    server: Gunicorn
    settings: Settings
    qstash: QStashServer

    def deliver(self, job: Job) -> Log:
        """Has QStash call for a job; what its log says in the end."""
        with client_of(self.qstash) as client:
            sent = client.message.publish_json(url=self.settings.app_url + job.path, body=dict(job.body), retries=0)
            assert isinstance(sent, PublishResponse)
            entries = eventually(lambda: [e for e in logged(client, sent.message_id) if e.state in ENDS], timeout=30)
        return entries[0]

    def recommended(self, user_id: str) -> list[str]:
        document = self.server.get(f"/api/recommend?user_id={user_id}&n=100", **WITH_KEY).json()
        assert document["user_id"] == user_id
        return [item["content_id"] for item in document["items"]]


def logged(client: QStash, message_id: str) -> list[Log]:
    return client.log.list(filter={"message_id": message_id}).logs


@pytest.fixture(scope="module")
def site(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Its QStash's clock stands still: nothing is delivered but what a test publishes."""
    now, port = time.time(), free_port()
    name, token = "test_gunicorn", "token-of-test-gunicorn"
    administer(servers.postgres.url, f"CREATE DATABASE {name}")
    servers.rest.add_token(token, 0)
    with QStashServer(clock=lambda: now) as qstash:
        settings = Settings(
            redis_url=servers.rest.url,
            redis_token=token,
            database_url=servers.postgres.database_url(name),
            **qstash_settings(qstash),
            app_url=f"http://127.0.0.1:{port}",
            admin_api_key=KEY,
        )
        with serving(tmp_path_factory.mktemp("site"), variables_of(settings), port) as server:
            assert server.get("/api/init", **WITH_KEY).json()["ok"], server.output
            administer(settings.database_url, f"INSERT INTO content (content_id) SELECT 'item-' || n {FROM_1_TO_16}")
            yield Site(server, settings, qstash)
    administer(servers.postgres.url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    """As a developer may try the recipe on his own machine, with no service behind it."""
    with serving(tmp_path_factory.mktemp("trusting"), {"ALLOW_UNSIGNED_LOCAL": "1"}, free_port()) as server:
        yield server


# ---- What it is for --------------------------------------------------------------------------------------------------


def test_init_makes_the_four_schedules_for_who_has_the_key(site: Site) -> None:
    assert site.server.get("/api/init").status_code == 401
    assert site.server.get("/api/init", **WITH_KEY).json()["ok"]
    with client_of(site.qstash) as client:
        destinations = [schedule.destination for schedule in client.schedule.list()]
    assert sorted(destinations) == sorted(site.settings.app_url + job.path for job in JOBS.values())


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_what_qstash_delivers_is_done(site: Site, job: Job) -> None:
    entry = site.deliver(job)
    assert (entry.state, entry.response_status) == (LogState.DELIVERED, 200)


@pytest.mark.parametrize("path", sorted({job.path for job in JOBS.values()}))
def test_a_message_that_nobody_signed_is_refused(site: Site, path: str) -> None:
    for headers in ({}, {"Upstash-Signature": "forged"}, {"Host": "localhost"}, WITH_KEY):
        assert site.server.post(path, PING, **headers).status_code == 401


def test_an_action_has_its_effect_when_it_is_drained(site: Site) -> None:
    assert "item-3" in site.recommended("ada")
    push(site.settings, [{"id": "of-ada", "user_id": "ada", "content_id": "item-3", "action": "like"}])
    assert site.deliver(PROCESS_ACTIONS).state == LogState.DELIVERED
    assert rows(site.settings, "SELECT content_id FROM user_actions WHERE user_id = 'ada'") == [("item-3",)]
    assert sorted(site.recommended("ada")) == sorted(f"item-{n}" for n in range(1, 17) if n != 3)


def test_requests_at_once_get_each_its_own_answer(site: Site) -> None:
    users = {f"reader-{n}": f"item-{n}" for n in range(1, 17)}
    push(site.settings, [{"user_id": user, "content_id": read, "action": "like"} for user, read in users.items()])
    assert site.deliver(PROCESS_ACTIONS).state == LogState.DELIVERED
    with ThreadPoolExecutor(len(users)) as threads, psycopg.connect(site.settings.database_url) as holder:
        holder.execute("LOCK user_actions IN ACCESS EXCLUSIVE MODE")
        answers = threads.map(site.recommended, users)
        eventually(lambda: count_waiting(site.settings) > WORKERS)  # so that one worker has several in hand
        holder.rollback()
        lists = dict(zip(users, answers, strict=True))
    assert {user: set(users.values()) - set(items) for user, items in lists.items()} == {
        user: {read} for user, read in users.items()
    }


def test_what_a_job_did_stands_in_the_output_once(site: Site) -> None:
    site.deliver(WARM_CACHE)
    lines = site.server.lines(r"^\S+ INFO cache warming ok job=warm_cache outcome=ok duration_ms=\d+ ")
    assert lines
    assert len(set(lines)) == len(lines)


# ---- HTTP ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PROPFIND"])
def test_another_method_is_refused_and_the_right_one_named(site: Site, method: str) -> None:
    [answer] = site.server.send(write_request(method, BATCH_PROCESS_PATH))
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert (answer.body == b"") == (method == "HEAD")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", ["/", "/api", "/api/init.py", "/api/../lib/settings.py", "/robots.txt"])
def test_an_unknown_path_is_not_found(site: Site, method: str, path: str) -> None:
    [answer] = site.server.send(write_request(method, path))
    assert (answer.status, answer.headers["content-type"]) == (404, "application/json; charset=utf-8")
    assert answer.body == b"" if method == "HEAD" else answer.json["error"]["code"] == "not_found"


def test_what_nobody_foresaw_is_a_500_in_json_and_the_output_says_why(site: Site) -> None:
    answer = site.server.get("/api/broken", **WITH_KEY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    reference = answer.json()["error"]["message"].split()[-1].rstrip(".")
    assert site.server.lines(rf" ERROR request failed: a defect, ZeroDivisionError .* reference={reference}$")
    assert site.server.lines(rf"^{reference} \| ZeroDivisionError: \[secret\]$")
    assert KEY not in site.server.output


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_a_body_that_is_too_long_is_refused(site: Site, chunked: bool) -> None:
    body = b" " * 1_000_001
    headers = [CHUNKED if chunked else length_of(body)]
    data = write_request("POST", BATCH_PROCESS_PATH, headers, as_one_chunk(body) if chunked else body)
    assert [answer.status for answer in site.server.send(data)] == [413]


@pytest.mark.parametrize("body", [b"-1\r\n\r\n", b"1\r\nabc\r\n0\r\n\r\n", b"0\r\nHost: x\r\n\r\n"])
def test_a_body_in_chunks_that_are_none_is_refused_and_ends_the_connection(site: Site, body: bytes) -> None:
    data = write_request("POST", BATCH_PROCESS_PATH, [CHUNKED], body + SMUGGLED, closes=False)
    assert [answer.status for answer in site.server.send(data)] == [400]
    assert site.server.lines(r" WARNING QStash delivery failed: .+ code=invalid_input ")


def test_a_signed_body_in_chunks_is_read(site: Site) -> None:
    headers = [CHUNKED, *signed(site.settings, PING).items()]
    [answer] = site.server.send(write_request("POST", BATCH_PROCESS_PATH, headers, as_one_chunk(PING)))
    assert answer.json == {"ok": True}


def test_several_requests_of_one_connection_are_answered_in_their_order(site: Site) -> None:
    paths = ("/api/status", "/nowhere", BATCH_PROCESS_PATH)
    data = b"".join(write_request("GET", path, closes=path == paths[-1]) for path in paths)
    assert [answer.status for answer in site.server.send(data)] == [401, 404, 405]


# ---- Who is taken for a caller of this machine -----------------------------------------------------------------------

# What runs a job where it gets in, and needs nothing because it names this machine.
SMUGGLED = write_request("POST", BATCH_PROCESS_PATH, [length_of(PING)], PING, host="localhost", closes=False)
ENDS_AT_ONCE = b"0\r\n\r\n"
FOREIGN = ("X-Forwarded-For", "203.0.113.9")


@pytest.mark.parametrize("length", [0, 4, len(ENDS_AT_ONCE + SMUGGLED)])
@pytest.mark.parametrize("turned", [False, True], ids=["length first", "chunks first"])
def test_a_body_of_two_lengths_is_refused_and_ends_the_connection(
    trusting: Gunicorn, length: int, turned: bool
) -> None:
    headers = [("Content-Length", str(length)), CHUNKED]
    headers = headers[::-1] if turned else headers
    data = write_request("POST", BATCH_PROCESS_PATH, headers, ENDS_AT_ONCE + SMUGGLED, closes=False)
    assert [answer.status for answer in trusting.send(data)] == [400]


def test_a_call_of_this_machine_needs_nothing_where_that_is_allowed(trusting: Gunicorn) -> None:
    """Without this every refusal below could be for another reason."""
    assert trusting.send(SMUGGLED + write_request("GET", "/"))[0].json == {"ok": True}


FROM_ELSEWHERE: dict[str, Headers] = {
    "forwarded": [FOREIGN],
    "by another header": [("X-Real-IP", "203.0.113.9")],
    "by the standard header": [("Forwarded", "for=203.0.113.9")],
    "hidden after an underscore": [FOREIGN, ("X_Forwarded_For", "127.0.0.1")],
    "hidden before an underscore": [("X_Forwarded_For", "127.0.0.1"), FOREIGN],
    "hidden by a claim": [("X-Forwarded-For", "127.0.0.1"), FOREIGN],
    "in the place of our own variables": [FOREIGN, ("REMOTE_ADDR", "127.0.0.1"), ("HTTP_X_FORWARDED_FOR", "127.0.0.1")],
}


@pytest.mark.parametrize("headers", FROM_ELSEWHERE.values(), ids=FROM_ELSEWHERE)
def test_a_call_that_a_proxy_forwards_is_none_of_this_machine(trusting: Gunicorn, headers: Headers) -> None:
    request = write_request("POST", BATCH_PROCESS_PATH, [length_of(PING), *headers], PING, host="localhost")
    assert [answer.status for answer in trusting.send(request)] == [401]


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "Script-Name", "PATH_INFO"])
def test_no_header_makes_one_path_another(trusting: Gunicorn, name: str) -> None:
    """A caller of this machine, which a proxy is, may set some of them."""
    for value, path in (("/elsewhere", "/elsewhere/api/status"), ("/api/status", "/nowhere")):
        [answer] = trusting.send(write_request("GET", path, [(name, value)], host="localhost"))
        assert answer.status in (404, 500)  # the latter from gunicorn, where the path doesn't begin with SCRIPT_NAME


# ---- The end ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HeldDrain:
    """A server in the middle of draining 50 actions: it waits for its turn to write the log, which `holder` has."""

    server: Gunicorn
    holder: psycopg.Connection[Any]
    delivery: Future[httpx.Response]

    def finish(self) -> httpx.Response:
        self.holder.rollback()
        return self.delivery.result()


@pytest.fixture
def held(settings: Settings, tmp_path: Path) -> Iterator[HeldDrain]:
    push(settings, [{"user_id": f"user-{n}", "content_id": "c", "action": "view"} for n in range(50)])
    body = json.dumps(PROCESS_ACTIONS.body).encode()
    with (
        ThreadPoolExecutor(1) as threads,
        serving(tmp_path, variables_of(settings), free_port()) as server,
        psycopg.connect(settings.database_url) as holder,
    ):
        holder.execute("SELECT pg_advisory_xact_lock(7240219)")
        delivery = threads.submit(server.post, BATCH_PROCESS_PATH, body, **signed(settings, body))
        eventually(lambda: count_waiting(settings) == 1)
        yield HeldDrain(server, holder, delivery)


def assert_all_is_applied(settings: Settings, answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["applied"], answer.json()["pending"]) == (200, 50, 0)
    assert rows(settings, "SELECT count(*) FROM user_actions") == [(50,)]
    with Redis(settings.redis_url, settings.redis_token) as redis:
        assert redis.keys("recs:batch:*") == []
        assert redis.zcard("recs:leases") == 0


def test_told_to_end_it_finishes_what_runs_and_leaves_no_process(settings: Settings, held: HeldDrain) -> None:
    held.server.process.terminate()
    eventually(lambda: held.server.lines("Worker exiting"))  # the one that has nothing to do
    assert_all_is_applied(settings, held.finish())
    assert held.server.process.wait(30) == 0
    assert held.server.is_gone()


def test_told_to_reload_it_serves_on_while_what_runs_is_finished(settings: Settings, held: HeldDrain) -> None:
    held.server.process.send_signal(signal.SIGHUP)
    eventually(lambda: held.server.lines("Worker exiting"))
    for _ in range(10):
        assert held.server.post(BATCH_PROCESS_PATH, PING, **signed(settings, PING)).json() == {"ok": True}
    assert_all_is_applied(settings, held.finish())
