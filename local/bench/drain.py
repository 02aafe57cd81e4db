"""Actions a second from the Redis list to the committed log and popularity, against the limit: the same claims through
the same REST client, and the same inserts from parsed actions."""

import statistics
from functools import partial

from lib.adapters.action_log import insert_actions, lock_log
from lib.core.actions import Action
from lib.jobs.process_actions import process_user_actions
from lib.jobs.run import Deadline
from local.bench.figure import Figure, seconds
from local.bench.stack import Bench, made_actions


def drain(bench: Bench) -> list[Figure]:
    count, repeats = (500, 1) if bench.quick else (20_000, 5)
    ours, limit = [], []
    for repeat in range(repeats):
        bench.push(made_actions(f"ours-{repeat}", count))
        ours.append(seconds(lambda: process_user_actions(bench.services, Deadline.after(600))))
        actions = made_actions(f"limit-{repeat}", count)
        bench.push(actions)
        limit.append(seconds(partial(_drain_at_the_limit, bench, actions)))
    value, against = count / statistics.median(ours), count / statistics.median(limit)
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
