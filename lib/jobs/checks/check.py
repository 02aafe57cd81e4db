"""What a check found, as pages, programs and a terminal are told it."""

from dataclasses import dataclass
from typing import Literal

from lib.text import Text

# What a person calls the checks that aren't named after a variable.
TITLES = {
    "qstash": Text("QStash"),
    "clock": Text("Clock"),
    "app url": Text("App address"),
    "signing keys": Text("Signing keys"),
    "delivery": Text("Test message"),
    "existing schedules": Text("Existing schedules"),
    "schedules": Text("Schedules"),
    "leftover schedules": Text("Leftover schedules"),
    "redis": Text("Redis"),
    "eviction": Text("Eviction"),
    "pending actions": Text("Pending actions"),
    "postgres": Text("Postgres"),
    "pgvector": Text("pgvector"),
    "rights": Text("Rights in the database"),
    "schema": Text("Tables"),
    "cost": Text("Cost"),
    "preview": Text("Preview deployment"),
}
NO_FIX = Text("")


@dataclass(frozen=True)
class Check:
    """One thing that was tried. `message` says what was found in one sentence, `fix` how to mend it.

    The first line of `fix` is a sentence; what follows is to be copied as it stands.
    """

    name: str
    status: Literal["ok", "warning", "error"]
    message: Text
    fix: Text = NO_FIX

    @property
    def title(self) -> Text:
        return TITLES.get(self.name, Text.of(self.name))
