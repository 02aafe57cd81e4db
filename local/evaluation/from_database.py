"""Reads a site's own log, and what its `content` says of the items. It writes nothing."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.adapters.database import Connection, Database
from lib.adapters.training_data import read_content_sample, read_content_size
from lib.core.diversity import Topics
from lib.settings import Settings
from local.evaluation.data import Content, Floats, Indices, UnusableDataError

SECONDS = 600.0  # for a statement: a person waits, no function
_ROWS_AT_ONCE = 20_000

# The latest by receipt, as production learns from: received_at is what the log is pruned by.
_LATEST_ACTIONS = """
SELECT user_id, content_id, action, extract(epoch FROM occurred_at)::float8 FROM user_actions
ORDER BY received_at DESC, event_id LIMIT %(limit)s
"""
_TOPICS = "SELECT content_id, topics FROM content"


@dataclass(frozen=True)
class Log:
    """The actions (m,) in order of time; users and items are indices into the ids."""

    user_ids: list[str]
    item_ids: list[str]  # sorted
    topics: list[Topics]  # (n_items,)
    users: Indices
    items: Indices
    times: Floats
    weights: Floats
    may_be_shown: NDArray[np.bool_]  # (n_items,)
    content: Content | None


def read_log(settings: Settings) -> Log:
    """At most MODEL_MAX_ACTIONS of the latest actions; UnusableDataError where there is nothing to evaluate."""
    database = Database(settings.database_url, max_connections=1)
    try:
        with database.transaction(seconds=SECONDS, vectors=True) as connection:
            connection.execute("SET TRANSACTION READ ONLY")
            log = _read(connection, settings)
    finally:
        database.close()
    _refuse_what_says_nothing(log)
    return log


def _read(connection: Connection, settings: Settings) -> Log:
    user_of: dict[str, int] = {}
    item_of: dict[str, int] = {}
    weights = defaultdict(float, settings.action_weights)
    rows = _stream(connection, _LATEST_ACTIONS, {"limit": settings.model_max_actions})
    numbers = np.fromiter(
        (
            (user_of.setdefault(user, len(user_of)), item_of.setdefault(item, len(item_of)), at, weights[action])
            for user, item, action, at in rows
        ),
        dtype=[("user", np.intp), ("item", np.intp), ("at", float), ("weight", float)],
    )
    item_ids = sorted(item_of)
    position = np.empty(len(item_ids), np.intp)
    position[[item_of[item] for item in item_ids]] = np.arange(len(item_ids))
    numbers = numbers[np.argsort(numbers["at"], kind="stable")]
    topics_of = {content_id: frozenset(topics) for content_id, topics in _stream(connection, _TOPICS)}
    return Log(
        user_ids=list(user_of),
        item_ids=item_ids,
        topics=[topics_of.get(item_id, frozenset()) for item_id in item_ids],
        users=numbers["user"].copy(),
        items=position[numbers["item"]],
        times=numbers["at"].copy(),
        weights=numbers["weight"].copy(),
        # One that is no longer available was so when it was read, so it counts; an id without a row is never shown.
        may_be_shown=np.array([not topics_of or item_id in topics_of for item_id in item_ids], dtype=bool),
        content=_read_content(connection),
    )


def _read_content(connection: Connection) -> Content | None:
    """The vectors of the commonest size, as production takes them."""
    size = read_content_size(connection).size
    if not size:
        return None
    parts = read_content_sample(connection, size=size, one_in=1)
    return {content_id: vector for ids, vectors in parts for content_id, vector in zip(ids, vectors, strict=True)}


def _stream(
    connection: Connection, statement: str, parameters: Mapping[str, Any] | None = None
) -> Iterator[tuple[Any, ...]]:
    """Rows by the way of a cursor of the server's: a million of them at once would take half a gigabyte."""
    with connection.cursor(name="evaluation") as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        cursor.execute(statement.encode(), parameters)
        yield from cursor


def _refuse_what_says_nothing(log: Log) -> None:
    if not len(log.times):
        raise UnusableDataError("The log holds no actions yet: there is nothing to replay.")
    if len(log.user_ids) == 1:
        raise UnusableDataError("The log holds the actions of one user only: there is nobody to learn from.")
    if not (log.weights > 0).any():
        raise UnusableDataError(
            "No action of the log has a positive weight (ACTION_WEIGHTS): nothing says what is liked."
        )
    if not log.may_be_shown.any():
        raise UnusableDataError("The table content holds nothing of what users acted on: nothing could be recommended.")
