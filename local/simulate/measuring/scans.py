"""Queries that look at more, the larger the site is: seconds of each row that they look at, and how large rows are."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lib.adapters.database import Connection
from lib.adapters.services import Services
from lib.jobs.process_actions import process_user_actions
from lib.jobs.run import Deadline
from local.simulate.measuring.laboratory import Laboratory, element

# As the product's queries do: by user within a time, joined with embeddings, the latest of all, counted, by topic.
_SCANS = {
    "active_scan_seconds": "SELECT user_id, max(occurred_at) FROM user_actions"
    " WHERE received_at >= '2000-01-01' AND occurred_at >= '2000-01-01' GROUP BY user_id ORDER BY 2 DESC",
    "update_scan_seconds": "SELECT user_id FROM (SELECT user_id, max(received_at) AS received_at FROM user_actions"
    " WHERE received_at >= '2999-01-01' GROUP BY user_id) a FULL JOIN user_embeddings e USING (user_id)"
    " WHERE e.user_id IS NULL OR e.model_version < 0 OR e.updated_at < a.received_at",
    "training_scan_seconds": "SELECT user_id, content_id FROM user_actions ORDER BY received_at DESC LIMIT 1",
    "topic_scan_seconds": "SELECT count(*) FROM user_actions"
    " WHERE action = ANY('{view,click}') AND received_at >= '2000-01-01' AND occurred_at >= '2000-01-01'",
    "topic_count_seconds": "SELECT topic, count(*) FROM (SELECT t.topic, a.user_id FROM user_actions a"
    " JOIN content c USING (content_id) CROSS JOIN LATERAL unnest(c.topics) t(topic) GROUP BY 1, 2) u GROUP BY topic",
}


def measure_scans(lab: Laboratory) -> dict[str, float]:
    rows = {"user_actions": 0.0, "user_embeddings": 0.0}
    for table in rows:
        rows[table] = lab.number(f"SELECT count(*) FROM {table}")  # noqa: S608 - from here
    looked_at = {name: rows["user_embeddings" if name == "update_scan_seconds" else "user_actions"] for name in _SCANS}
    return {name: _seconds(lab, statement) / looked_at[name] for name, statement in _SCANS.items()}


def measure_sizes(lab: Laboratory) -> dict[str, float]:
    contents = lab.number("SELECT count(*) FROM recs_items")
    users = lab.number("SELECT count(*) FROM user_embeddings")
    lab.execute("VACUUM FULL user_embeddings")
    return {
        "element_bytes": len(element(1_000_000, 1_000)),
        "embedding_row_bytes": lab.number("SELECT pg_total_relation_size('user_embeddings')") / users,
        "content_row_bytes": lab.number(
            "SELECT pg_total_relation_size('recs_items') + pg_total_relation_size('recs_item_vectors')"
            " + pg_total_relation_size('recs_popularity')"
        )
        / contents,
        "log_indexes": lab.number(
            "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam"
            " WHERE i.indrelid = 'user_actions'::regclass AND m.amname = 'btree'"
        ),
    }


def measure_transaction(lab: Laboratory) -> float:
    """Seconds of an action within the transactions of a drain, of which only one holds the log's lock at a time."""
    services = Services(lab.stage.services.settings)
    spent = _time_transactions(services)
    claims = 2 if lab.quick else 8
    actions = claims * lab.claim
    users = lab.new_users(actions)
    lab.push([element(user, number % lab.sizes.contents) for number, user in enumerate(users)])
    process_user_actions(services, Deadline.after(60))
    services.close()
    return sum(spent) / actions


def _time_transactions(services: Services) -> list[float]:
    """Of each transaction from now on, in seconds."""
    database, spent = services.database, list[float]()
    transaction = database.transaction

    @contextmanager
    def timed(**options: Any) -> Iterator[Connection]:
        with transaction(**options) as connection:
            began = time.perf_counter()
            yield connection
            connection.commit()
            spent.append(time.perf_counter() - began)

    database.transaction = timed  # type: ignore[method-assign]
    return spent


def _seconds(lab: Laboratory, statement: str) -> float:
    """The best of three, for what others do on this machine is none of its doing."""
    took = []
    with lab.stage.services.database.transaction(seconds=60) as connection:
        for _ in range(3):
            began = time.perf_counter()
            connection.execute(statement.encode()).fetchall()
            took.append(time.perf_counter() - began)
    return min(took)
