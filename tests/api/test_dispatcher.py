"""Every function of api/ under the path that Vercel gives it, without a web server."""

from pathlib import Path

import pytest

from lib.web.dispatcher import ROOT, Functions, find_routes
from tests.api.wsgi import Answer, call

BATCH_PROCESS = "/api/actions/batch-process"
FUNCTION = """
from pathlib import Path

with Path(__file__).with_suffix(".log").open("a") as log:
    log.write("imported ")

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An api/ with one function, /api/two-words."""
    folder = tmp_path / "api"
    folder.mkdir()
    (folder / "two-words.py").write_text(FUNCTION)
    return folder


def get(functions: Functions, path: str, *, script_name: str = "") -> Answer:
    return call(functions, "GET", path, SCRIPT_NAME=script_name)


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


def test_a_function_is_imported_once_at_its_first_request(folder: Path) -> None:
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


def test_a_404_repeats_no_more_of_a_path_than_a_person_would_read() -> None:
    assert len(get(Functions(), "/" + "x" * 100_000).body) < 1_000


def test_a_404_to_head_has_no_body() -> None:
    answer = call(Functions(), "HEAD", "/nowhere")
    assert (answer.status, answer.body) == (404, b"")


def test_no_path_is_another_one_because_of_where_the_server_splits_it(folder: Path) -> None:
    functions = Functions(folder)
    assert get(functions, "/api/two-words", script_name="/elsewhere").status == 404
    assert get(functions, "/two-words", script_name="/api").status == 200
