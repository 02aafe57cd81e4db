"""A deep backlog, drained by several processes that QStash calls at once."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from lib.adapters.redis_client import RedisClient
from lib.adapters.services import Services
from lib.core.schedules import BATCH_PROCESS_PATH, PROCESS_ACTIONS
from lib.settings import Settings
from local.qstash.server import QStashServer
from local.soak.verify import read, read_popularity_error
from tests.end_to_end.checkout import free_port
from tests.local.qstash_support import client_of
from tests.support import eventually, qstash_settings, variables_of

ROOT = Path(__file__).resolve().parents[2]
ACTIONS, USERS, CONTENTS = 12_000, 900, 300
WORKERS, PARALLELISM = 4, 3
ANY_OF_IT_IS_TOO_MUCH = """
from lib.jobs import process_actions
process_actions._Pace.rate = 1.0
from lib.web.dispatcher import app
"""
SECONDS = 120.0


@contextmanager
def serving(settings: Settings, folder: Path) -> Iterator[Path]:
    """Worker processes; yields the file where each line is the process that has answered a call, and the status."""
    (folder / "served.py").write_text(ANY_OF_IT_IS_TOO_MUCH)
    log = folder / "access.log"
    bind = settings.app_url.removeprefix("http://")
    command = [sys.executable, "-m", "gunicorn", "served:app", "--bind", bind, "--workers", str(WORKERS)]
    command += ["--timeout", "60", "--access-logfile", str(log), "--access-logformat", "%(p)s %(s)s"]
    variables = variables_of(settings) | {
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
        "CLAIM_MAX_ELEMENTS": str(settings.claim_max_elements),
        "FAN_OUT_PARALLELISM": str(settings.fan_out_parallelism),
        "OPENBLAS_NUM_THREADS": "1",
        "PATH": os.environ["PATH"],
    }
    with (folder / "output").open("wb") as output:
        gunicorn = subprocess.Popen(command, cwd=folder, env=variables, stdout=output, stderr=output)
        try:
            yield log
        finally:
            with suppress(ProcessLookupError):
                gunicorn.send_signal(signal.SIGTERM)
            gunicorn.wait(30)


def send_tick(qstash: QStashServer, settings: Settings) -> None:
    with client_of(qstash) as client:
        client.message.publish_json(url=settings.app_url + BATCH_PROCESS_PATH, body=PROCESS_ACTIONS.body, retries=5)


def push_backlog(settings: Settings) -> None:
    """Users come back to what they have read, and every tenth action is pushed twice."""
    redis = RedisClient(settings.redis_url, settings.redis_token)
    elements = [
        json.dumps(
            {
                "id": f"event {number}",
                "user_id": f"user {number * 7919 % USERS}",
                "content_id": f"item {number * 104_729 % CONTENTS}",
                "action": "view",
                "timestamp": 1_760_000_000 + number * 37 % 5_000,
            }
        )
        for number in range(ACTIONS)
    ]
    for first in range(0, ACTIONS, 4_000):
        part = elements[first : first + 4_000]
        redis.execute("LPUSH", "pending_user_actions", *part, *part[::10])
    redis.close()


@pytest.fixture
def large(settings: Settings, qstash: QStashServer) -> Settings:
    return replace(
        settings,
        app_url=f"http://127.0.0.1:{free_port()}",
        **qstash_settings(qstash),
        claim_max_elements=200,
        fan_out_parallelism=PARALLELISM,
    )


def test_a_backlog_is_drained_once_by_several_processes_that_a_tick_has_called(
    large: Settings, qstash: QStashServer, tmp_path: Path
) -> None:
    push_backlog(large)
    services = Services(large)
    with serving(large, tmp_path) as answered:
        send_tick(qstash, large)
        queue = services.queue
        eventually(lambda: (queue.count_pending(), queue.count_in_flight()) == (0, 0), SECONDS)
        eventually(lambda: len(answered.read_text().splitlines()) == 1 + PARALLELISM, 30)
        processes = Counter(line.split()[0] for line in answered.read_text().splitlines() if line.endswith(" 200"))
        runs = services.reports.runs("process_user_actions")
    summaries = [run["summary"] for run in runs if run["summary"].get("claimed")]
    assert processes.total() == 1 + PARALLELISM
    assert len(processes) > 1
    assert len(summaries) > 1
    assert [summary["helpers"] for summary in summaries if "helpers" in summary] == [PARALLELISM]
    assert sum(summary["applied"] for summary in summaries) == ACTIONS
    assert sum(summary["duplicates"] for summary in summaries) == ACTIONS // 10
    assert read(services.database, "SELECT count(*) FROM user_actions") == [(ACTIONS,)]
    assert read_popularity_error(services.database, counted=large.positive_actions) < 1e-6
    services.close()
