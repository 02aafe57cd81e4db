"""What is in force of what can be tuned: as the settings say, else as was learned, else the default."""

from lib.adapters.embedding_store import Model
from lib.core.defaults import INTEREST_HALF_LIFE_DAYS
from lib.core.half_lives import DEFAULT_POSITION
from lib.settings import Settings


def popularity_position(settings: Settings, model: Model | None) -> float:
    """How fast popularity decays (lib/core/half_lives.py)."""
    if settings.popularity_position is not None:
        return settings.popularity_position
    return DEFAULT_POSITION if model is None else model.position


def interest_half_life_days(settings: Settings, model: Model | None) -> float:
    if settings.interest_half_life_days is not None:
        return settings.interest_half_life_days
    return INTEREST_HALF_LIFE_DAYS if model is None else model.interest_half_life_days
