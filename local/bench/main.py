"""scripts/bench: what the parts cost, each as a ratio against a limit measured in the same run.

Machines differ and are noisy: read the ratio, not the value. The servers are the embedded ones.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict

from local.bench.cold_start import cold_start
from local.bench.drain import drain
from local.bench.embed import embed
from local.bench.figure import Figure
from local.bench.growth import growth
from local.bench.idle import idle
from local.bench.large_catalogue import large_catalogue
from local.bench.recommend import recommend
from local.bench.stack import Bench, running
from local.bench.table import as_table, write_into_page
from local.bench.warm import warm

BENCHMARKS: dict[str, Callable[[Bench], list[Figure]]] = {
    "drain": drain,
    "embed": embed,
    "warm": warm,
    "recommend": recommend,
    "cold_start": cold_start,
    "idle": idle,
    "growth": growth,
    "large_catalogue": large_catalogue,
}


def main() -> int:
    options = _options()
    names = [options.only] if options.only else list(BENCHMARKS)
    figures: list[Figure] = []
    with running(contents=options.contents, quick=options.quick) as bench:
        for number, name in enumerate(names, 1):
            print(f"[{number}/{len(names)}] measuring {name} ...", file=sys.stderr, flush=True)
            figures += BENCHMARKS[name](bench)
    print(json.dumps([asdict(figure) for figure in figures], indent=2) if options.json else as_table(figures))
    if options.write:
        write_into_page(figures)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--only", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="show that it works; the figures mean nothing")
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/performance.md, with its pictures"
    )
    help_ = "of the site that lists are computed on, with 2 users each and 50 actions a user (%(default)s)"
    parser.add_argument("--contents", type=int, default=10_000, metavar="N", help=help_)
    return parser.parse_args()
