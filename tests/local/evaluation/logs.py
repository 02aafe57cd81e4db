"""Logs of sites that were never there."""

import random
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lib.core.diversity import Topics
from local.evaluation.data import Content
from local.evaluation.from_database import Log
from tests.local.evaluation.plainly import Act

DAY = 86_400.0
START = 1_700_000_000.0


def random_log(*, users: int = 40, items: int = 90, actions: int = 1_500, seed: int = 1) -> list[Act]:
    """Skewed, with repeats, dislikes, and many actions at the same moment."""
    dice = random.Random(seed)  # noqa: S311 - no secrets
    return [
        Act(
            f"user {int(dice.random() ** 2 * users)}",
            f"item {int(dice.random() ** 3 * items * (0.5 + n / actions / 2))}",
            START + (n // 4) * DAY / 10,
            dice.choice([1.0, 1.0, 0.3, 0.0, -1.0]),
        )
        for n in range(actions)
    ]


def as_log(
    acts: Iterable[Act],
    *,
    hidden: Sequence[str] = (),
    content: Content | None = None,
    topics: Mapping[str, Topics] | None = None,
) -> Log:
    acts = sorted(acts, key=lambda act: act.at)
    user_ids = list(dict.fromkeys(act.user for act in acts))
    item_ids = sorted({act.item for act in acts})
    return Log(
        user_ids=user_ids,
        item_ids=item_ids,
        topics=[(topics or {}).get(item, frozenset()) for item in item_ids],
        users=np.array([user_ids.index(act.user) for act in acts]),
        items=np.array([item_ids.index(act.item) for act in acts]),
        times=np.array([act.at for act in acts]),
        weights=np.array([act.weight for act in acts]),
        may_be_shown=np.array([item not in hidden for item in item_ids]),
        content=content,
    )


def site_of_tastes(*, users: int = 80, kinds: int = 5, of_a_kind: int = 40, reads: int = 14) -> list[Act]:
    """Everybody reads of his own kind alone, anything of it, at any time."""
    dice = random.Random(2)  # noqa: S311 - no secrets
    return [
        Act(f"user {user}", f"kind {user % kinds} item {item}", START + dice.random() * 60 * DAY, 0.6)
        for user in range(users)
        for item in dice.sample(range(of_a_kind), reads)
    ]


def site_of_hits(*, users: int = 400, items: int = 120, reads: int = 14) -> list[Act]:
    """Everybody reads what is popular, whoever he is, and what is popular never changes."""
    dice = random.Random(3)  # noqa: S311 - no secrets
    weights = [1.0 / (rank + 2) for rank in range(items)]
    return [
        Act(f"user {user}", f"item {item}", START + dice.random() * 60 * DAY, 0.6)
        for user in range(users)
        for item in dice.choices(range(items), weights, k=reads)
    ]
