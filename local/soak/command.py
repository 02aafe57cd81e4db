"""scripts/soak: kills drains at every point of their work while an app pushes, and counts what was lost or came twice.

Real servers, started for it; SIGKILL; four drains at once with leases so short that they overlap. Ends with 1 where
anything is wrong. `--backlog N` drains N pending actions instead, and says how long each tick took.
"""

import argparse
import logging
import math
import time

from local.soak.backlog import Tick, drain_backlog
from local.soak.report import TOLERANCE, Report
from local.soak.run import soak

KILLS = 200
PROGRESS_EVERY_SECONDS = 5.0
TICK_SECONDS = 25.0


def main() -> int:
    options = _parse()
    logging.disable()
    return _drain(options.backlog) if options.backlog else _soak(options)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, help=f"end after so many kills (default {KILLS}; with --minutes no end)")
    parser.add_argument("--minutes", type=float, help="end after so many minutes")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="of the traffic and of the order of the kills"
    )
    parser.add_argument("--backlog", type=int, metavar="N", help="drain N pending actions instead")
    options = parser.parse_args()
    for name in ("kills", "minutes", "backlog"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            parser.error(f"--{name} must be above 0")
    return options


def _soak(options: argparse.Namespace) -> int:
    kills = options.kills or (0 if options.minutes else KILLS)
    seconds = options.minutes * 60 if options.minutes else math.inf
    shown_at = time.monotonic()

    def show(report: Report, elapsed: float) -> None:
        nonlocal shown_at
        if time.monotonic() >= shown_at + PROGRESS_EVERY_SECONDS:
            shown_at = time.monotonic()
            print(f"{elapsed:6.0f} s  {report.kills.total()} kills", flush=True)

    print(f"seed {options.seed}; Ctrl-C ends it without a verdict", flush=True)
    report = soak(kills=kills, seconds=seconds, seed=options.seed, progress=show)
    print(report)
    for name, figure in report.wrong.items():
        print(f"{'❌' if figure else '✅'} {name}: {figure:g}")
    return 0 if report.is_right else 1


def _drain(actions: int) -> int:
    def show(tick: Tick) -> None:
        print(f"{tick.seconds:6.1f} s  {tick.peak_mb:.0f} MB  {tick.summary}", flush=True)

    report = drain_backlog(actions=actions, budget_seconds=TICK_SECONDS, progress=show)
    print(report)
    is_right = report.rows == actions and report.popularity_error < TOLERANCE
    print(f"{'✅' if is_right else '❌'} {report.rows} of {actions} in the log, each once")
    return 0 if is_right else 1
