"""What a site's log taught."""

from dataclasses import dataclass

from lib.core.ranker.softmax_ranker import Model

# The features that a ranker weighs by what kind of reader the user is.
INTERACTING = ("pop0.5d", "pop1.5d", "pop12d", "popinfd", "age", "lift3d", "knn", "weight")


@dataclass(frozen=True)
class Trained:
    """How popularity decays on a site, and the ranker where it is better than popularity."""

    position: float  # on the axis of half-lives, see half_life.py
    model: Model | None
    gain: float  # NDCG@20 of a ranker minus that of popularity on the latest slice; NaN where not known
    slices: int
    users: int  # that were replayed
    window_seconds: float
