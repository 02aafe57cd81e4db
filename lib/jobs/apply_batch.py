"""Applies one claimed batch: any number of times has the effect of one.

For some thousand actions at a time. Gather: read the elements. Decide: what is new, and what it does to popularity
(lib/core/popularity.py). Apply: one transaction, and after its commit the cached lists of every user in it go, also
of those whose events were there before: the drain that wrote them may have died before it could do that.
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice

from lib.adapters.action_log import LogChange, insert_actions
from lib.adapters.services import Services
from lib.core.actions import Action, DeadLetter, as_element, parse_element
from lib.errors import DatabaseRefuses
from lib.jobs.change_popularity import add_popularity

ACTIONS_AT_ONCE = 5_000  # in one transaction; one element may hold an array of 200,000
MAX_REFUSED = 20  # rows of one batch: where Postgres refuses more, it isn't the rows


def apply_batch(
    services: Services, batch_id: str, elements: Sequence[str], *, now: datetime
) -> tuple[dict[str, int], list[DeadLetter]]:
    """Counts, and the latest of what could not be applied: claimed = applied + duplicates + rejected, + forgotten where
    actions of forgotten users came late."""
    counts = Counter(claimed=0, applied=0, duplicates=0, rejected=0)
    dead_letters: deque[DeadLetter] = deque(maxlen=services.settings.dead_letters_max)
    items = _read(elements, batch_id=batch_id, now=now)
    while chunk := list(islice(items, ACTIONS_AT_ONCE)):
        letters = [item for item in chunk if isinstance(item, DeadLetter)]
        actions = [item for item in chunk if isinstance(item, Action)]
        if actions:
            letters += _write(services, actions, counts, most_refused=MAX_REFUSED - counts["refused"])
        counts.update(claimed=len(chunk), rejected=len(letters))
        dead_letters.extend(letters)
    counts.pop("refused", None)
    return dict(counts), list(dead_letters)


def _read(elements: Sequence[str], *, batch_id: str, now: datetime) -> Iterator[Action | DeadLetter]:
    """The ids of actions without one are made of the batch and the position: the same whenever it is read again."""
    for position, element in enumerate(elements):
        yield from parse_element(element, received_at=now, fallback_id=f"{batch_id}.{position}")


def _write(
    services: Services, actions: Sequence[Action], counts: Counter[str], *, most_refused: int
) -> list[DeadLetter]:
    """Writes them in one transaction. Where Postgres refuses that (a constraint or a trigger of the app's own), in
    halves, until the rows that it refuses stand alone: those are the dead letters."""
    try:
        change = _write_at_once(services, actions)
    except DatabaseRefuses as error:
        if most_refused <= 0:
            raise
        if len(actions) == 1:
            counts["refused"] += 1
            return [DeadLetter(as_element(actions[0]), error.message)]
        refused: list[DeadLetter] = []
        for half in (actions[: len(actions) // 2], actions[len(actions) // 2 :]):
            refused += _write(services, half, counts, most_refused=most_refused - len(refused))
        return refused
    services.cache.invalidate(sorted({action.user_id for action in actions}))
    counts.update(applied=change.events, duplicates=len(actions) - change.events - change.forgotten)
    if change.forgotten:
        counts.update(forgotten=change.forgotten)
    return []


def _write_at_once(services: Services, actions: Sequence[Action]) -> LogChange:
    counted = services.settings.positive_actions
    with services.database.transaction() as connection:
        change = insert_actions(connection, actions, counted=counted)
        add_popularity(connection, change, counted=counted)
    return change
