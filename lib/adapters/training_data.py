"""What is learned from: the log, and the app's content vectors. Fetched a few at a time into arrays, because a million
rows of Python objects would take a gigabyte.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lib.adapters.database import QUERIES, Connection

Vectors = NDArray[np.float32]

_ACTIONS_AT_ONCE = 20_000  # some 10 MB
_CELLS_AT_ONCE = 2_000_000  # of vectors: 8 MB


@dataclass(frozen=True)
class TrainingActions:
    """Actions (m,) in no particular order. Users, contents and kinds are numbers, by the order of their names:
    `content_ids[contents[k]]` is what the k-th is about. Times in unix seconds."""

    users: NDArray[np.int32]
    n_users: int
    contents: NDArray[np.int32]
    content_ids: list[str]
    kinds: NDArray[np.int32]
    kind_names: list[str]
    times: NDArray[np.float64]


@dataclass(frozen=True)
class ContentSize:
    """The commonest size of the app's vectors (0: there are none), how many have it, and how many another one."""

    size: int
    count: int
    others: int


class _Names:
    """A column of names as numbers."""

    def __init__(self) -> None:
        self._number_of: dict[str, int] = {}
        self._parts = [np.empty(0, np.int32)]

    def add(self, names: Sequence[str]) -> None:
        number_of = self._number_of
        self._parts.append(np.array([number_of.setdefault(name, len(number_of)) for name in names], np.int32))

    def in_order(self) -> tuple[list[str], NDArray[np.int32]]:
        """The names in their order, and where in it each entry of the column stands."""
        names = sorted(self._number_of)
        place = np.empty(len(names), np.int32)
        place[[self._number_of[name] for name in names]] = np.arange(len(names))
        return names, place[np.concatenate(self._parts)]


def read_training_actions(connection: Connection, *, limit: int) -> TrainingActions:
    """The latest actions."""
    users, contents, kinds = _Names(), _Names(), _Names()
    times = [np.empty(0)]
    with connection.cursor("training_actions", binary=True) as cursor:
        cursor.execute(QUERIES["training_actions"], {"limit": limit})
        while rows := cursor.fetchmany(_ACTIONS_AT_ONCE):
            user_ids, content_ids, actions, seconds = zip(*rows, strict=True)
            users.add(user_ids)
            contents.add(content_ids)
            kinds.add(actions)
            times.append(np.array(seconds))
    user_names, user_numbers = users.in_order()
    content_names, content_numbers = contents.in_order()
    kind_names, kind_numbers = kinds.in_order()
    return TrainingActions(
        users=user_numbers,
        n_users=len(user_names),
        contents=content_numbers,
        content_ids=content_names,
        kinds=kind_numbers,
        kind_names=kind_names,
        times=np.concatenate(times),
    )


def read_content_size(connection: Connection) -> ContentSize:
    sizes = connection.execute(QUERIES["content_sizes"]).fetchall()
    if not sizes:
        return ContentSize(0, 0, 0)
    (size, count), *others = sizes
    return ContentSize(size, count, sum(other for _, other in others))


def read_newest_contents(connection: Connection, *, size: int, limit: int) -> list[str]:
    """The ids of those that have a vector of that size, the newest first."""
    parameters = {"size": size, "limit": limit}
    return [content_id for (content_id,) in connection.execute(QUERIES["newest_contents"], parameters)]


def read_content_vectors(
    connection: Connection, *, size: int, content_ids: Sequence[str]
) -> Iterator[tuple[list[str], Vectors]]:
    """Content ids and vectors (k, size) of those of `content_ids` that have one of that size, some at a time."""
    return _stream(connection, QUERIES["content_vectors_of"], {"content_ids": list(content_ids)}, size)


def read_content_sample(connection: Connection, *, size: int, one_in: int) -> Iterator[tuple[list[str], Vectors]]:
    """The same of about one in so many contents, in the order of ids; which ones depends on nothing but their ids."""
    return _stream(connection, QUERIES["content_sample"], {"one_in": one_in}, size)


def _stream(
    connection: Connection, query: bytes, parameters: dict[str, object], size: int
) -> Iterator[tuple[list[str], Vectors]]:
    with connection.cursor("content_vectors", binary=True) as cursor:
        cursor.execute(query, {"size": size, **parameters})
        while rows := cursor.fetchmany(1 + _CELLS_AT_ONCE // max(size, 1)):
            yield [content_id for content_id, _ in rows], np.stack([vector.to_numpy() for _, vector in rows])
