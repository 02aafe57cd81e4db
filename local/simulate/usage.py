"""What something takes of the services: a vector that can be added and multiplied."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """`redis_bytes` cross the network in either direction, `postgres_egress` leaves Postgres; `postgres_seconds` are
    of CPU; `redis_commands` are those that are billed: a script is one, a pipeline as many as it holds."""

    messages: float = 0.0
    invocations: float = 0.0
    function_seconds: float = 0.0
    cpu_seconds: float = 0.0
    redis_commands: float = 0.0
    redis_bytes: float = 0.0
    statements: float = 0.0
    round_trips: float = 0.0
    postgres_egress: float = 0.0
    postgres_seconds: float = 0.0
    rows_written: float = 0.0
    index_writes: float = 0.0
    wal_bytes: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(a + b for a, b in zip(self.values(), other.values(), strict=True)))

    def __sub__(self, other: Usage) -> Usage:
        return self + -1.0 * other

    def __rmul__(self, times: float) -> Usage:
        return Usage(*(times * value for value in self.values()))

    def values(self) -> tuple[float, ...]:
        return dataclasses.astuple(self)

    def as_dict(self) -> dict[str, float]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> Usage:
        return cls(**values)


FIELDS = tuple(field.name for field in dataclasses.fields(Usage))


def total(usages: Iterable[Usage]) -> Usage:
    return sum(usages, Usage())
