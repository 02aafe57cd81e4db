"""process_user_embeddings: learns what users are interested in. Every two hours, in parts of less than a minute.

1. Where the item vectors are missing or old, learn a new version beside the current one and switch over, a stage after
   the other (lib/jobs/build_model.py).
2. Find the users whose embedding may lack an action, or is of another version.
3. Bring some at a time up to date (lib/jobs/embed_users.py).
4. Where all are done, remember when this part began, or the run that was split.

A part takes the next piece of work as long as there is time for it, the first in any case, and hands what is left to
the next part (lib/jobs/publish_part.py). Nothing but what is stored says what is left: parts may be killed, repeated,
or run at the same time. Of a large site the users are not done in parts but all at once, each shard of them in an
invocation of its own (lib/jobs/shards.py).
"""

from datetime import datetime
from functools import cached_property, partial

from lib.adapters.action_log import RECEIPT_OVERLAP
from lib.adapters.database import Connection
from lib.adapters.embedding_store import Model, read_active_model, read_state, read_users_to_update, write_state
from lib.adapters.services import Services
from lib.adapters.shard_store import Split
from lib.core.schedules import UPDATE_EMBEDDINGS, Part
from lib.core.shards import Shard
from lib.jobs.build_model import next_stage
from lib.jobs.embed_users import CHUNK, Taste, read_taste, update_users
from lib.jobs.publish_part import publish_next_part
from lib.jobs.run import Deadline, Summary
from lib.jobs.shards import SplitJob, Work, begin, do_shard

PERIOD_SECONDS = 7_200
READ_UNTIL = "embeddings_read_until"
STAGE_SECONDS = 40.0  # for a further stage of learning: on the largest sites one takes that long, on others less
CHUNK_SECONDS = 10.0


def process_user_embeddings(
    services: Services, now: datetime, deadline: Deadline, *, part: Part | None = None
) -> Summary:
    """Answers users_updated, users_left (None while there is still something to learn first), whether the rest goes on
    at once, in another part or in so many `shards`, and the model in force."""
    part = part or Part(int(now.timestamp()))
    # What is begun may take longer, as on a busy machine: it would have to be done again.
    deadline = min(deadline, Deadline.after(services.settings.embeddings_time_budget_seconds))
    begun = False
    while (stage := next_stage(services, now)) is not None and (not begun or deadline.seconds_left > STAGE_SECONDS):
        stage(deadline)
        begun = True
    with services.database.transaction() as connection:
        model = read_active_model(connection)
    done: Summary = {"users_updated": 0, "users_left": None}
    if stage is None and model is not None:
        done = _update_users(services, model, part, now, deadline, begun=begun)
    return {
        **done,
        "continued": done["users_left"] != 0 and ("shards" in done or publish_next_part(services, part)),
        "model_version": model.version if model else None,
        "items": model.items if model else 0,
    }


def update_shard(services: Services, now: datetime, deadline: Deadline, *, shard: Shard) -> Summary:
    """Answers users_updated and users_left of one shard. Its users get the version that is active now: a run that
    finds the next version active takes up everybody who has this one."""
    deadline = min(deadline, Deadline.after(services.settings.embeddings_time_budget_seconds))
    with services.database.transaction() as connection:
        model = read_active_model(connection)
    if model is None:  # as after an update: what is to be learned first, the next run learns
        return {"users_updated": 0, "users_left": None, "run": shard.run, "shard": shard.number}
    updating = _Updating(services, model, now)
    work = Work(updating.update, CHUNK, CHUNK_SECONDS, _end_run)
    summary = do_shard(services, UPDATE_EMBEDDINGS, shard, deadline, work)
    return {"users_updated": updating.updated, **summary, "model_version": model.version}


def _update_users(
    services: Services, model: Model, part: Part, now: datetime, deadline: Deadline, *, begun: bool
) -> Summary:
    """How many users were updated and how many are left. The first chunk is always done, unless work has `begun`."""
    split = begin(
        services,
        SplitJob(UPDATE_EMBEDDINGS, PERIOD_SECONDS, services.settings.embeddings_shard_users),
        asked=part.run,
        now=now,
        read_users=partial(_read_users, model=model),
    )
    if split.shards:
        return {"users_updated": 0, **split.summary}
    users, updating = split.users, _Updating(services, model, now)
    while updating.updated < len(users) and (deadline.seconds_left > CHUNK_SECONDS or not (begun or updating.updated)):
        updating.update(users[updating.updated : updating.updated + CHUNK])
    if updating.updated == len(users):
        with services.database.transaction() as connection:
            _end_run(connection, now)
    return {"users_updated": updating.updated, "users_left": len(users) - updating.updated}


def _read_users(connection: Connection, split: Split, *, model: Model) -> list[str]:
    since = datetime.fromisoformat(read_state(connection, READ_UNTIL) or "1970-01-01T00:00:00+00:00")
    return read_users_to_update(connection, split, since=since, overlap=RECEIPT_OVERLAP, version=model.version)


def _end_run(connection: Connection, begun_at: datetime) -> None:
    """Whoever was to be updated when the run began has been. Another run's end may come in between: a time that is too
    early has some users looked at once more."""
    write_state(connection, READ_UNTIL, (begun_at - RECEIPT_OVERLAP).isoformat())


class _Updating:
    """Updates users to one version, which is read when the first of them come."""

    def __init__(self, services: Services, model: Model, now: datetime) -> None:
        self.updated = 0
        self._services, self._model, self._now = services, model, now

    @cached_property
    def _taste(self) -> Taste:
        with self._services.database.transaction(seconds=60, vectors=True) as connection:
            return read_taste(connection, self._model, self._services.settings)

    def update(self, users: list[str]) -> None:
        update_users(self._services, users, self._taste, now=self._now)
        self.updated += len(users)
