"""process_user_actions: drains the list of pending actions into the log. This is the five-second tick.

1. Claim a batch under a lease: one Redis command, also where the list is empty, and then that is all.
2. Write it to Postgres and delete the touched users' cached lists (lib/jobs/apply_batch.py).
3. Acknowledge it, dead letters included. A drain that dies before this leaves the batch to the next claim, which
   finds its events in the log already.
4. Again, until the list was empty once or the time is nearly spent. What has come since waits for the next tick: claims
   of the few actions that come during each batch would never end where many act. Where time will leave much behind, ask
   for help (lib/core/helpers.py says when).
5. Where that has made many contenders (lib/core/contenders.py), choose them anew.

A drain that fails gives its batch back at once. A batch that fails by itself, and not because a service is away, is
set aside after some tries.
"""

import time
from collections import Counter
from datetime import UTC, datetime

from lib.adapters.action_queue import Claim
from lib.adapters.services import Services
from lib.core.schedules import PROCESS_ACTIONS
from lib.errors import DatabaseRefuses, OutOfTime, RecommenderError, ServiceUnavailable
from lib.jobs.run import OK, WORK_SHARE, Deadline, Summary, failure, report
from lib.log_lines import line, log
from lib.time_limit import seconds_left, time_limit

LETTERS_LOGGED = 10  # of a batch; all of them are in the dead letters
LETTER_LENGTH = 200  # characters of each
CHOICE_SECONDS = 10.0  # left when contenders are chosen, which takes a second for 50,000 contents
BATCH_SECONDS = 5.0  # left when a batch begins; a batch of the default size takes a fraction of a second


def process_user_actions(services: Services, deadline: Deadline, *, calls_helpers: bool = False) -> Summary:
    """Answers the counts of every batch together, how many elements are pending still, and how many helpers were asked
    for where that was necessary.

    Raises RedisUnavailable or PostgresUnavailable: what was claimed is given back and nothing is lost.
    """
    started = time.monotonic()
    totals: Counter[str] = Counter(claimed=0, applied=0, duplicates=0, rejected=0)
    claim = services.queue.claim()
    idle = not claim.batch_id
    pace = _Pace()
    while claim.batch_id:
        try:
            totals.update(_process(services, claim, deadline))
        except Exception as error:
            report(services, PROCESS_ACTIONS.name, failure(error), started, dict(totals))
            raise
        if deadline.seconds_left < BATCH_SECONDS or _was_the_last(claim):
            break
        pace.note(claim)
        if calls_helpers and (wanted := _helpers_wanted(services, claim.pending, pace, deadline)):
            from lib.jobs.call_helpers import call_helpers

            calls_helpers = False
            totals["helpers"] = call_helpers(services, wanted)
        claim = services.queue.claim()
    summary: Summary = {**totals, "pending": claim.pending}
    if not idle:  # an idle tick has nothing to report: the claim has stamped last_run
        report(services, PROCESS_ACTIONS.name, OK, started, summary)
        if deadline.seconds_left > CHOICE_SECONDS:
            _keep_contenders_few(services)
    return summary


class _Pace:
    """How fast batches are drained, from the second on: the first has imported and connected."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._elements = 0

    def note(self, claim: Claim) -> None:
        """After the batch."""
        if self._began is None:
            self._began = time.monotonic()
        else:
            self._elements += len(claim.elements)

    @property
    def rate(self) -> float | None:
        """Elements a second; None before a batch was measured."""
        if self._began is None or not self._elements:
            return None
        return self._elements / (time.monotonic() - self._began)


def _helpers_wanted(services: Services, pending: int, pace: _Pace, deadline: Deadline) -> int:
    if pace.rate is None:
        return 0
    from lib.core.helpers import helpers_wanted

    settings = services.settings
    return helpers_wanted(
        pending=pending,
        rate=pace.rate,
        seconds_left=deadline.seconds_left - BATCH_SECONDS,
        seconds_a_call=WORK_SHARE * settings.actions_time_budget_seconds - BATCH_SECONDS,
        at_most=settings.fan_out_parallelism,
    )


def _was_the_last(claim: Claim) -> bool:
    """A batch that is taken up again says nothing of others whose lease has ended too."""
    return claim.pending == 0 and claim.tries == 1


def _process(services: Services, claim: Claim, deadline: Deadline) -> dict[str, int]:
    from lib.jobs.apply_batch import apply_batch  # numpy and Postgres, which an idle tick does without

    started, now = time.monotonic(), datetime.now(UTC)
    try:
        with time_limit(max(deadline.seconds_left, WORK_SHARE * seconds_left(BATCH_SECONDS))):
            counts, dead_letters = apply_batch(services, claim.batch_id, claim.elements, now=now)
            ids = services.queue.acknowledge(claim.batch_id, dead_letters, at=now.timestamp())
    except Exception as error:
        _give_back(services, claim, error, seconds=time.monotonic() - started)
        raise
    for letter_id, letter in list(zip(ids, dead_letters, strict=True))[:LETTERS_LOGGED]:
        words = f"user action rejected: {letter.reason}"
        log.warning(line(words, letter=letter_id, batch=claim.batch_id, raw=letter.raw[:LETTER_LENGTH]))
    if claim.tries > 1:
        log.info(line("user actions applied at last", batch=claim.batch_id, tries=claim.tries, **counts))
    return counts


def _keep_contenders_few(services: Services) -> None:
    """For the reads; the actions are in the log whether it can be done or not."""
    from lib.jobs.choose_contenders import choose_contenders_if_grown

    try:
        choose_contenders_if_grown(services)
    except RecommenderError as error:
        log.warning(line("contenders could not be chosen", error=services.settings.redact(error.message)))


def _give_back(services: Services, claim: Claim, error: Exception, *, seconds: float) -> None:
    reason = failure(error) if _is_the_batch(error, seconds) else ""
    redact = services.settings.redact
    log.warning(line("user actions given back", batch=claim.batch_id, tries=claim.tries, error=redact(failure(error))))
    try:
        services.queue.release(claim.batch_id, error=redact(reason))
    except RecommenderError:
        log.warning(line("user actions can't be given back; their lease will end by itself", batch=claim.batch_id))


def _is_the_batch(error: Exception, seconds: float) -> bool:
    """Whether the batch itself may be why it failed after so long. An outage, however long, is none of its doing."""
    if isinstance(error, OutOfTime):
        return seconds >= BATCH_SECONDS
    return isinstance(error, DatabaseRefuses) or not isinstance(error, ServiceUnavailable)
