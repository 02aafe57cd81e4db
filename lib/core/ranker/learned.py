"""What one run of learning keeps of a site beside its items, as JSON."""

import json
from dataclasses import dataclass

from lib.core.half_lives import DEFAULT_POSITION
from lib.core.ranker.stored import trained_as_json, trained_from_json
from lib.core.ranker.trained import Trained


@dataclass(frozen=True)
class Learned:
    """`n_readers`: users who have read anything; `mean_weight` of all actions."""

    trained: Trained
    n_readers: int
    mean_weight: float


UNTRAINED = Trained(position=DEFAULT_POSITION, model=None, gain=float("nan"), slices=0, users=0, window_seconds=0.0)
NOTHING = Learned(UNTRAINED, 0, 0.0)


def learned_as_text(learned: Learned) -> str:
    document = {"n_readers": learned.n_readers, "mean_weight": learned.mean_weight}
    return json.dumps(document | {"trained": trained_as_json(learned.trained)})


def learned_from_text(text: str | None) -> Learned:
    """NOTHING where there is none; its ranker is left out where it is of another release."""
    if text is None:
        return NOTHING
    document = json.loads(text)
    trained = trained_from_json(document["trained"]) or UNTRAINED
    return Learned(trained, document["n_readers"], document["mean_weight"])
