"""What one run of learning keeps of a site beside its items, as JSON."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lib.core.half_lives import DEFAULT_POSITION
from lib.core.ranker.stored import trained_as_json, trained_from_json
from lib.core.ranker.trained import Trained
from lib.core.taste.new_items import NewItemTaste


@dataclass(frozen=True)
class Learned:
    """`n_readers`: users who have read anything; `mean_weight` of all actions; `new_items`: None where content has no
    vectors."""

    trained: Trained
    n_readers: int
    mean_weight: float
    new_items: NewItemTaste | None


UNTRAINED = Trained(position=DEFAULT_POSITION, model=None, gain=float("nan"), slices=0, users=0, window_seconds=0.0)
NOTHING = Learned(UNTRAINED, 0, 0.0, None)


def learned_as_text(learned: Learned) -> str:
    document = {"n_readers": learned.n_readers, "mean_weight": learned.mean_weight}
    new_items = None if learned.new_items is None else _taste_as_json(learned.new_items)
    return json.dumps(document | {"trained": trained_as_json(learned.trained), "new_items": new_items})


def learned_from_text(text: str | None) -> Learned:
    """NOTHING where there is none. The ranker is left out where it knows other features."""
    if text is None:
        return NOTHING
    document = json.loads(text)
    trained = trained_from_json(document["trained"]) or UNTRAINED
    new_items = None if document["new_items"] is None else _taste_from_json(document["new_items"])
    return Learned(trained, document["n_readers"], document["mean_weight"], new_items)


def _taste_as_json(taste: NewItemTaste) -> dict[str, Any]:
    return asdict(taste) | {"centre": taste.centre.tolist(), "everybody": taste.everybody.tolist()}


def _taste_from_json(document: dict[str, Any]) -> NewItemTaste:
    arrays = {name: np.array(document[name], np.float64) for name in ("centre", "everybody")}
    return NewItemTaste(**(document | arrays))
