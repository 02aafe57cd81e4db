"""docs/logs-and-failed-deliveries.md, command by command, on a site where things have gone wrong."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.end_to_end.checkout import FAST_TICKS, ROOT, Dev, Variables, copied
from tests.support import eventually

ENGLISH = ROOT / "docs" / "logs-and-failed-deliveries.md"
CHINESE = ROOT / "docs" / "logs-and-failed-deliveries.zh-CN.md"
BATCH_PROCESS = "/api/actions/batch-process"
LIKE = {"user_id": "ada", "content_id": "c", "action": "like"}


def commands_of(page: Path) -> list[str]:
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [block.strip() for block in blocks]


@dataclass(frozen=True)
class Trouble:
    """What went wrong, by the names that the page gives it."""

    dev: Dev
    log: Path
    failed_message: str
    dlq_id: str
    reference: str
    letter: str
    letter_message: str
    batch: str


@pytest.fixture(scope="module")
def trouble() -> Iterator[Trouble]:
    with copied() as checkout:
        dev = checkout.run("--no-sample", variables=FAST_TICKS).wait_until_ready()
        log = dev.folder / "logs" / "app.log"
        dev.push([LIKE])
        eventually(lambda: dev.rows("SELECT FROM user_actions"))
        assert dev.post(BATCH_PROCESS, {"action": "process_user_embeddings"}).status_code == 200
        failed_message = publish(dev, {"action": "no such action"})
        dlq_id = eventually(lambda: dead_queue(dev).get(failed_message, ""))
        letter, letter_message = push_a_dead_letter(dev, log)
        yield Trouble(
            dev=dev,
            log=log,
            failed_message=failed_message,
            dlq_id=dlq_id,
            reference=meet_a_defect(dev),
            letter=letter,
            letter_message=letter_message,
            batch=give_a_batch_back(dev, log),
        )
        dev.end()


def qstash(dev: Dev) -> httpx.Client:
    key = {"Authorization": f"Bearer {dev.variables['QSTASH_TOKEN']}", "Upstash-Retries": "0"}
    return httpx.Client(base_url=dev.variables["QSTASH_URL"], headers=key, trust_env=False)


def publish(dev: Dev, body: dict[str, str]) -> str:
    with qstash(dev) as client:
        answer = client.post(f"/v2/publish/{dev.url}{BATCH_PROCESS}", json=body)
    return str(answer.json()["messageId"])


def dead_queue(dev: Dev) -> dict[str, str]:
    """Message id -> id in the dead letter queue."""
    with qstash(dev) as client:
        return {each["messageId"]: each["dlqId"] for each in client.get("/v2/dlq").json()["messages"]}


def redis(dev: Dev, *command: str) -> None:
    variables = dev.variables
    key = {"Authorization": f"Bearer {variables['UPSTASH_REDIS_REST_TOKEN']}"}
    httpx.post(variables["UPSTASH_REDIS_REST_URL"], json=command, headers=key).raise_for_status()


def push_a_dead_letter(dev: Dev, log: Path) -> tuple[str, str]:
    redis(dev, "LPUSH", "pending_user_actions", "no JSON")
    pattern = r"user action rejected: .+ letter=(\w+) batch=\w+ raw=\"no JSON\" message=(\w+)"
    letter, message = eventually(lambda: re.findall(pattern, log.read_text()))[0]
    return letter, message


def meet_a_defect(dev: Dev) -> str:
    """What somebody else has written under a key of ours."""
    redis(dev, "HSET", "recs:job:refresh_cold_start", "last_run", "yesterday")
    answer = dev.get("/api/status")
    redis(dev, "DEL", "recs:job:refresh_cold_start")
    assert answer.status_code == 500
    return str(re.findall(r"Reference: (\w+)", answer.json()["error"]["message"])[0])


def give_a_batch_back(dev: Dev, log: Path) -> str:
    """The table is away for a while."""
    with psycopg.connect(dev.variables["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("ALTER TABLE user_actions RENAME TO elsewhere")
        dev.push([LIKE])
        given_back = eventually(
            lambda: re.findall(r"user actions given back batch=(\w+) .+ message=msg", log.read_text())
        )
        connection.execute("ALTER TABLE elsewhere RENAME TO user_actions")
    eventually(lambda: dev.rows("SELECT FROM user_actions OFFSET 1"))
    return str(given_back[0])


def run(dev: Dev, command: str, variables: Variables) -> str:
    """What a person sees who has sourced the variables, with the Python of this run."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"PATH": path, "RECS_BOOTSTRAPPED": str(dev.folder / ".venv"), **variables}
    script = ["bash", "-euc", f"{commands_of(ENGLISH)[0]}\n{command}"]
    done = subprocess.run(script, cwd=dev.folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


# How each command of the page begins, which variables it takes, and what its output says.
STEPS: list[tuple[str, tuple[str, ...], str]] = [
    ("set -a", (), "^$"),
    ('grep "user embedding"', (), "INFO user embedding update ok job=process_user_embeddings .* users_updated=1 "),
    ("grep -E", (), "WARNING QStash delivery failed: The body names no action"),
    ('grep "QStash"', (), "INFO QStash schedules in place app=http://localhost:"),
    ("curl", (), '"messageId": ?"{failed_message}"'),
    ("grep", ("failed_message",), "WARNING QStash delivery failed: .* status=489 .* message={failed_message}$"),
    ("grep", ("reference",), "^{reference} \\| ValueError: .*yesterday"),
    ("scripts/trigger", (), "✅ process_user_actions published"),
    ("curl -s -X DELETE", ("dlq_id",), ""),
    ("scripts/dead_letters", (), "{letter}"),
    ("grep", ("letter",), "WARNING user action rejected: .* message={letter_message}$"),
    ("curl", ("letter_message",), '"messageId": ?"{letter_message}".*"DELIVERED"|"DELIVERED".*"{letter_message}"'),
    ("grep", ("batch",), "WARNING user actions given back .* error=.*tables are missing.* message=msg"),
    ("scripts/dead_letters put-back", ("letter",), "1"),
    ("curl", (), 'recs_actions_total.result="applied". 2$'),
]


def test_every_command_of_the_page_finds_what_it_says(trouble: Trouble) -> None:
    happened = {name: str(value) for name, value in vars(trouble).items()}
    for command, (beginning, names, said) in zip(commands_of(ENGLISH), STEPS, strict=True):
        assert command.startswith(beginning)
        variables = {VARIABLES.get(name, name.upper()): happened[name] for name in names}
        assert re.search(said.format(**happened), run(trouble.dev, command, variables), re.MULTILINE), command
    assert trouble.failed_message not in dead_queue(trouble.dev)
    eventually(lambda: len(rejected_lines(trouble)) == 2)


VARIABLES = {"failed_message": "MESSAGE", "letter_message": "MESSAGE"}


def rejected_lines(trouble: Trouble) -> list[str]:
    """It was put back, and is as unreadable as before."""
    return re.findall(r"user action rejected: .+", trouble.log.read_text())


def test_the_page_has_the_same_commands_and_lines_in_chinese() -> None:
    assert commands_of(CHINESE) == commands_of(ENGLISH)
    lines = re.compile(r"^```text\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
    assert lines.findall(CHINESE.read_text()) == lines.findall(ENGLISH.read_text())


def test_each_line_has_its_time_in_utc_its_level_and_words(trouble: Trouble) -> None:
    lines = [line for line in trouble.log.read_text().splitlines() if not line.startswith(f"{trouble.reference} | ")]
    assert len(lines) > 5
    pattern = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO|WARNING|ERROR) \S.*"
    assert [line for line in lines if not re.fullmatch(pattern, line)] == []
