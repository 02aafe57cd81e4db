"""What one of each thing takes: measured by `scripts/simulate --measure`, kept in unit_costs.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.simulate.usage import Usage

TABLE = Path(__file__).with_name("unit_costs.json")

UNITS = {
    "tick": "a tick on an empty list; the mean of many",
    "publish": "what publishing the other ticks of its minute adds to a tick",
    "busy_tick": "what a tick that finds actions adds, whatever their number (solved from drains of six shapes)",
    "batch": "a claimed batch, whatever is in it (the same drains)",
    "invalidation": "one command that deletes the lists of some users (the same drains)",
    "action": "an action in a batch: parsed, written, committed (the same drains)",
    "batch_user": "a different user in a batch: his list deleted (the same drains)",
    "batch_content": "a content in a batch that got a reader: its popularity (the same drains)",
    "push": "one command by which the app pushes one action (of several sizes)",
    "pushed_action": "a further action in the same command",
    "embedding_run": "one part of a two-hourly run that finds nobody to update",
    "embedded_user": "a user whose embedding is brought up to date, with {history} actions",
    "learning": "a new model, whatever it learns from (from two sizes of the log)",
    "learned_action": "an action that it learns from",
    "learned_content": "what is written of each content",
    "warm_run": "an hourly run that finds no active user, on {contents} contents",
    "warm_chunk": "one round of users of that run (solved from runs of three sizes)",
    "warmed_user": "a user's list computed and stored by it, with {history} actions",
    "refresh": "a six-hourly run on {contents} contents and {actions} actions",
    "pruned_action": "an action that is older than the retention",
    "cached_read": "a read that finds a list",
    "computed_read": "a read that computes it",
    "unknown_read": "a read for a user of whom nothing is known",
}
SCALARS = {
    "element_bytes": "an action as the app pushes it",
    "list_bytes": "a cached list",
    "log_row_bytes": "a row of the log with its indexes, as the table grew by the drains",
    "embedding_row_bytes": "a row of user_embeddings with its indexes",
    "content_row_bytes": "what the model and popularity keep of a content, in one version",
    "log_indexes": "B-tree indexes of the log: as many pages anywhere in them take a new action",
    "transaction_seconds": "an action in the transaction that holds the log's lock (a drain in one process)",
    "active_scan_seconds": "an action within ACTIVE_USER_DAYS, in the query for active users",
    "update_scan_seconds": "a stored user, in the query for embeddings to update",
    "training_scan_seconds": "an action of the whole log, in the query for the latest ones to learn from",
    "topic_scan_seconds": "an action within the baseline of trending topics, where it is only looked at",
    "topic_count_seconds": "an action within the baseline of trending topics that is counted (at most so many are)",
}


@dataclass(frozen=True)
class UnitCosts:
    """`units` has what one of each of UNITS takes, `scalars` the other figures; `made` says when, where and on what."""

    units: Mapping[str, Usage]
    scalars: Mapping[str, float]
    made: Mapping[str, Any]

    def __getitem__(self, name: str) -> Usage:
        return self.units[name]

    def how(self) -> dict[str, str]:
        """How each was measured."""
        return {name: text.format(**self.made["site"]) for name, text in (UNITS | SCALARS).items()}


def load(file: Path = TABLE) -> UnitCosts:
    data = json.loads(file.read_text())
    return UnitCosts({name: Usage.from_dict(row) for name, row in data["units"].items()}, data["scalars"], data["made"])


def save(costs: UnitCosts, file: Path = TABLE) -> None:
    """Without zeros, and with no more digits than mean something."""
    units = {
        name: {field: float(f"{value:.4g}") for field, value in usage.as_dict().items() if value}
        for name, usage in costs.units.items()
    }
    scalars = {name: float(f"{value:.4g}") for name, value in costs.scalars.items()}
    file.write_text(json.dumps({"made": costs.made, "scalars": scalars, "units": units}, indent=1) + "\n")
