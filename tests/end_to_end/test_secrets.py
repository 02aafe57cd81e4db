"""Everything is run, rightly and wrongly, and no secret stands in anything that comes out of it."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest

from tests.end_to_end.attacks import (
    BATCH_PROCESS,
    DRAIN,
    INSIDE,
    KEYED_ENDPOINTS,
    OUTSIDE,
    PING,
    SIGNED_ENDPOINTS,
    Target,
    length_of,
    write_request,
)
from tests.end_to_end.checkout import Dev, Variables, copied, free_port
from tests.support import eventually

CREDENTIALS = (
    "QSTASH_TOKEN",
    "QSTASH_CURRENT_SIGNING_KEY",
    "QSTASH_NEXT_SIGNING_KEY",
    "UPSTASH_REDIS_REST_TOKEN",
    "ADMIN_API_KEY",
    "DATABASE_URL",
)
BYPASS = {"VERCEL_AUTOMATION_BYPASS_SECRET": "bypass-0123456789-of-this-test"}
NOBODY = "http://127.0.0.1:9"
PAGE = "text/html,application/xhtml+xml"

WRONG = {
    "QSTASH_TOKEN": "wrong-token-of-qstash-0123456789",
    "QSTASH_CURRENT_SIGNING_KEY": "sig_wrong_current_0123456789abcdef",
    "QSTASH_NEXT_SIGNING_KEY": "sig_wrong_next_0123456789abcdefghi",
    "UPSTASH_REDIS_REST_TOKEN": "wrong-token-of-redis-0123456789",
    "ADMIN_API_KEY": "wrong-admin-key-0123456789",
}
WRONG_PASSWORD = "wrong-pass/word+of=postgres"
PASSWORD_TAIL = "tail-of-the-password"

Texts = dict[str, str]


def database_url(variables: Variables, *, password: str = "", host: str = "", query: str = "") -> str:
    parts = urlsplit(variables["DATABASE_URL"])
    place = host or f"{parts.hostname}:{parts.port}"
    return f"postgresql://{parts.username}:{password or parts.password}@{place}{parts.path}{query}"


def broken(variables: Variables) -> dict[str, Variables]:
    """What may be wrong with an environment: its name -> the variables that differ."""
    return {
        "wrong credentials": WRONG | {"DATABASE_URL": database_url(variables, password=quote(WRONG_PASSWORD, safe=""))},
        "nobody answers": {
            "QSTASH_URL": NOBODY,
            "UPSTASH_REDIS_REST_URL": NOBODY,
            "DATABASE_URL": database_url(variables, host="127.0.0.1:9"),
        },
        "an option that Postgres does not know": {"DATABASE_URL": database_url(variables, query="?pgbouncer=true")},
        "an @ in the password": {"DATABASE_URL": database_url(variables, password=f"pass@{PASSWORD_TAIL}")},
        "a token with a line break": {"UPSTASH_REDIS_REST_TOKEN": f"{WRONG['UPSTASH_REDIS_REST_TOKEN']}\nnext-line"},
    }


def secrets_of(variables: Variables) -> set[str]:
    """Every value that must not come out, those that are wrong included: a typing error away from a right one."""
    passwords = {urlsplit(variables["DATABASE_URL"]).password or "", WRONG_PASSWORD, PASSWORD_TAIL}
    values = {variables[name] for name in CREDENTIALS} | set(WRONG.values()) | set(BYPASS.values()) | passwords
    return values | {quote(value, safe="") for value in values}


def holders(secret: str, texts: Mapping[str, str]) -> list[str]:
    """The grep: the names of the texts in which it stands, as it is or as JSON or HTML spells it."""
    return [name for name, text in texts.items() if secret in text or json.dumps(secret)[1:-1] in text]


@pytest.fixture(scope="module")
def dev() -> Iterator[Dev]:
    """One of our own, with a bypass secret, which QStash passes on with every message."""
    with copied() as checkout:
        dev = checkout.run("--no-sample", variables=BYPASS).wait_until_ready()
        yield dev
        dev.end()


@pytest.fixture(scope="module")
def variables(dev: Dev) -> Variables:
    return dev.variables | BYPASS


@pytest.fixture(scope="module")
def secrets(variables: Variables) -> set[str]:
    return secrets_of(variables)


def every_call(target: Target) -> Iterator[tuple[str, bytes]]:
    """Rightly and wrongly: endpoints, methods, hosts, keys, signatures, bodies, JSON and pages."""
    keys = {
        "no key": [],
        "the key": [target.key],
        "a wrong key": [("Authorization", f"Bearer {WRONG['ADMIN_API_KEY']}")],
    }
    queries = ("?user_id=ada", "", "?user_id=ada&n=0")
    for host, accept, (given, key) in itertools.product((INSIDE, OUTSIDE), ("*/*", PAGE), keys.items()):
        for method, path in itertools.product(("GET", "POST", "PUT"), KEYED_ENDPOINTS):
            for query in queries if path == "/api/recommend" else ("",):
                name = f"{method} {path}{query} on {host} for {accept[:9]} with {given}"
                yield name, write_request(method, path + query, [("Accept", accept), *key], host=host)
    for path, body in itertools.product(SIGNED_ENDPOINTS, (PING, DRAIN, b"{}", b"no JSON")):
        right, foreign = target.signed(body, path), target.signed(body, "/elsewhere")
        wrong = ("Upstash-Signature", target.token(body, path=path, key=WRONG["QSTASH_CURRENT_SIGNING_KEY"]))
        for signature in (right, foreign, wrong, ("X-Nothing", "")):
            headers = [length_of(body), signature, ("Upstash-Message-Id", "msg_1"), ("Accept", PAGE)]
            yield f"POST {path} {body!r} {signature[0]}", write_request("POST", path, headers, body)
    yield "nowhere", write_request("GET", "/nowhere")
    yield "too long", write_request("POST", BATCH_PROCESS, [("Content-Length", "1000001")], b" " * 1_000_001)


@pytest.fixture(scope="module")
def answers(dev: Dev) -> Texts:
    """Each call's whole answer, headers included, and the page of the local QStash."""
    target = Target(dev)
    target.redis("LPUSH", "pending_user_actions", "no JSON")
    dev.push([{"user_id": "ada", "content_id": "c", "action": "like"}])
    texts = {f"{n} {name}": target.exchange(data).decode() for n, (name, data) in enumerate(every_call(target))}
    return texts | {"the page of the local QStash": httpx.get(target.variables["QSTASH_URL"]).text}


SCRIPTS = {
    "check": ["check_qstash_config.py"],
    "check as JSON": ["check_qstash_config.py", "--json"],
    "trigger": ["trigger", "process_user_actions"],
    "dead letters": ["dead_letters"],
    "dead letters put back": ["dead_letters", "put-back", "--all"],
    "forget": ["forget_user", "nobody", "--seconds", "5"],
    "migrate": ["migrate"],
}


@pytest.fixture(scope="module")
def outputs(dev: Dev, variables: Variables) -> Texts:
    """What each script prints with the right variables, and with every kind of wrong ones."""
    kinds = {"right": {}, **broken(variables)}
    runs = [(f"{name}, {kind}", script, kinds[kind]) for kind in kinds for name, script in SCRIPTS.items()]

    def run(script: list[str], changes: Variables) -> str:
        environment = {**os.environ, **variables, **changes, "RECS_BOOTSTRAPPED": str(dev.folder / ".venv")}
        command = [sys.executable, str(dev.folder / "scripts" / script[0]), *script[1:]]
        run = subprocess.run(command, cwd=dev.folder, env=environment, capture_output=True, text=True, timeout=60)
        return f"exit status {run.returncode}\n{run.stdout}{run.stderr}"

    with ThreadPoolExecutor(4) as threads:
        texts = threads.map(lambda each: run(each[1], each[2]), runs)
        return {name: text for (name, _, _), text in zip(runs, texts, strict=True)}


@contextmanager
def functions(folder: Path, environment: Variables, log: Path) -> Iterator[str]:
    """The functions alone, in that environment; their URL."""
    port = free_port()
    command = [sys.executable, "-m", "local.functions", "--port", str(port)]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output) as process,
    ):
        try:
            eventually(lambda: _answers(f"http://127.0.0.1:{port}"), timeout=30)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 404
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def broken_functions(dev: Dev, variables: Variables, tmp_path_factory: pytest.TempPathFactory) -> Texts:
    """What the functions answer and log in every kind of wrong environment."""
    texts = {}
    for kind, changes in broken(variables).items():
        log = tmp_path_factory.mktemp("functions") / "log"
        with functions(dev.folder, {**os.environ, **variables, **changes}, log) as url:
            for path, accept in itertools.product(KEYED_ENDPOINTS, ("*/*", PAGE)):
                answer = httpx.get(
                    f"{url}{path}",
                    params={"user_id": "ada"} if "recommend" in path else {},
                    headers={"Accept": accept},
                    timeout=60,
                )
                texts[f"{path} for {accept[:9]}, {kind}"] = f"{answer.status_code} {answer.headers} {answer.text}"
            for path, body in itertools.product(SIGNED_ENDPOINTS, (b"{}", DRAIN)):
                answer = httpx.post(url + path, content=body, timeout=60)
                texts[f"{path} {body!r}, {kind}"] = f"{answer.status_code} {answer.headers} {answer.text}"
        texts[f"log, {kind}"] = log.read_text()
    return texts


@pytest.fixture(scope="module")
def logs(dev: Dev, answers: Texts) -> Texts:
    """What scripts/dev prints, and the logs of its parts, after all those calls."""
    files = dev.folder.joinpath(".local").glob("*.log")
    return {file.name: file.read_text(errors="replace") for file in files} | {"output": dev.output}


def leaks(secrets: set[str], texts: Texts) -> list[tuple[str, str]]:
    return [(name, secret) for secret in sorted(secrets) for name in holders(secret, texts)]


def test_no_answer_and_no_page_holds_a_secret(secrets: set[str], answers: Texts) -> None:
    assert leaks(secrets, answers) == []
    statuses = {text.split(" ")[1] for name, text in answers.items() if text.startswith("HTTP")}
    assert statuses == {"200", "400", "401", "404", "405", "413", "489"}
    assert len(holders("<!doctype html>", answers)) >= 8
    assert holders("QStash client initialized successfully", answers)


def test_no_script_prints_a_secret(secrets: set[str], outputs: Texts) -> None:
    assert leaks(secrets, outputs) == []
    assert len(holders("exit status 0", outputs)) >= len(SCRIPTS)
    assert len(holders("exit status 1", outputs)) >= len(SCRIPTS)
    assert len(holders("❌", outputs)) >= len(SCRIPTS)
    assert holders("Traceback", outputs) == []


def test_functions_in_a_broken_environment_answer_and_log_no_secret(secrets: set[str], broken_functions: Texts) -> None:
    assert leaks(secrets, broken_functions) == []
    for code in (
        "redis_unavailable",
        "postgres_unavailable",
        "settings",
        "QStash doesn't know the token",
        "QStash doesn't answer",
    ):
        assert holders(code, broken_functions), code
    assert holders("Traceback", broken_functions) == []


def test_no_log_holds_a_secret(secrets: set[str], logs: Texts) -> None:
    assert leaks(secrets, logs) == []
    assert {"functions.log", "postgres.log", "valkey.log", "output"} <= logs.keys()
    assert holders("refused: it was signed with neither of the two keys", logs) == ["functions.log"]
    assert holders("ready http://", logs) == ["output"]


def test_the_file_of_variables_holds_them_all_so_that_each_would_be_found(dev: Dev, variables: Variables) -> None:
    env = (dev.folder / ".local" / "env").read_text()
    values = [variables[name] for name in CREDENTIALS] + [urlsplit(variables["DATABASE_URL"]).password or ""]
    for value in values:
        assert len(value) >= 16
        assert holders(value, {"env": env}) == ["env"]
