"""Ticks, idle and busy."""

from dataclasses import replace

from lib.core.schedules import PROCESS_ACTIONS
from lib.jobs.choose_contenders import choose_contenders
from local.simulate.measuring.laboratory import Laboratory, element
from local.simulate.measuring.shares import solve
from local.simulate.usage import Usage, total

FEW, SOME = 40, 50  # users or contents


def measure_ticks(lab: Laboratory) -> dict[str, Usage]:
    tick = lab.measure_often(60, lambda: lab.deliver(PROCESS_ACTIONS))
    publishing = lab.measure(lambda: lab.deliver(PROCESS_ACTIONS, publish_ticks=True))
    lab.stage.cancel_messages()
    # The ticks that it published are counted where they arrive.
    return {"tick": tick, "publish": replace(publishing - tick, messages=0.0, invocations=0.0)}


def measure_drains(lab: Laboratory, tick: Usage) -> tuple[dict[str, Usage], float]:
    """Six shapes, each several times, one after the other so that noise of the machine falls on all alike. Answers the
    unit costs, and by how many bytes the log grew with each action."""
    claim = lab.claim
    shapes = (
        (FEW, FEW, FEW),
        (claim, FEW, SOME),
        (claim, claim, claim),
        (3 * claim, claim, claim),
        (claim, claim, FEW),
        (claim, FEW, claim),
    )
    rows, size = _log(lab)
    repeats = 1 if lab.quick else 3
    for shape in shapes:  # contents become contenders as those of a busy site do, once such traffic has been seen
        _drain(lab, *shape)
    choose_contenders(lab.stage.services)
    used = [[_drain(lab, *shape) - tick for shape in shapes] for _ in range(repeats)]
    runs = [
        (_composition(lab, *shape), 1 / repeats * total(column))
        for shape, column in zip(shapes, zip(*used, strict=True), strict=True)
    ]
    names = ("busy_tick", "batch", "action", "batch_user", "batch_content")
    more_rows, larger = _log(lab)
    return solve(names, runs), (larger - size) / (more_rows - rows)


def _drain(lab: Laboratory, actions: int, users: int, contents: int) -> Usage:
    """One tick that finds so many actions, each of another pair of user and content, in the log for the first time."""
    ids, per_content = lab.new_users(users), lab.claim if contents >= lab.claim else users
    lab.push([element(ids[i % users], _spread(lab, (i + i // per_content) % contents)) for i in range(actions)])
    return lab.measure(lambda: lab.deliver(PROCESS_ACTIONS))


def _spread(lab: Laboratory, number: int) -> int:
    """A content for each number, not beside those of the next ones: Postgres rewrites rows of a page more dearly where
    all of them change."""
    return number * 7_919 % lab.sizes.contents


def _composition(lab: Laboratory, actions: int, users: int, contents: int) -> dict[str, float]:
    batches = -(-actions // lab.claim)
    return {
        "busy_tick": 1,
        "batch": batches,
        "action": actions,
        "batch_user": batches * users,
        "batch_content": batches * contents,
    }


def _log(lab: Laboratory) -> tuple[float, float]:
    """Rows, and bytes with indexes."""
    rows, size = lab.execute("SELECT count(*), pg_total_relation_size('user_actions') FROM user_actions")[0]
    return float(rows), float(size)
