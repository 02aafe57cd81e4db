"""scripts/bench: what the parts cost, each as a ratio against a limit measured in the same run.

Machines differ and are noisy: read the ratio, not the value. The servers are the embedded ones.
"""

import argparse
import json
import secrets
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from lib.adapters.action_log import insert_actions, lock_log
from lib.adapters.schema import migrate
from lib.adapters.services import Services
from lib.core.actions import Action
from lib.jobs.process_actions import process_user_actions
from lib.jobs.recommend import recommend
from lib.jobs.run import Deadline
from lib.settings import Settings
from local.bench.cold_start import cold_start
from local.bench.computed_read import computed_read
from local.bench.figure import Figure, seconds
from local.bench.large_site import sizes_of
from local.redis_rest import RedisRest
from local.resp import Connection
from local.servers import Postgres, Valkey

ACTIONS = 20_000
REPEATS = 5
READS = 300
IDLE_TICKS = 50


@dataclass(frozen=True)
class Bench:
    services: Services
    valkey: Valkey
    postgres: Postgres
    contents: int


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--only", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    help_ = "of the site that computed_read reads from, with 2 users each and 50 actions a user (%(default)s)"
    parser.add_argument("--contents", type=int, default=10_000, metavar="N", help=help_)
    options = parser.parse_args()
    names = [options.only] if options.only else list(BENCHMARKS)
    figures: list[Figure] = []
    with _running(options.contents) as bench:
        for name in names:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            figures += BENCHMARKS[name](bench)
    if options.json:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
    else:
        print(as_table(figures))
    return 0


def as_table(figures: list[Figure]) -> str:
    """Markdown."""
    rows = ["| what | value | against | ratio | target |", "|---|---|---|---|---|"]
    rows += [
        f"| {f.name} | {f.value:,.4g} {f.unit} | {f.against}: {f.against_value:,.4g} | {f.ratio:.2f} | {f.target} |"
        for f in figures
    ]
    return "\n".join(rows)


@contextmanager
def _running(contents: int) -> Iterator[Bench]:
    token = secrets.token_urlsafe(24)
    with (
        tempfile.TemporaryDirectory(prefix="recs-bench-") as folder,
        Postgres(Path(folder) / "postgres") as postgres,
        Valkey(Path(folder) / "valkey") as valkey,
        RedisRest(valkey.address, {token: 0}) as rest,
    ):
        services = Services(Settings(redis_url=rest.url, redis_token=token, database_url=postgres.url))
        migrate(services.database)
        yield Bench(services, valkey, postgres, contents)
        services.close()


def drain(bench: Bench) -> list[Figure]:
    """From the list to the committed log, against the same claims and the same inserts from parsed actions."""
    ours, limit = [], []
    for repeat in range(REPEATS):
        _push(bench, _actions(f"ours-{repeat}"))
        ours.append(seconds(lambda: process_user_actions(bench.services, Deadline.after(600))))
        actions = _actions(f"limit-{repeat}")
        _push(bench, actions)
        limit.append(seconds(partial(_drain_at_the_limit, bench, actions)))
    value, against = ACTIONS / statistics.median(ours), ACTIONS / statistics.median(limit)
    return [Figure("drain", value, "actions/s", "claims and the same inserts", against, value / against, ">= 0.7")]


def _drain_at_the_limit(bench: Bench, actions: list[Action]) -> None:
    done = 0
    while (claim := bench.services.queue.claim()).batch_id:
        batch = actions[done : done + len(claim.elements)]
        with bench.services.database.transaction() as connection:
            lock_log(connection)
            insert_actions(connection, batch, counted=bench.services.settings.positive_actions)
        bench.services.queue.acknowledge(claim.batch_id, [], at=0.0)
        done += len(batch)


def cached_read(bench: Bench) -> list[Figure]:
    """One cached list, checked for availability, against a bare GET of it through the same client."""
    services, now = bench.services, datetime.now(UTC)
    _push(bench, _actions("read"))
    process_user_actions(services, Deadline.after(600))

    def read() -> None:
        recommend(services, user_id="user-1", n=20, language=None, now=now)

    read()
    reads, gets = [], []
    for _ in range(READS):
        reads.append(seconds(read))
        gets.append(seconds(lambda: services.cache.user_list("user-1")))
    value, against = statistics.median(reads) * 1000, statistics.median(gets) * 1000
    return [Figure("cached read", value, "ms", "one read of the key", against, value / against, "<= 1.5")]


def idle_tick(bench: Bench) -> list[Figure]:
    """Redis commands that a tick on an empty list sends."""
    process_user_actions(bench.services, Deadline.after(60))
    reading = -(_commands(bench.valkey) - _commands(bench.valkey))  # what looking costs by itself
    before = _commands(bench.valkey)
    for _ in range(IDLE_TICKS):
        process_user_actions(bench.services, Deadline.after(60))
    value = (_commands(bench.valkey) - before - reading) / IDLE_TICKS
    return [Figure("idle tick", value, "commands", "one script", 1, value, "= 1")]


BENCHMARKS: dict[str, Callable[[Bench], list[Figure]]] = {
    "drain": drain,
    "cached_read": cached_read,
    "idle_tick": idle_tick,
    "computed_read": lambda bench: computed_read(bench.services, bench.postgres, sizes_of(bench.contents)),
    "cold_start": lambda _: cold_start(),
}


def _actions(prefix: str) -> list[Action]:
    now = datetime.now(UTC)
    return [
        Action(f"{prefix}-{i}", f"user-{i * 7 % 2000}", f"content-{i * 31 % 5000}", "view", None, now)
        for i in range(ACTIONS)
    ]


def _push(bench: Bench, actions: list[Action]) -> None:
    elements = [
        json.dumps(
            {
                "id": action.event_id,
                "user_id": action.user_id,
                "content_id": action.content_id,
                "action": action.action,
                "timestamp": action.occurred_at.isoformat(),
            }
        ).encode()
        for action in actions
    ]
    with Connection(bench.valkey.address, 0) as connection:
        connection.call(b"LPUSH", b"pending_user_actions", *elements)


def _commands(valkey: Valkey) -> int:
    """Requests that the server has read. (Its command counters also count what scripts call inside.)"""
    with Connection(valkey.address, 0) as connection:
        text = connection.call(b"INFO", b"stats")
    assert isinstance(text, bytes)
    fields = dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
    return int(fields["total_reads_processed"])
