"""What Vercel's builder makes of the project, and how that behaves under Vercel's runtime."""

import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from upstash_redis import Redis

from lib.adapters.services import Services
from lib.settings import Settings
from lib.web.endpoints import INIT_SECONDS, RECOMMEND_SECONDS, STATUS_SECONDS
from local.functions import ROOT
from local.qstash.server import QStashServer
from local.qstash.signing import sign
from local.vercel import cli
from tests.end_to_end.vercel_functions import Build, Running, build, running
from tests.support import eventually, needing

FUNCTIONS = (
    "api/actions/batch-process",
    "api/init",
    "api/recommend/cache/warm",
    "api/recommend/cold-start/refresh",
    "api/recommend/index",
    "api/status",
)
SIGNED = {"api/actions/batch-process", "api/recommend/cache/warm", "api/recommend/cold-start/refresh"}
PLANTED = {  # what a working folder holds besides, and nobody may see
    ".env": "QSTASH_TOKEN=a-secret",
    ".env.local": "QSTASH_TOKEN=a-secret",
    ".env.production.local": "QSTASH_TOKEN=a-secret",
    "logs/app.log": "a line",
    ".local/env": "QSTASH_TOKEN=a-secret",
    ".venv/lib/module.py": "",
}
OF_THE_PLATFORM = {"uv.lock", ".python-version", ".vercelignore"}
LARGEST_BUNDLE_MB = 100  # beyond 225 Vercel installs the packages anew at every cold start
HOBBY_SECONDS = 300
APP_URL = "https://shop.example.com"
PROCESS = {"action": "process_user_actions"}

Start = Callable[..., Running]


@pytest.fixture(scope="module")
def built() -> Iterator[Build]:
    with needing(cli.install), tempfile.TemporaryDirectory(prefix="recs-vercel-") as folder:
        yield build(Path(folder, "project"), planted=PLANTED)


@pytest.fixture
def start(built: Build, settings: Settings, qstash: QStashServer, tmp_path: Path) -> Iterator[Start]:
    """`start(name, **variables)`: that function, as on a production deployment with the test's services."""
    variables = {
        **qstash.environment(),
        "NEXT_PUBLIC_APP_URL": APP_URL,
        "UPSTASH_REDIS_REST_URL": settings.redis_url,
        "UPSTASH_REDIS_REST_TOKEN": settings.redis_token,
        "DATABASE_URL": settings.database_url,
        "ADMIN_API_KEY": settings.admin_api_key,
        "ALLOW_UNSIGNED_LOCAL": "1",  # which means nothing on a deployment
        "VERCEL_ENV": "production",
    }
    with tempfile.TemporaryDirectory(prefix="recs-", dir=built.output) as folder, ExitStack() as stack:

        def start(name: str, broken: str = "", **changes: str) -> Running:
            unpacked = built.bundles[name].unpack(Path(folder, name.replace("/", "-")))
            if broken:
                (unpacked / broken).unlink()
                (unpacked / broken).write_text("raise RuntimeError('a defect, with the token a-secret-token')")
            return stack.enter_context(running(unpacked, built.bundles[name].configuration, variables | changes))

        yield start


def signed(qstash: QStashServer, path: str, body: object) -> tuple[bytes, dict[str, str]]:
    content = json.dumps(body).encode()
    token = sign(qstash.current_signing_key, url=APP_URL + path, body=content, now=time.time())
    return content, {"Upstash-Signature": token, "Upstash-Message-Id": "msg_of_this_test"}


def path_of(name: str) -> str:
    return "/" + name.removesuffix("/index")


# The bundles


def test_every_endpoint_is_a_function_and_nothing_else_is(built: Build) -> None:
    assert sorted(built.bundles) == sorted(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_bundle_holds_the_product_and_nothing_beside_it(built: Build, name: str) -> None:
    wanted = {str(file.relative_to(ROOT)) for room in ("api", "lib") for file in (ROOT / room).rglob("*.*")}
    wanted = {file for file in wanted if "__pycache__" not in file} | {"requirements.txt", "vercel.json"}
    assert {file for file in wanted if file.endswith((".sql", ".lua", ".html"))}
    assert built.bundles[name].own_files - OF_THE_PLATFORM == wanted


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_bundle_holds_every_package_at_its_pinned_version(built: Build, name: str) -> None:
    pinned = re.findall(r"^([\w-]+)(?:\[\w+\])?==([\w.]+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    found = set(re.findall(r"_vendor/([\w.]+)-([\w.]+)\.dist-info/METADATA", "\n".join(built.bundles[name].files)))
    assert len(pinned) > 10
    assert {(package.lower().replace("-", "_"), version) for package, version in pinned} <= found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_bundle_is_far_smaller_than_the_platform_allows(built: Build, name: str) -> None:
    assert 10 < built.bundles[name].megabytes < LARGEST_BUNDLE_MB


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_may_run_as_long_as_the_smallest_plan_allows_and_longer_than_we_need(
    built: Build, name: str
) -> None:
    defaults = Settings()
    ours = [defaults.actions_time_budget_seconds, defaults.job_time_budget_seconds]
    longest = max(*ours, INIT_SECONDS, STATUS_SECONDS, RECOMMEND_SECONDS)
    assert longest < built.bundles[name].configuration["maxDuration"] <= HOBBY_SECONDS


def test_nothing_is_served_as_a_file_but_what_is_public(built: Build) -> None:
    static = built.output / "static"
    served = {str(file.relative_to(static)) for file in static.rglob("*") if file.is_file()}
    assert served == {str(file.relative_to(ROOT / "public")) for file in (ROOT / "public").rglob("*")}


# Refusing


@pytest.fixture(scope="module", params=FUNCTIONS)
def refusing(built: Build, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Each function by its name, and where it answers. It needs no service for a refusal."""
    bundle = built.bundles[request.param]
    variables = {"ADMIN_API_KEY": "the-admin-key", "ALLOW_UNSIGNED_LOCAL": "1", "VERCEL_ENV": "production"}
    with (
        tempfile.TemporaryDirectory(prefix="recs-", dir=built.output) as folder,
        running(bundle.unpack(Path(folder, "function")), bundle.configuration, variables) as function,
    ):
        yield bundle.name, function.url + path_of(bundle.name)


def test_a_function_refuses_every_method_but_its_own(refusing: tuple[str, str]) -> None:
    name, url = refusing
    allowed = {"POST"} if name in SIGNED else {"GET", "POST"} if name == "api/init" else {"GET"}
    for method in {"GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS", "BREW"} - allowed:
        answer = httpx.request(method, url)
        assert answer.status_code == 405, method
        assert set(answer.headers["Allow"].split(", ")) == allowed
        assert answer.headers["Content-Type"].startswith("application/json")
        assert (answer.content == b"") is (method == "HEAD")


def test_nobody_gets_in_without_a_signature_or_the_key(refusing: tuple[str, str]) -> None:
    name, url = refusing
    answer = httpx.request("POST" if name in SIGNED else "GET", url)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthenticated"


# Answering


def test_init_makes_the_schedules_of_a_deployment(start: Start, settings: Settings, qstash: QStashServer) -> None:
    function = start("api/init")
    answer = httpx.get(f"{function.url}/api/init", auth=("anybody", settings.admin_api_key), timeout=60)
    wrong = {check["name"] for check in answer.json()["checks"] if check["status"] == "error"}
    assert wrong <= {"delivery"}, answer.text  # nobody answers at that address
    assert {schedule["destination"] for schedule in answer.json()["schedules"]} == {
        APP_URL + path_of(name) for name in SIGNED
    }


def test_init_of_a_preview_only_looks_and_says_so(start: Start, settings: Settings) -> None:
    function = start("api/init", VERCEL_ENV="preview")
    answer = httpx.get(f"{function.url}/api/init", auth=("anybody", settings.admin_api_key), timeout=60)
    assert answer.status_code == 503
    assert "preview deployment" in answer.json()["checks"][0]["message"]
    assert answer.json()["schedules"] == []


def test_drains_at_once_in_threads_of_one_process_apply_everything_once(
    start: Start, services: Services, qstash: QStashServer
) -> None:
    actions = [{"user_id": f"u{n % 50}", "content_id": f"c{n % 70}", "action": "view"} for n in range(3000)]
    with Redis(services.settings.redis_url, services.settings.redis_token) as redis:
        redis.lpush("pending_user_actions", *map(json.dumps, actions))
    function = start("api/actions/batch-process", CLAIM_MAX_ELEMENTS="100")
    content, headers = signed(qstash, "/api/actions/batch-process", PROCESS)

    def drain(_: int) -> Counter[str]:
        url = f"{function.url}/api/actions/batch-process"
        answer = httpx.post(url, content=content, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        return Counter(answer.json())

    with ThreadPoolExecutor(12) as threads:
        totals = sum(threads.map(drain, range(12)), Counter())
    assert (totals["applied"], totals["duplicates"]) == (3000, 0)
    with services.database.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM user_actions").fetchone() == (3000,)


def test_reads_at_once_in_threads_of_one_process_are_not_mixed_up(start: Start, settings: Settings) -> None:
    function = start("api/recommend/index")
    users = [f"reader-{number}" for number in range(24)]

    def read(user_id: str) -> str:
        key = {"Authorization": f"Bearer {settings.admin_api_key}"}
        url = f"{function.url}/api/recommend"
        answer = httpx.get(url, params={"user_id": user_id}, headers=key, timeout=60)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["user_id"])

    with ThreadPoolExecutor(len(users)) as threads:
        assert list(threads.map(read, users)) == users


def test_a_defect_is_answered_in_json_and_logged_with_its_reference(start: Start, settings: Settings) -> None:
    function = start("api/status", broken="lib/jobs/report_status.py", UPSTASH_REDIS_REST_TOKEN="a-secret-token")
    answer = httpx.get(f"{function.url}/api/status", headers={"Authorization": f"Bearer {settings.admin_api_key}"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    [reference] = re.findall(r"Reference: (\w+)", answer.json()["error"]["message"])
    [(level, message)] = eventually(lambda: [entry for entry in function.logs if reference in entry[1]])
    assert level == "error"
    assert "RuntimeError: a defect" in message
    assert "a-secret-token" not in message


def test_the_log_says_what_a_job_did_and_which_message_was_refused(start: Start, qstash: QStashServer) -> None:
    function = start("api/recommend/cache/warm")
    content, headers = signed(qstash, "/api/recommend/cache/warm", {"action": "warm_cache"})
    url = f"{function.url}/api/recommend/cache/warm"
    assert httpx.post(url, content=content, headers=headers, timeout=60).status_code == 200
    assert httpx.post(url, content=content + b" ", headers=headers, timeout=60).status_code == 401

    def levels() -> list[str]:
        return [level for level, line in function.logs if re.search("cache warming ok|message=msg_of_this_test", line)]

    assert eventually(lambda: len(levels()) >= 2 and levels()) == ["info", "warn"]
