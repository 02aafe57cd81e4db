"""A site whose users have histories and have all acted since the last run of embeddings: the work of a two-hourly run,
as often as it is asked for."""

from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg

from lib.adapters.embedding_store import activate_model, add_model, write_learned, write_state
from lib.adapters.services import Services
from lib.adapters.user_embeddings import write_user_embeddings
from lib.core.defaults import EMBEDDING_SIZE
from lib.core.embeddings import unit_rows
from lib.core.half_lives import DEFAULT_POSITION
from lib.jobs.update_embeddings import READ_UNTIL

LONGEST = 200  # actions of a user
DAYS = 60  # of log
SINCE_LAST_RUN = timedelta(hours=2)
USERS_AT_ONCE = 10_000
FILLING_SECONDS = 3_600.0

# As a log grows: everybody's actions between the others', in the order of time. Each user's latest one is of the last
# hour. Lengths of histories have an exponential distribution, as most sites' have, and some contents are read more.
_ADD_ACTIONS = """
INSERT INTO user_actions
SELECT 'event-' || row_number() OVER (), 'user-' || reader, 'content-' || floor(%(contents)s * power(random(), 2))::int,
       (ARRAY['view', 'view', 'view', 'view', 'view', 'click', 'like', 'share', 'dwell', 'hide'])[ceil(10 * random())],
       NULL, %(now)s - age, %(now)s - age
FROM (SELECT reader, random() * CASE WHEN number = 1 THEN %(last)s ELSE interval '1 day' * %(days)s END AS age
      FROM (SELECT reader, least(1 - (%(mean)s - 1) * ln(1 - random()), %(longest)s)::int AS actions
            FROM generate_series(1, %(users)s) reader OFFSET 0) readers, generate_series(1, actions) number
      ORDER BY age DESC) acted
"""


def fill_readers(services: Services, *, users: int, contents: int, actions_each: int, seed: int = 5) -> None:
    """Fills an empty database, the same for a seed, with a model in force that stays so. Everybody has an
    embedding that is up to date."""
    now, rng = datetime.now(UTC), np.random.default_rng(seed)
    log = {"users": users, "contents": contents, "mean": actions_each, "now": now}
    log |= {"longest": LONGEST, "days": DAYS, "last": SINCE_LAST_RUN / 2}
    with services.database.transaction(seconds=FILLING_SECONDS, vectors=True) as connection:
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        connection.execute("SELECT setseed(0.5), set_config('work_mem', '256MB', true)")
        connection.execute(_ADD_ACTIONS, log)
        version = add_model(
            connection,
            content_ids=[f"content-{number}" for number in range(contents)],
            vectors=unit_rows(rng.standard_normal((contents, EMBEDDING_SIZE), dtype=np.float32)),
            built_at=now,
            actions=services.settings.model_max_actions,  # no log can outgrow that
            skipped=0,
            interest_half_life_days=30.0,
            learned_map=np.eye(EMBEDDING_SIZE) + 0.1 * rng.standard_normal((EMBEDDING_SIZE, EMBEDDING_SIZE)),
            text_projection=None,
        )
        write_learned(connection, version, position=DEFAULT_POSITION, learned="{}")
        activate_model(connection, version)
        for start in range(0, users, USERS_AT_ONCE):
            user_ids = [f"user-{number + 1}" for number in range(start, min(start + USERS_AT_ONCE, users))]
            drawn = unit_rows(rng.standard_normal((len(user_ids), EMBEDDING_SIZE), dtype=np.float32))
            write_user_embeddings(connection, user_ids=user_ids, embeddings=drawn, version=version, now=now)
        write_state(connection, READ_UNTIL, now.isoformat())


def let_time_pass(services: Services) -> None:
    """As if the last run had been two hours ago, and Postgres had cleared up since."""
    before = datetime.now(UTC) - SINCE_LAST_RUN
    with services.database.transaction(seconds=FILLING_SECONDS) as connection:
        connection.execute("UPDATE user_embeddings SET updated_at = %s", [before])
        write_state(connection, READ_UNTIL, before.isoformat())
    with psycopg.connect(services.settings.database_url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) user_actions, user_embeddings, recs_item_vectors")
        connection.execute("CHECKPOINT")
