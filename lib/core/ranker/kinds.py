"""What a ranker goes by, in a few words. Without numpy: the status is read without it."""

from collections.abc import Sequence

# The first kind whose beginning a feature's name has.
KINDS = {
    "popularity": ("pop", "trend", "weight", "unique_share"),
    "freshness": ("age", "idle"),
    "readers_alike": ("lift",),
    "similar_reads": ("knn", "follows", "cosine0"),
    "similar_text": ("cosine",),
}


def shares_of_kinds(names: Sequence[str], weights: Sequence[float]) -> dict[str, float]:
    """How much of the weights' size each kind of feature has, the most first; they sum up to 1.

    Weights are of standardised columns, so sizes compare. Columns that say nearly the same share their kind.
    """
    sizes = dict.fromkeys(KINDS, 0.0)
    for name, weight in zip(names, weights, strict=True):
        kind = kind_of(name)
        sizes[kind] = sizes.get(kind, 0.0) + abs(weight)
    total = sum(sizes.values()) or 1.0
    return {kind: round(size / total, 3) for kind, size in sorted(sizes.items(), key=lambda pair: -pair[1])}


def kind_of(name: str) -> str:
    """`other` for a feature of another release."""
    return next((kind for kind, beginnings in KINDS.items() if name.startswith(beginnings)), "other")
