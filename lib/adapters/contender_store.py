"""The contenders (lib/core/contenders.py) as they are stored, and the choices that they come from.

A choice takes a while, and drains go on meanwhile. So it begins with a new generation, under which drains add
everything that they touch; what they wrote before, the choice sees. It then adds its own contenders under the same
generation, and its bounds, and from then on drains add only what reaches those.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lib.adapters.action_log import lock_log
from lib.adapters.database import QUERIES, Connection
from lib.adapters.embedding_store import read_state, write_state
from lib.core.contenders import Bounds, Choice, Met
from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.pools import pools_of

BEGUN = "contenders_begun"  # the generation of the latest choice; its bounds are known when it has ended
CHOSEN = "contenders"  # the latest choice that has ended
CHUNK = 20_000  # rows: a million of them as Python's objects would take half a gigabyte
NOTHING = [0.0] * len(HALF_LIVES_HOURS)


@dataclass(frozen=True)
class Chosen:
    """A choice as it is remembered: how many contenders there were, the model that it was made by, and the bounds of
    each pool."""

    generation: int
    size: int
    version: int | None
    bounds: Mapping[str, Bounds]


def read_chosen(connection: Connection) -> Chosen | None:
    text = read_state(connection, CHOSEN)
    return None if text is None else Chosen(**json.loads(text))


def read_begun(connection: Connection) -> int | None:
    """The generation that what is touched belongs to. None where there never was a choice: nobody asks for contenders
    then. Nobody begins another one while the log is locked or shared."""
    text = read_state(connection, BEGUN)
    return None if text is None else int(text)


def read_latest(connection: Connection) -> Callable[[], tuple[int | None, Chosen | None]]:
    """Both at once. Within a pipeline they can be told once that has ended."""
    begun, chosen = (connection.execute(QUERIES["state"], {"name": name}) for name in (BEGUN, CHOSEN))

    def latest() -> tuple[int | None, Chosen | None]:
        generation, choice = begun.fetchone(), chosen.fetchone()
        return (
            None if generation is None else int(generation[0]),
            None if choice is None else Chosen(**json.loads(choice[0])),
        )

    return latest


def begin_choice(connection: Connection) -> int:
    """The generation of a new choice. It may look at popularity once this transaction is committed."""
    lock_log(connection)
    generation = 1 + (read_begun(connection) or 0)
    write_state(connection, BEGUN, str(generation))
    return generation


def end_choice(connection: Connection, choice: Choice, *, generation: int, version: int | None) -> None:
    """Stores it, unless another one has begun since."""
    lock_log(connection)
    if read_begun(connection) != generation:
        return
    content_ids, languages = [content_id for content_id, _ in choice.languages], [row[1] for row in choice.languages]
    connection.execute(QUERIES["put_languages"], {"content_ids": content_ids, "languages": languages})
    add_contenders(connection, generation, choice.contenders)
    connection.execute(QUERIES["delete_contenders"], {"generation": generation})
    write_state(
        connection, CHOSEN, json.dumps(asdict(Chosen(generation, len(choice.contenders), version, choice.bounds)))
    )


def add_contenders(connection: Connection, generation: int, contenders: Sequence[tuple[str, str]]) -> None:
    """(pool, content_id); what is there stays."""
    pools, content_ids = [pool for pool, _ in contenders], [content_id for _, content_id in contenders]
    parameters = {"generation": generation, "pools": pools, "content_ids": content_ids}
    connection.execute(QUERIES["put_contenders"], parameters)


def count_contenders(connection: Connection) -> int:
    row = connection.execute(QUERIES["count_contenders"]).fetchone()
    return int(row[0]) if row else 0


def read_met(connection: Connection, version: int | None, *, language: str | None) -> Iterator[Met]:
    """Everything that may be shown and somebody has met, some at a time."""
    with connection.cursor("met", binary=True) as cursor:
        cursor.execute(QUERIES["met"], {"version": version, "language": language})
        while rows := cursor.fetchmany(CHUNK):
            yield _met(rows)


def read_contenders(connection: Connection, version: int | None, *, language: str | None) -> Met:
    """The same, of the contenders, in the order of ids."""
    parameters = {"version": version, "language": language, "pools": pools_of(language)}
    return _met(connection.cursor(binary=True).execute(QUERIES["contenders"], parameters).fetchall())


def _met(rows: Sequence[tuple[Any, ...]]) -> Met:
    numbers = np.array([_numbers(*row[2:]) for row in rows]).reshape(len(rows), 3 + len(HALF_LIVES_HOURS))
    is_noted, as_of, first_seen, *sums = numbers.T
    languages = [row[1] for row in rows]
    return Met([row[0] for row in rows], languages, is_noted > 0, as_of, np.stack(sums, axis=1), first_seen)


def _numbers(is_noted: bool, as_of: float | None, sums: list[float] | None, first_seen: float | None) -> list[float]:
    return [
        is_noted,
        -np.inf if as_of is None else as_of,
        -np.inf if first_seen is None else first_seen,
        *(NOTHING if sums is None else sums),
    ]
