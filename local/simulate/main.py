"""scripts/simulate: what a site of any size needs of QStash, Vercel, Redis and Postgres in a month, what that costs,
and where which plan ends. On paper, from measured unit costs; --check holds it against what really happens.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any

from lib.core.schedules import interval_problem
from local.simulate.page import write_into_pages, write_outcome
from local.simulate.prices import Prices
from local.simulate.report import as_json, as_markdown, outcome_table
from local.simulate.site import Site
from local.simulate.spread import MOST_PEAK_FACTOR
from local.simulate.units import UnitCosts, load, save
from local.simulate.words import LANGUAGES

SITES = (
    Site("small", users=1_000, peak_actions=0.1, contents=5_000),
    Site("1M", users=1_000_000, peak_actions=100.0),
    Site("1M, busy", users=1_000_000, peak_actions=10_000.0),
    Site("100M", users=100_000_000, peak_actions=10_000.0, contents=1_000_000),
)
# The prices that are one number; the others are lists of plans.
NUMBERS = {name for name, value in dataclasses.asdict(Prices()).items() if not isinstance(value, tuple)}
OPTIONS = (
    "users",
    "peak_actions",
    "peak_factor",
    "interval_seconds",
    "contents",
    "active_share",
    "actions_a_push",
    "reads_an_action",
    "cached_share",
    "warm_shard_users",
    "shards_at_once",
    "redis_round_trip_ms",
    "postgres_round_trip_ms",
)


def main() -> int:
    options = _parse()
    if options.measure:
        from local.simulate.measuring.main import measure, say

        save(measure(progress=say))
    if options.check:
        return _check(saved=options.saved, write=options.write)
    costs, prices = load(), _prices(options.set)
    if options.write:
        write_into_pages(SITES, costs, prices)
        return 0
    sites = _sites(options)
    print(as_json(sites, costs, prices) if options.json else as_markdown(sites, costs, prices, options.language))
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    add = parser.add_argument
    add("--users", type=_positive(int), help="who have ever acted; without sizes three are shown")
    add("--peak-actions", type=_positive(float), help="actions a second in the busiest hour")
    add(
        "--peak-factor", type=_positive(float), help=f"of that over the mean, 1 to {MOST_PEAK_FACTOR:.2f} (default 2.5)"
    )
    add("--interval", dest="interval_seconds", type=_interval, help="seconds between ticks")
    add("--contents", type=_positive(int), help="in the catalogue")
    add("--active-share", type=float, help="of the users who act within ACTIVE_USER_DAYS (default 0.3)")
    add("--actions-a-push", type=_positive(float), help="that the app pushes with one command (default 1)")
    add("--reads-an-action", type=float, help="lists that are asked for (default 0.2)")
    add("--cached-share", type=float, help="of those, that are found (default 0.5)")
    add("--warm-shard-users", type=int, help="warm by messages for so many users each; 0 in one call")
    add("--shards-at-once", type=_positive(int), help="of those messages")
    add("--redis-round-trip-ms", type=float, help="that Redis is away (default 2)")
    add("--postgres-round-trip-ms", type=float, help="that Postgres is away (default 1)")
    add(
        "--set",
        action="append",
        default=[],
        metavar="PRICE=NUMBER",
        help="another price: " + ", ".join(sorted(NUMBERS)),
    )
    add("--language", choices=LANGUAGES, default="en")
    add("--json", action="store_true", help="for a program")
    add(
        "--write", action="store_true", help="put the result for the usual sizes into docs/scale.md and its translation"
    )
    add("--measure", action="store_true", help="measure the unit costs anew on this machine; Linux alone")
    add("--check", action="store_true", help="run a known traffic on the whole stack and compare; Linux alone")
    add("--saved", action="store_true", help="compare with the saved unit costs in place of ones measured just before")
    options = parser.parse_args()
    if (options.measure or options.check) and not _is_linux():
        parser.error("--measure and --check read processes' times from /proc, which Linux has")
    return options


def _is_linux() -> bool:
    from local.simulate.measuring.processes import is_supported

    return is_supported()


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError("must be above 0")
        return value

    return parse


def _interval(text: str) -> int:
    seconds = int(text)
    if problem := interval_problem(seconds):
        raise argparse.ArgumentTypeError(str(problem))
    return seconds


def _prices(changes: Sequence[str]) -> Prices:
    given = dict(change.partition("=")[::2] for change in changes)
    if unknown := sorted(given.keys() - NUMBERS):
        sys.exit(f"scripts/simulate: {unknown[0]} is no price; they are {', '.join(sorted(NUMBERS))}")
    values: dict[str, Any] = {name: float(value) for name, value in given.items()}
    return dataclasses.replace(Prices(), **values)


def _sites(options: argparse.Namespace) -> Sequence[Site]:
    """The usual sizes; one of its own where --users or --peak-actions says so."""
    changes: dict[str, Any] = {name: getattr(options, name) for name in OPTIONS if getattr(options, name) is not None}
    if options.users is None and options.peak_actions is None:
        return [dataclasses.replace(site, **changes) for site in SITES]
    sizes: dict[str, Any] = {"users": 1_000_000, "peak_actions": (options.users or 1_000_000) / 10_000} | changes
    return [Site("yours", **sizes)]


def _check(*, saved: bool, write: bool) -> int:
    from local.simulate.measuring.check import check
    from local.simulate.measuring.main import measure, say
    from local.simulate.measuring.traffic import TRAFFIC

    costs: UnitCosts = load() if saved else measure(learning=False, progress=say)
    outcome = check(costs, TRAFFIC, progress=say)
    print(outcome_table(outcome, "en"))
    if write:
        write_outcome(outcome)
    return 0 if outcome.holds else 1
