"""What one of each thing takes: measured by `scripts/simulate --measure`, kept in unit_costs.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.simulate.usage import Usage
from local.simulate.words import SCALARS, UNITS, say

LEAST = 1e-8  # nothing is measured as finely as that
TABLE = Path(__file__).with_name("unit_costs.json")


@dataclass(frozen=True)
class UnitCosts:
    """`units` has what one of each of words.UNITS takes, `scalars` the other figures; `made` says when and on what."""

    units: Mapping[str, Usage]
    scalars: Mapping[str, float]
    made: Mapping[str, Any]

    def __getitem__(self, name: str) -> Usage:
        return self.units[name]

    def how(self, name: str, language: str = "en") -> str:
        """How one of them was measured."""
        return say((UNITS | SCALARS)[name], language).format(**self.made["site"])


def load(file: Path = TABLE) -> UnitCosts:
    data = json.loads(file.read_text())
    return UnitCosts({name: Usage.from_dict(row) for name, row in data["units"].items()}, data["scalars"], data["made"])


def save(costs: UnitCosts, file: Path = TABLE) -> None:
    """Without what is nothing but noise, and with no more digits than mean something."""
    units = {
        name: {field: float(f"{value:.4g}") for field, value in usage.as_dict().items() if value > LEAST}
        for name, usage in costs.units.items()
    }
    scalars = {name: float(f"{value:.4g}") for name, value in costs.scalars.items()}
    file.write_text(json.dumps({"made": costs.made, "scalars": scalars, "units": units}, indent=1) + "\n")
