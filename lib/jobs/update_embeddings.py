"""process_user_embeddings: learns what users are interested in. Every two hours, in parts of less than a minute.

1. Where the item vectors are missing or old, learn a new version beside the current one and switch over, a stage after
   the other (lib/jobs/build_model.py).
2. Find the users whose embedding may lack an action, or is of another version.
3. Bring some at a time up to date (lib/jobs/embed_users.py).
4. Where all are done, remember when this part began.

A part takes the next piece of work as long as there is time for it, the first in any case, and hands what is left to
the next part (lib/jobs/publish_part.py). Nothing but what is stored says what is left: parts may be killed, repeated,
or run at the same time.
"""

from datetime import datetime

from lib.adapters.action_log import RECEIPT_OVERLAP
from lib.adapters.embedding_store import Model, read_active_model, read_state, read_users_to_update, write_state
from lib.adapters.services import Services
from lib.core.schedules import Part
from lib.jobs.build_model import next_stage
from lib.jobs.embed_users import CHUNK, read_taste, update_users
from lib.jobs.publish_part import publish_next_part
from lib.jobs.run import Deadline, Summary

READ_UNTIL = "embeddings_read_until"
STAGE_SECONDS = 40.0  # for a further stage of learning: on the largest sites one takes that long, on others less
CHUNK_SECONDS = 10.0


def process_user_embeddings(
    services: Services, now: datetime, deadline: Deadline, *, part: Part | None = None
) -> Summary:
    """Answers users_updated, users_left (None while there is still something to learn first), whether the rest goes on
    in another part at once, and the model in force."""
    part = part or Part(int(now.timestamp()))
    # What is begun may take longer, as on a busy machine: it would have to be done again.
    deadline = min(deadline, Deadline.after(services.settings.embeddings_time_budget_seconds))
    begun = False
    while (stage := next_stage(services, now)) is not None and (not begun or deadline.seconds_left > STAGE_SECONDS):
        stage(deadline)
        begun = True
    with services.database.transaction() as connection:
        model = read_active_model(connection)
    updated, left = 0, None
    if stage is None and model is not None:
        updated, left = _update_users(services, model, now, deadline, begun=begun)
    return {
        "users_updated": updated,
        "users_left": left,
        "continued": left != 0 and publish_next_part(services, part),
        "model_version": model.version if model else None,
        "items": model.items if model else 0,
    }


def _update_users(
    services: Services, model: Model, now: datetime, deadline: Deadline, *, begun: bool
) -> tuple[int, int]:
    """How many users were updated and how many are left. The first chunk is always done, unless work has `begun`."""
    with services.database.transaction(seconds=60, vectors=True) as connection:
        since = datetime.fromisoformat(read_state(connection, READ_UNTIL) or "1970-01-01T00:00:00+00:00")
        users = read_users_to_update(connection, since=since, overlap=RECEIPT_OVERLAP, version=model.version)
        taste = read_taste(connection, model, services.settings)
    updated = 0
    while updated < len(users) and (deadline.seconds_left > CHUNK_SECONDS or not (begun or updated)):
        chunk = users[updated : updated + CHUNK]
        update_users(services, chunk, taste, now=now)
        updated += len(chunk)
    if updated == len(users):
        with services.database.transaction() as connection:
            write_state(connection, READ_UNTIL, (now - RECEIPT_OVERLAP).isoformat())
    return updated, len(users) - updated
