"""All of it, in the order in which each measurement finds the site as it needs it."""

import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from lib.core.schedules import PROCESS_ACTIONS, REFRESH_COLD_START, UPDATE_EMBEDDINGS, WARM_CACHE
from local.bench.large_site import Sizes
from local.simulate.measuring.drains import measure_drains, measure_ticks
from local.simulate.measuring.jobs import measure_embeddings, measure_learning, measure_refresh, measure_warm
from local.simulate.measuring.laboratory import Laboratory, element, fill
from local.simulate.measuring.reads import measure_pushes, measure_reads
from local.simulate.measuring.running import running_stage
from local.simulate.measuring.scans import measure_scans, measure_sizes, measure_transaction
from local.simulate.units import UnitCosts
from local.simulate.usage import Usage

SIZES, QUICK_SIZES = Sizes(5_000, users=2_000, actions=100_000), Sizes(300, users=60, actions=600)
ACTIVE_DAYS = 0.01  # so that only those are active whom a measurement makes so
CLAIM, QUICK_CLAIM = 2_000, 60  # a share of the contents: a batch that touches all of them rewrites whole pages

Progress = Callable[[str], None]


def measure(*, quick: bool = False, learning: bool = True, progress: Progress) -> UnitCosts:
    """`quick` shows that it works, and gets the counts right; its times say nothing."""
    sizes = QUICK_SIZES if quick else SIZES
    claim = QUICK_CLAIM if quick else CLAIM
    variables = {
        "ACTIVE_USER_DAYS": str(ACTIVE_DAYS),
        "CLAIM_MAX_ELEMENTS": str(claim),
    }
    with running_stage(**variables) as stage:
        lab = Laboratory(stage, sizes, claim, quick)
        units, scalars = _measure_all(lab, learning=learning, progress=progress)
    site = {"contents": sizes.contents, "users": sizes.users, "actions": sizes.actions}
    site["history"] = sizes.actions // sizes.users
    made = {"at": datetime.now(UTC).date().isoformat(), "on": f"{platform.system()} {platform.machine()}", "site": site}
    return UnitCosts(units, scalars, made)


def _measure_all(lab: Laboratory, *, learning: bool, progress: Progress) -> tuple[dict[str, Usage], dict[str, float]]:
    progress("a site")
    prepare(lab)
    progress("ticks")
    units = measure_ticks(lab)
    progress("drains")
    drains, log_row_bytes = measure_drains(lab, units["tick"])
    transaction_seconds = measure_transaction(lab)
    progress("embeddings")
    units |= drains | measure_pushes(lab) | measure_embeddings(lab)
    progress("warm runs")
    units |= measure_warm(lab)
    progress("reads")
    reads, list_bytes = measure_reads(lab)
    units |= reads
    scalars = {"log_row_bytes": log_row_bytes, "list_bytes": list_bytes, "transaction_seconds": transaction_seconds}
    scalars |= measure_sizes(lab) | measure_scans(lab)
    progress("refreshes")
    units |= measure_refresh(lab)
    if not learning:
        return units | dict.fromkeys(("learning", "learned_action", "learned_content"), Usage()), scalars
    progress("learning")
    return units | measure_learning(lab, units["embedded_user"]), scalars


def prepare(lab: Laboratory) -> None:
    """Everything that is needed is imported, and what a look at the meters costs is known."""
    fill(lab.stage, lab.sizes)
    lab.push([element(user, 1) for user in lab.new_users(20)])
    for job in (PROCESS_ACTIONS, UPDATE_EMBEDDINGS, WARM_CACHE, REFRESH_COLD_START):
        lab.deliver(job)
    lab.stage.read("user-0")
    lab.learn_what_looking_costs()


def say(text: str) -> None:
    print(f"measuring {text} ...", file=sys.stderr, flush=True)
