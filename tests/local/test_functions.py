"""Every function of api/ under the path that Vercel gives it, behind the web server that scripts/dev uses."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.functions import ROOT, Functions, find_routes
from tests.api.wsgi import Answer, call
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


def get(functions: Functions, path: str) -> Answer:
    return call(lambda environ, start_response: functions(dict(environ), start_response), "GET", path)


def test_every_file_of_api_has_the_path_that_vercel_gives_it() -> None:
    paths = {path: file.relative_to(ROOT).as_posix() for path, file in find_routes(ROOT / "api").items()}
    assert paths == {
        "/api/init": "api/init.py",
        "/api/status": "api/status.py",
        "/api/recommend": "api/recommend/index.py",
        BATCH_PROCESS: "api/actions/batch-process.py",
        "/api/recommend/cache/warm": "api/recommend/cache/warm.py",
        "/api/recommend/cold-start/refresh": "api/recommend/cold-start/refresh.py",
    }


def test_files_that_begin_with_an_underscore_or_a_dot_have_no_path(tmp_path: Path) -> None:
    for name in ("a.py", "_b.py", ".c.py", "_d/e.py", "__pycache__/f.py"):
        file = tmp_path / "api" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert list(find_routes(tmp_path / "api")) == ["/api/a"]


def test_a_function_is_imported_once_at_its_first_request(tmp_path: Path) -> None:
    folder = tmp_path / "api"
    folder.mkdir()
    (folder / "two-words.py").write_text(
        "from pathlib import Path\n"
        "with Path(__file__).with_suffix('.log').open('a') as log: log.write('imported ')\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [b'hello']\n"
    )
    functions, log = Functions(folder), folder / "two-words.log"
    assert not log.exists()
    assert [get(functions, "/api/two-words").body for _ in range(2)] == [b"hello", b"hello"]
    assert log.read_text() == "imported "


@pytest.mark.parametrize("path", ["/", "/api/nothing", "/api/recommend/index", "/api/init.py", "/api/../lib/errors"])
def test_an_unknown_path_is_a_404_that_lists_the_known_ones(path: str) -> None:
    answer = get(Functions(), path)
    assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")
    assert path in answer.json["error"]["message"]
    assert BATCH_PROCESS in answer.json["error"]["fix"]


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
