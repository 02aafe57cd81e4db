"""Synthetic logs, and what the tests of the ranker compare and cut."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lib.core.ranker.log import DAY, HOUR, Indices, Log, make_log
from lib.core.ranker.neighbours import Rows
from lib.core.ranker.site import Items, Site, UserReads
from lib.core.ranker.vectors import co_read_vectors

NOW = 1_700_000_000.0
WINDOW = 8 * DAY
Action = tuple[int, int, float, float]  # user, item, time, weight; positive where the weight is

VECTORS = [co_read_vectors]


def log_of(actions: Sequence[Action], *, n_users: int, n_items: int) -> Log:
    users, items = (np.array([action[k] for action in actions], np.intp) for k in range(2))
    times, weights = (np.array([action[k] for action in actions], np.float64) for k in (2, 3))
    return make_log(users, items, times, weights, weights > 0, n_users, n_items)


def random_log(seed: int, *, n_users: int = 20, n_items: int = 30, n_actions: int = 300, days: float = 40.0) -> Log:
    """Users of two kinds who prefer one half of the items, with a few negative and repeated actions."""
    random = np.random.default_rng(seed)
    users = random.integers(0, n_users, n_actions)
    liked = (random.integers(0, n_items, n_actions) // 2) * 2 + users % 2
    items = np.where(random.random(n_actions) < 0.7, liked, random.integers(0, n_items, n_actions)) % n_items
    times = NOW - random.random(n_actions) * days * DAY
    weights = random.choice([1.0, 2.0, -1.0], n_actions, p=[0.6, 0.25, 0.15])
    return make_log(users, items, times, weights, weights > 0, n_users, n_items)


def drawn_log(
    seed: int,
    appeal: NDArray[np.float64],
    begins: NDArray[np.float64],
    half_life_days: float,
    *,
    days: int,
    per_day: int,
) -> Log:
    """Reads of items that lose their appeal (n_items,) from when they begin (days after the log does)."""
    random = np.random.default_rng(seed)
    n_users, n_items = per_day * 2, len(appeal)
    times = np.sort(random.random(days * per_day) * days)
    ages = times[:, None] - begins
    chances = np.where(ages >= 0, appeal * np.exp2(-np.maximum(ages, 0.0) / half_life_days), 0.0)
    sums = np.cumsum(chances, axis=1)
    items = (random.random(len(times))[:, None] * sums[:, -1:] >= sums).sum(axis=1)
    users = random.integers(0, n_users, len(times))
    ones = np.ones(len(times))
    return make_log(users, items, NOW - (days - times) * DAY, ones, ones > 0, n_users, n_items)


def news_log(seed: int) -> Log:
    """New items all the time, which are forgotten within hours."""
    random = np.random.default_rng(seed)
    begins = np.arange(0, 30, 0.02)
    return drawn_log(seed, random.exponential(size=len(begins)), begins, 4 * HOUR / DAY, days=30, per_day=150)


def films_log(seed: int) -> Log:
    """The same items all along, a few of them loved by everybody."""
    appeal = np.random.default_rng(seed).pareto(1.2, 400)
    return drawn_log(seed, appeal, np.zeros(400), 10_000.0, days=60, per_day=60)


def drawn_by_popularity(seed: int) -> Log:
    """A small log of users who all read by the same popularity, which never changes."""
    appeal = np.random.default_rng(seed).pareto(1.2, 150)
    return drawn_log(seed, appeal, np.zeros(150), 10_000.0, days=60, per_day=40)


def part_of(site: Site, kept: Indices) -> Site:
    """The site as production builds it of some items (ascending): nothing else is known, their order is the same."""
    number = np.full(len(site.items), -1)
    number[kept] = np.arange(len(kept))
    return dataclasses.replace(
        site,
        items=_items_of(site.items, kept),
        rows=_rows_of(site.rows, kept, number),
        reads=UserReads(site.reads.users, number[site.reads.items], site.reads.times, site.reads.ends),
        seen_starts=np.searchsorted(np.flatnonzero(number[site.seen_items] >= 0), site.seen_starts),
        seen_items=number[site.seen_items][number[site.seen_items] >= 0],
        pool=site.pool[kept],
    )


def _items_of(items: Items, kept: Indices) -> Items:
    arrays = {field.name: getattr(items, field.name) for field in dataclasses.fields(items) if field.name != "vectors"}
    return Items(**{name: array[kept] for name, array in arrays.items()}, vectors=tuple(v[kept] for v in items.vectors))


def _rows_of(rows: Rows, kept: Indices, number: Indices) -> Rows:
    owner = np.repeat(np.arange(len(rows.starts) - 1), np.diff(rows.starts))
    stays = (number[owner] >= 0) & (number[rows.items] >= 0)
    counts = np.bincount(number[owner[stays]], minlength=len(kept))
    items = number[rows.items[stays]].astype(np.int32)
    return Rows(np.concatenate([[0], np.cumsum(counts)]), items, rows.values[stays])


def assert_same(one: object, other: object, where: str = "") -> None:
    """Equal to the last bit, whatever dataclass, tuple or array it is."""
    if dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name), f"{where}.{field.name}")
    elif isinstance(one, tuple):
        assert isinstance(other, tuple)
        for k, (mine, yours) in enumerate(zip(one, other, strict=True)):
            assert_same(mine, yours, f"{where}[{k}]")
    else:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other), err_msg=where)


def community_log(
    seed: int, *, n_users: int = 120, n_items: int = 160, n_actions: int = 2_400, loyal: float = 0.95
) -> Log:
    """Users of eight communities who read what belongs to theirs, new and old alike: popularity says little."""
    random = np.random.default_rng(seed)
    users = random.integers(0, n_users, n_actions)
    home = random.integers(0, n_items // 8, n_actions) * 8 + users % 8
    items = np.where(random.random(n_actions) < loyal, home, random.integers(0, n_items, n_actions))
    times = NOW - random.random(n_actions) * 60 * DAY
    ones = np.ones(n_actions)
    return make_log(users, items, times, ones, ones > 0, n_users, n_items)
