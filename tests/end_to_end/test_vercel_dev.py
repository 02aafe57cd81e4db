"""The whole loop through `vercel dev`, the platform's own program, which scripts/dev --vercel starts."""

import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from qstash.log import LogState

from lib.core.schedules import JOBS, Job
from local.functions import ROOT
from local.vercel import cli
from local.vercel.dev import ARGUMENTS
from tests.end_to_end.checkout import Checkout, Dev, copied
from tests.end_to_end.deliveries import deliver
from tests.support import eventually, needing

READY_SECONDS = 240.0  # six functions are built, each with a copy of its packages
ENV_LOCAL = "ACTIONS_INTERVAL_SECONDS=10\n"
BATCH_PROCESS = "/api/actions/batch-process"
SECRET_FILES = ("/.env", "/.env.local", "/lib/settings.py", "/requirements.txt", "/vercel.dev.json")


@pytest.fixture(scope="module")
def checkout() -> Iterator[Checkout]:
    """A copy of the project, with a .env.local as people have it."""
    with needing(cli.install), copied() as checkout:
        (checkout.folder / ".env.local").write_text(ENV_LOCAL)
        yield checkout


@pytest.fixture(scope="module")
def vercel(checkout: Checkout) -> Iterator[Dev]:
    vercel = checkout.run("--vercel", "--no-sample")
    yield vercel.wait_until_ready(READY_SECONDS)
    assert vercel.end() == 0
    eventually(lambda: checkout.processes() == {})


def test_init_makes_the_schedules_and_env_local_counts(vercel: Dev) -> None:
    answer = vercel.get("/api/init")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Server"] == "Vercel"
    assert sorted(schedule["every"] for schedule in answer.json()["schedules"]) == sorted(
        ["every 2 hours", "every 10 seconds", "every hour", "every 6 hours"]
    )


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_a_signed_delivery_of_the_local_qstash_runs_the_job(vercel: Dev, job: Job) -> None:
    assert deliver(vercel.variables, job) == LogState.DELIVERED
    assert vercel.get("/api/status").json()["jobs"][job.name]["outcome"] == "ok"


def test_an_action_is_drained_by_the_ticks_and_changes_what_is_recommended(vercel: Dev) -> None:
    vercel.rows("INSERT INTO content (content_id) SELECT 'article-' || n FROM generate_series(1, 5) n RETURNING 1")
    path = f"/api/recommend?user_id=reader-{uuid.uuid4()}&n=5"
    assert vercel.get(path).status_code == 200

    user_id = path.partition("=")[2].partition("&")[0]
    vercel.push([{"user_id": user_id, "content_id": "article-1", "action": "like"}])

    eventually(lambda: vercel.rows(f"SELECT content_id FROM user_actions WHERE user_id = '{user_id}'"), timeout=25)
    recommended = [item["content_id"] for item in vercel.get(path).json()["items"]]
    assert sorted(recommended) == ["article-2", "article-3", "article-4", "article-5"]


def test_calls_at_once_are_all_answered(vercel: Dev) -> None:
    users = [f"reader-{number}" for number in range(12)]
    with ThreadPoolExecutor(len(users)) as threads:
        answers = list(threads.map(lambda user_id: vercel.get(f"/api/recommend?user_id={user_id}"), users))
    assert [answer.json()["user_id"] for answer in answers] == users


def test_a_call_from_elsewhere_needs_the_signature_or_the_key(vercel: Dev) -> None:
    elsewhere = {"Host": "4f1c.ngrok-free.app"}
    assert vercel.post(BATCH_PROCESS, {"action": "process_user_actions"}, **elsewhere).status_code == 401
    assert vercel.get("/api/status", **elsewhere).status_code == 401
    key = {"Authorization": f"Bearer {vercel.variables['ADMIN_API_KEY']}"}
    assert vercel.get("/api/status", **elsewhere, **key).status_code == 200


def test_an_unknown_method_is_refused(vercel: Dev) -> None:
    answer = vercel.get(BATCH_PROCESS)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("path", SECRET_FILES)
def test_no_file_but_the_public_ones_is_served(vercel: Dev, path: str) -> None:
    assert vercel.get("/robots.txt").status_code == 200
    assert vercel.get(path).status_code == 404


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readme_starts_it_with_the_same_arguments(readme: str) -> None:
    [line] = re.findall(r"/vercel (dev .*)$", (ROOT / readme).read_text(), re.MULTILINE)
    assert line.split() == [*ARGUMENTS, "--listen", "127.0.0.1:3000"]
