"""The web server that scripts/dev serves the functions with."""

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lib.log_lines import line
from lib.web.dispatcher import find_routes
from local import functions
from local.functions import ROOT, file_handler
from tests.support import eventually

BATCH_PROCESS = "/api/actions/batch-process"
PING = {"action": "ping"}


@pytest.fixture(scope="module")
def served() -> Iterator[httpx.Client]:
    """The functions as scripts/dev starts them, with no service behind them."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "local.functions", "--port", str(port)]
    environment = {"PATH": os.environ["PATH"], "ALLOW_UNSIGNED_LOCAL": "1"}
    with (
        subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client,
    ):
        try:
            eventually(lambda: process.poll() is not None or answers(client), 30)
            yield client
        finally:
            process.terminate()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/").status_code == 404
    except httpx.ConnectError:
        return False


@pytest.mark.parametrize("path", sorted(find_routes(ROOT / "api")))
def test_every_function_answers_in_json_where_no_service_is_named(served: httpx.Client, path: str) -> None:
    answer = served.request("PATCH", path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")


def test_a_call_from_this_machine_needs_no_signature(served: httpx.Client) -> None:
    assert served.post(BATCH_PROCESS, json=PING).status_code == 200


@pytest.mark.parametrize(
    "name", ["X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Host"], ids=lambda name: name.lower()
)
def test_what_a_tunnel_adds_reaches_the_function(served: httpx.Client, name: str) -> None:
    value = "for=203.0.113.9" if name == "Forwarded" else "203.0.113.9"
    answer = served.post(BATCH_PROCESS, content=json.dumps(PING), headers={name: value})
    assert answer.status_code == 401


def test_only_this_machine_can_connect(served: httpx.Client) -> None:
    with pytest.raises(OSError, match=r"refused|timed out|assign"):  # macOS has no 127.0.0.2 at all
        socket.create_connection(("127.0.0.2", served.base_url.port or 0), timeout=2).close()


def test_the_log_file_and_the_older_ones_beside_it_stay_within_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(functions, "LOG_BYTES", 1_000)
    folder = tmp_path / "logs"
    handler = file_handler(folder / "app.log")
    assert handler is not None
    for number in range(200):
        handler.handle(logging.makeLogRecord({"msg": line("at work", number=number), "levelname": "INFO"}))
    handler.close()
    assert sorted(path.name for path in folder.iterdir()) == ["app.log", "app.log.1", "app.log.2"]
    assert all(path.stat().st_size <= 1_000 for path in folder.iterdir())
    assert (folder / "app.log").read_text().endswith("INFO at work number=199\n")


def test_where_the_log_file_can_t_be_written_there_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "logs").write_text("a file, where a folder is needed")
    assert file_handler(tmp_path / "logs" / "app.log") is None
    assert "no log file" in caplog.text
