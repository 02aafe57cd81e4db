"""Forgets a user: what he did, what was learned of him, what is cached for him, and what still waits.

1. In one transaction under the drain's lock: a tombstone (a keyed hash of the id, and when). From then on no event of
   his from before that moment goes into the log. Then his events go, with their part of popularity, his embedding, and
   his place in a run that was split.
2. His cached list goes, and no list that is being computed for him can be stored any more. So do his dead letters.
3. What was pushed before that and still waits is drained, and 1 and 2 are done once more: an action without a
   timestamp counts from when it was drained, and would begin him anew.

What he does later begins anew.
"""

import time
from dataclasses import asdict, dataclass, replace

from lib.adapters.action_log import forget_actions, lock_forgetting, lock_log, put_forgotten
from lib.adapters.embedding_store import delete_user_embeddings
from lib.adapters.services import Services
from lib.adapters.shard_store import forget_in_shards
from lib.core.actions import names_user
from lib.jobs.change_popularity import take_back_popularity
from lib.jobs.process_actions import process_user_actions
from lib.jobs.run import Deadline, failure
from lib.log_lines import line, log

EVENTS_AT_ONCE = 5_000
LOCK_SECONDS = 60.0  # an embeddings' run may be writing
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Forgotten:
    """What went. `is_complete` is false where something that was pushed before could not be drained in time."""

    events: int = 0
    dead_letters: int = 0
    is_complete: bool = False


def forget_user(services: Services, user_id: str, deadline: Deadline) -> Forgotten:
    """Any number of calls have the effect of one."""
    first = _erase(services, user_id)
    is_drained = _drain_what_waits(services, deadline)
    second = _erase(services, user_id)
    forgotten = Forgotten(first.events + second.events, first.dead_letters + second.dead_letters, is_drained)
    log.info(line("user forgotten", **asdict(forgotten)))
    return forgotten


def _erase(services: Services, user_id: str) -> Forgotten:
    events = _erase_log(services, user_id)
    services.cache.invalidate([user_id])
    letters = [letter for letter in services.dead_letters.all() if names_user(letter.raw, user_id)]
    return replace(Forgotten(events), dead_letters=services.dead_letters.drop(letters))


def _erase_log(services: Services, user_id: str) -> int:
    """The tombstone is committed with the first events; a user with more than some thousand goes in several steps."""
    erased, counted = 0, services.settings.positive_actions
    while True:
        with services.database.transaction(seconds=LOCK_SECONDS) as connection:
            lock_forgetting(connection)
            lock_log(connection)
            put_forgotten(connection, user_id)
            change = forget_actions(connection, user_id=user_id, limit=EVENTS_AT_ONCE, counted=counted)
            take_back_popularity(connection, change, counted=counted)
            delete_user_embeddings(connection, [user_id])
            forget_in_shards(connection, user_id)
        erased += change.events
        if change.events < EVENTS_AT_ONCE:
            return erased


def _drain_what_waits(services: Services, deadline: Deadline) -> bool:
    """Whether everything that was pushed before this call has been drained, by us or by the drains that run anyway."""
    try:
        while process_user_actions(services, deadline)["pending"]:
            if not deadline.seconds_left:
                return False
        waiting = services.queue.batches_in_flight()
        while waiting := waiting & services.queue.batches_in_flight():
            if not deadline.seconds_left:
                return False
            time.sleep(POLL_SECONDS)
            process_user_actions(services, deadline)  # takes up what a dead drain has left, once its lease has ended
    except Exception as error:  # a batch of somebody else's may fail: it must not keep this user from being forgotten
        reason = services.settings.redact(failure(error))
        log.warning(line("forgetting a user: what is pending can't be drained", error=reason))
        return False
    return not services.dead_letters.set_aside()
