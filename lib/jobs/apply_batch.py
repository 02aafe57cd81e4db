"""Applies one claimed batch: any number of times has the effect of one.

Gather: read the elements. Decide: what is new, and what it does to popularity (lib/core/popularity.py). Apply: one
transaction, and after its commit the cached lists of every user in the batch go, also of those whose events were
there before: the drain that wrote them may have died before it could do that.
"""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from lib.adapters.action_log import insert_actions, lock_log
from lib.adapters.services import Services
from lib.core.actions import Action, DeadLetter, parse_element
from lib.core.popularity import first_action_changes
from lib.jobs.change_popularity import change_popularity


def apply_batch(
    services: Services, batch_id: str, elements: Sequence[str], *, now: datetime
) -> tuple[dict[str, int], list[DeadLetter]]:
    """Counts (claimed, applied, duplicates, rejected) and what could not be read."""
    actions, dead_letters = _read(elements, batch_id=batch_id, now=now)
    applied = 0
    if actions:
        with services.database.transaction() as connection:
            lock_log(connection)
            change = insert_actions(connection, actions, counted=services.settings.positive_actions)
            pairs = np.arange(len(change.content_ids))
            change_popularity(
                connection, change.content_ids, *first_action_changes(pairs, change.earliest, change.others)
            )
        applied = change.events
        services.cache.invalidate(sorted({action.user_id for action in actions}))
    counts = {
        "claimed": len(actions) + len(dead_letters),
        "applied": applied,
        "duplicates": len(actions) - applied,
        "rejected": len(dead_letters),
    }
    return counts, dead_letters


def _read(elements: Sequence[str], *, batch_id: str, now: datetime) -> tuple[list[Action], list[DeadLetter]]:
    """The ids of actions without one are made of the batch and the position: the same whenever it is read again."""
    actions: list[Action] = []
    dead_letters: list[DeadLetter] = []
    for position, element in enumerate(elements):
        for item in parse_element(element, received_at=now, fallback_id=f"{batch_id}.{position}"):
            if isinstance(item, Action):
                actions.append(item)
            else:
                dead_letters.append(item)
    return actions, dead_letters
