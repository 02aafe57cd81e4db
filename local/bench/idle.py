"""What a tick on an empty list costs."""

from lib.jobs.process_actions import process_user_actions
from lib.jobs.run import Deadline
from local.bench.figure import Figure
from local.bench.stack import Bench
from local.resp import Connection
from local.servers import Valkey

TICKS = 50


def idle(bench: Bench) -> list[Figure]:
    """Redis commands that a tick on an empty list sends."""
    process_user_actions(bench.services, Deadline.after(60))
    reading = -(_commands(bench.valkey) - _commands(bench.valkey))  # what looking costs by itself
    before = _commands(bench.valkey)
    for _ in range(TICKS):
        process_user_actions(bench.services, Deadline.after(60))
    value = (_commands(bench.valkey) - before - reading) / TICKS
    return [Figure("idle tick", value, "commands", "one script", 1, value, "= 1")]


def _commands(valkey: Valkey) -> int:
    """Requests that the server has read. (Its command counters also count what scripts call inside.)"""
    with Connection(valkey.address, 0) as connection:
        text = connection.call(b"INFO", b"stats")
    assert isinstance(text, bytes)
    fields = dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
    return int(fields["total_reads_processed"])
