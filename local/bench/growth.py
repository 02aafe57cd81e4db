"""How time and memory grow with the work: draining actions, the users' part of the two-hourly run, a warm run.

Each size is done by a process of its own, on a database of its own. It imports and connects by doing a little of the
same work first, which isn't timed: what it takes to begin would make small sizes look slow, and growth slower than it
is. Processor time is that of the process and of the servers, and tells growth from a machine that others got busy on.
Memory is the most that the process ever had, all told.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from lib.adapters.services import Services
from lib.core.actions import Action
from lib.jobs.process_actions import process_user_actions
from lib.jobs.recommend import recommend
from lib.jobs.run import Deadline
from lib.jobs.update_embeddings import process_user_embeddings
from lib.jobs.warm_cache import warm_cache
from lib.settings import Settings
from local.bench.computed_read import fill
from local.bench.embed import in_one_invocation
from local.bench.figure import Figure, seconds
from local.bench.large_site import Sizes
from local.bench.processes import peak_megabytes, processor_seconds
from local.bench.readers import fill_readers, let_time_pass
from local.bench.stack import Bench

ROOT = Path(__file__).resolve().parents[2]
LARGEST_EXPONENT = 1.05
MOST_MEMORY = 1.1  # of what a tenth of the work takes
SECONDS = 3_600.0  # for anything
ACTIONS_EACH = 10
CONTENTS = 2_000
PUSHING_USERS, PUSHED_CONTENTS = 50_000, 20_000
PUSHED_AT_ONCE = 10_000
EVER = 10_000.0  # days


@dataclass(frozen=True)
class Kind:
    """A kind of work and its sizes. `before` fills a site of a size, `begin` does a little of the work, `then` fills in
    what `work` is measured on; that answers how many it did."""

    sizes: tuple[int, ...]
    quick_sizes: tuple[int, ...]
    before: Callable[[Bench, Services, int], object]
    begin: Callable[[Services], object]
    then: Callable[[Bench, Services, int], object]
    work: Callable[[Services], int]


@dataclass(frozen=True)
class Measured:
    size: int
    seconds: float
    processor_seconds: float  # 0 where nobody knows
    megabytes: float


def growth(bench: Bench) -> list[Figure]:
    figures = list[Figure]()
    for name, kind in KINDS.items():
        sizes = kind.quick_sizes if bench.quick else kind.sizes
        figures += _figures(name, [_measure(bench, name, kind, size) for size in sizes])
    return figures


def _figures(name: str, points: Sequence[Measured]) -> list[Figure]:
    """What each size took, against the size before, and the exponents of all of them."""
    series = [
        ("", "s", [point.seconds for point in points]),
        ("processor time of ", "s", [point.processor_seconds for point in points]),
        ("memory of ", "MB", [point.megabytes for point in points]),
    ]
    figures = list[Figure]()
    for of, unit, values in series:
        if all(values):
            figures += _steps(name, of, unit, points, values)
    return figures


def _steps(name: str, of: str, unit: str, points: Sequence[Measured], values: Sequence[float]) -> list[Figure]:
    figures = list[Figure]()
    sizes = [point.size for point in points]
    for (before, size), (against, value) in zip(pairwise(sizes), pairwise(values), strict=True):
        target = f"<= {(size / before) ** LARGEST_EXPONENT:.4g}"
        if unit == "MB":
            target = f"<= {MOST_MEMORY}" if size == sizes[-1] else ""
        what = f"growth: {of}{name.format(f'{size:,}')}"
        figures.append(Figure(what, value, unit, f"{before:,} of them", against, value / against, target))
    if unit == "s":
        slope = float(np.polyfit(np.log(sizes), np.log(values), 1)[0])  # a line through logarithms, by least squares
        exponent = max(slope, 0.01)  # of tiny sizes it is noise
        what = f"growth: exponent of {of}{name.format('any number of')}"
        figures.append(Figure(what, exponent, "", "linear", 1.0, exponent, f"<= {LARGEST_EXPONENT}"))
    return figures


def _measure(bench: Bench, name: str, kind: Kind, size: int) -> Measured:
    with bench.empty_site(f"growth_{size}") as services:
        kind.before(bench, services, size)
        command = [sys.executable, "-c", "from local.bench.growth import in_fresh_process as run; run()"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps({"name": name, "settings": asdict(services.settings)}) + "\n")
            process.stdin.flush()
            assert process.stdout.readline(), "it could not begin"
            kind.then(bench, services, size)
            before = processor_seconds()
            process.stdin.write("\n")
            process.stdin.flush()
            done, took, megabytes = json.loads(process.stdout.readline())
            after = processor_seconds()
            process.stdin.close()
        assert done == size
    return Measured(size, took, after - before, megabytes)


def in_fresh_process() -> None:
    """Waits for a line between beginning and the work."""
    given = json.loads(sys.stdin.readline())
    settings = Settings(**given["settings"])
    services = Services(replace(in_one_invocation(settings), active_user_days=EVER))
    kind, done = KINDS[given["name"]], list[int]()
    kind.begin(services)
    print("ready", flush=True)
    sys.stdin.readline()
    took = seconds(lambda: done.append(kind.work(services)))
    print(json.dumps([done[0], took, peak_megabytes()]), flush=True)
    sys.stdin.read()  # until it was seen what all of it has used


def _push(bench: Bench, _: Services, count: int) -> None:
    """Views on a site of one size, so that a batch of few has as many users and contents in it as one of many."""
    rng, now = np.random.default_rng(count), datetime.now(UTC)
    for start in range(0, count, PUSHED_AT_ONCE):
        numbers = range(start, min(start + PUSHED_AT_ONCE, count))
        users = rng.integers(PUSHING_USERS, size=len(numbers)).tolist()
        contents = (PUSHED_CONTENTS * rng.random(len(numbers)) ** 2).astype(int).tolist()
        drawn = zip(numbers, users, contents, strict=True)
        bench.push([Action(f"{count}-{n}", f"user-{user}", f"content-{c}", "view", None, now) for n, user, c in drawn])


def _drain(services: Services) -> int:
    return int(process_user_actions(services, Deadline.after(SECONDS))["applied"])


def _embed(services: Services) -> int:
    return int(process_user_embeddings(services, datetime.now(UTC), Deadline.after(SECONDS))["users_updated"])


def _warm(services: Services) -> int:
    return int(warm_cache(services, datetime.now(UTC), Deadline.after(SECONDS))["users_warmed"])


def _fill_readers(_: Bench, services: Services, count: int) -> None:
    fill_readers(services, users=count, contents=CONTENTS, actions_each=ACTIONS_EACH)


def _fill_site(_: Bench, services: Services, count: int) -> None:
    fill(services, Sizes(CONTENTS, users=count, actions=ACTIONS_EACH * count))


def _let_time_pass(_: Bench, services: Services, __: int) -> None:
    let_time_pass(services)


KINDS = {
    "drain of {} actions": Kind(
        sizes=(10_000, 100_000, 1_000_000),
        quick_sizes=(20, 500),
        before=lambda bench, services, _: _push(bench, services, 1),
        begin=_drain,
        then=_push,
        work=_drain,
    ),
    "embeddings of {} users": Kind(
        sizes=(1_000, 10_000, 100_000),
        quick_sizes=(20, 500),
        before=_fill_readers,
        begin=_embed,
        then=_let_time_pass,
        work=_embed,
    ),
    "lists of {} users": Kind(
        sizes=(250, 1_000, 4_000),
        quick_sizes=(5, 50),
        before=_fill_site,
        begin=lambda services: recommend(services, user_id="user-1", n=20, language=None, now=datetime.now(UTC)),
        then=lambda *_: None,
        work=_warm,
    ),
}
