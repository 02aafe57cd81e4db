"""A long list of pending actions, and ticks that share the work: each within its time, none growing in memory."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from local.functions import ROOT
from local.soak.run import as_json
from local.soak.stage import Stage, running_stage
from local.soak.verify import read, read_popularity_error

AT_ONCE = 3  # ticks: a long one is still running when the next two come
ACTIONS_A_PUSH = 5_000
USERS, CONTENTS = 20_000, 5_000

Progress = Callable[["Tick"], None]


@dataclass(frozen=True)
class Tick:
    """One invocation: what it answered, how long it took, and its peak memory in MB."""

    summary: dict[str, int]
    seconds: float
    peak_mb: float


@dataclass
class BacklogReport:
    """`rows` are in the log at the end; `popularity_error` is the largest difference from a recompute."""

    actions: int
    budget_seconds: float
    seconds: float = 0.0
    ticks: list[Tick] = field(default_factory=list)
    rows: int = 0
    popularity_error: float = 0.0

    def __str__(self) -> str:
        working = [tick for tick in self.ticks if tick.summary["claimed"]]
        peaks = [tick.peak_mb for tick in working]
        return "; ".join(
            [
                f"{self.actions} pending actions drained in {self.seconds:.0f} s",
                f"{len(working)} ticks, {AT_ONCE} at once",
                f"the longest took {max(tick.seconds for tick in working):.1f} s of its {self.budget_seconds:g}",
                f"peak memory {peaks[0]:.0f} MB in the first, {peaks[-1]:.0f} in the last, {max(peaks):.0f} at most",
                f"{sum(tick.summary['applied'] for tick in working)} applied, {self.rows} in the log",
                f"popularity off by {self.popularity_error:.1e} at most",
            ]
        )


def drain_backlog(*, actions: int, budget_seconds: float, progress: Progress) -> BacklogReport:
    with running_stage(actions_time_budget_seconds=budget_seconds) as stage:
        report = BacklogReport(actions, budget_seconds)
        _push(stage, actions)
        began = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(lambda _: _tick_until_empty(stage, report, progress), range(AT_ONCE)))
        report.seconds = time.monotonic() - began
        [(report.rows,)] = read(stage.services.database, "SELECT count(*) FROM user_actions")
        report.popularity_error = read_popularity_error(
            stage.services.database, counted=stage.settings.positive_actions
        )
        return report


def _push(stage: Stage, actions: int) -> None:
    now = time.time()
    for first in range(0, actions, ACTIONS_A_PUSH):
        elements = [json.dumps(_action(number, now)) for number in range(first, min(first + ACTIONS_A_PUSH, actions))]
        stage.redis.execute("LPUSH", "pending_user_actions", *elements)


def _action(number: int, now: float) -> dict[str, Any]:
    return {
        "id": f"action {number}",
        "user_id": f"user-{number * 7919 % USERS}",
        "content_id": f"content-{number * 104_729 % CONTENTS}",
        "action": "view",
        "timestamp": now - number % 86_400,
    }


def _tick_until_empty(stage: Stage, report: BacklogReport, progress: Progress) -> None:
    task, pending = json.dumps(as_json(stage.settings)), 1
    while pending:
        run = subprocess.run(
            [sys.executable, "-m", "local.soak.invocation"],
            cwd=ROOT,
            input=task + "\n",
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        tick = Tick(**json.loads(run.stdout))
        report.ticks.append(tick)
        progress(tick)
        pending = tick.summary["pending"]
