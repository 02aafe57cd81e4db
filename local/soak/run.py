"""The whole of it: real servers, an app that pushes, readers that fill caches, drains that die, and then the count."""

import dataclasses
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from lib.adapters.services import Services
from lib.errors import RecommenderError
from lib.jobs.process_actions import process_user_actions
from lib.jobs.recommend import recommend
from lib.jobs.run import Deadline
from lib.jobs.warm_cache import warm_cache
from lib.settings import Settings
from local.functions import ROOT
from local.soak.producer import AT_THE_SITE, Producer, user_of
from local.soak.report import Report, look
from local.soak.stage import Stage, running_stage

DRAINS = 4
CLAIM_ELEMENTS = 40  # small batches: more of them are in flight when somebody dies
LEASE_SECONDS = 0.03  # of the order of what a batch takes: owners overlap
TICK_SECONDS = 5.0  # room for one batch a tick, so that ticks begin and end often
READS_PAUSE_SECONDS = 0.01
WARM_EVERY_SECONDS = 2.0
ACTIVE_SECONDS = 0.5  # a warm run makes the lists of those who act right now, and mends none of those who have left
LAST_DRAIN_SECONDS = 120.0


Progress = Callable[[Report, float], None]


def soak(*, kills: int, seconds: float, seed: int, progress: Progress) -> Report:
    """Ends after so many kills (0: as many as it gets) or so many seconds, whichever comes first."""
    changes = {
        "claim_max_elements": CLAIM_ELEMENTS,
        "claim_lease_seconds": LEASE_SECONDS,
        "actions_time_budget_seconds": TICK_SECONDS,
        "active_user_days": ACTIVE_SECONDS / 86_400,
    }
    with running_stage(**changes) as stage:
        report, began = Report(), time.monotonic()
        producer = Producer(stage.redis, seed=seed)
        producer.start()
        with _reading(stage, producer, seed=seed), _nursery(stage, kills=kills, seed=seed) as nursery:
            for _ in _deaths(nursery, report):
                progress(report, time.monotonic() - began)
                if time.monotonic() > began + seconds:
                    break
            pushed = producer.stop()
        report.set_aside = _drain_the_rest(stage)
        report.seconds = time.monotonic() - began
        look(stage, pushed, report)
        return report


@contextmanager
def _nursery(stage: Stage, *, kills: int, seed: int) -> Iterator["subprocess.Popen[str]"]:
    """Its standard input, while it is open, keeps it running."""
    task = {"settings": as_json(stage.settings), "drains": DRAINS, "kills": kills, "seed": seed}
    with subprocess.Popen(
        [sys.executable, "-m", "local.soak.nursery"],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # it forks, and threads don't survive that
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        print(json.dumps(task), file=process.stdin, flush=True)
        try:
            yield process
        finally:
            process.stdin.close()
    if process.returncode:
        raise RuntimeError(f"the nursery ended with status {process.returncode}")


def as_json(settings: Settings) -> dict[str, Any]:
    """The settings for a process of their own."""
    return {item.name: getattr(settings, item.name) for item in dataclasses.fields(settings) if item.name != "problems"}


def _deaths(nursery: "subprocess.Popen[str]", report: Report) -> Iterator[str]:
    assert nursery.stdout is not None
    for line in nursery.stdout:
        event = json.loads(line)
        if "point" in event:
            report.kills[event["point"]] += 1
            yield event["point"]
        else:
            report.claimed_again += 1


@contextmanager
def _reading(stage: Stage, producer: Producer, *, seed: int) -> Iterator[None]:
    """Users who look at their lists, while they act and after they have left, and the warm run every few seconds."""
    stopping, errors = threading.Event(), list[BaseException]()
    services = Services(stage.settings)

    def read_on() -> None:
        chance, warmed_at = random.Random(seed), 0.0  # noqa: S311 - no secrets
        while not stopping.wait(READS_PAUSE_SECONDS):
            now = datetime.now(UTC)
            try:
                user_id = user_of(producer.first_user + chance.randrange(-2 * AT_THE_SITE, AT_THE_SITE // 2))
                recommend(services, user_id=user_id, n=20, language=None, now=now)
                if time.monotonic() > warmed_at + WARM_EVERY_SECONDS:
                    warm_cache(services, now, Deadline.after(30))
                    warmed_at = time.monotonic()
            except RecommenderError as error:
                errors.append(error)

    thread = threading.Thread(target=read_on, name="readers", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        services.close()
    if errors:
        raise errors[0]


def _drain_the_rest(stage: Stage) -> int:
    """Drains until nothing waits; answers how many batches had been set aside and were put back."""
    queue, dead_letters, deadline = (
        stage.services.queue,
        stage.services.dead_letters,
        Deadline.after(LAST_DRAIN_SECONDS),
    )
    put_back = 0
    while queue.count_pending() or queue.batches_in_flight() or dead_letters.set_aside():
        put_back += sum(dead_letters.put_back_batch(batch.batch_id) for batch in dead_letters.set_aside())
        process_user_actions(stage.services, Deadline.after(LAST_DRAIN_SECONDS))
        if not deadline.seconds_left:
            break
    return put_back
