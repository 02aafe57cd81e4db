"""Made-up sites on which it is known what leads to what."""

import numpy as np

from lib.core.co_reads import learn_item_vectors
from lib.core.embeddings import Vectors, unit_rows
from lib.core.ranker.log import DAY, HOUR, Indices, Log, Mask, make_log
from tests.core.ranker.logs import NOW, Action, drawn_log, log_of

HALF_LIFE = 30 * DAY
TOPICS = 4
OLD_ITEMS = 8  # 0 … 7; the two of a half-site are like each other
FRESH_ITEMS = 120  # one comes up every 6 hours


def random_vectors(n: int, size: int, seed: int = 1) -> Vectors:
    return unit_rows(np.random.default_rng(seed).standard_normal((n, size), dtype=np.float32))


def co_read_items(log: Log) -> Vectors:
    reads = log.take(log.positive)
    return unit_rows(learn_item_vectors(reads.users, reads.items, reads.times, n_items=log.n_items, size=8))


def pairs_log(*, pairs: int = 4, users_per_pair: int = 10) -> Log:
    """Whoever reads item 2k goes on to 2k + 1 and to nothing else; the last user of each pair hasn't yet."""
    actions: list[Action] = []
    for user in range(pairs * users_per_pair):
        pair, place = divmod(user, users_per_pair)
        actions.append((user, 2 * pair, NOW - 2 * DAY + place * HOUR, 1.0))
        if place < users_per_pair - 1:
            actions.append((user, 2 * pair + 1, NOW - DAY + place * HOUR, 1.0))
    return log_of(actions, n_users=pairs * users_per_pair, n_items=2 * pairs)


def chains_log(seed: int, *, n_items: int = 40, n_users: int = 700, days: int = 60) -> Log:
    """Users begin anywhere and read on along a ring of items, one a day, without ever changing their ways."""
    random = np.random.default_rng(seed)
    actions: list[Action] = []
    for user in range(n_users):
        first, start = random.integers(0, n_items), random.random() * (days - 6)
        actions += [(user, int(first + k) % n_items, NOW - (days - start - k) * DAY, 1.0) for k in range(6)]
    return log_of(actions, n_users=n_users, n_items=n_items)


def fashions_log(seed: int) -> Log:
    """New items all the time, which are forgotten within half a day."""
    appeal = np.random.default_rng(seed).exponential(size=200)
    return drawn_log(seed, appeal, np.arange(0, 40, 0.2), 0.5, days=40, per_day=150)


def circles_site(seed: int, *, n_users: int = 300, follow: float = 0.9) -> tuple[Log, Vectors, Vectors]:
    """A log, content and item vectors: what is new is read by circles, which old content doesn't tell.

    Of the old items, content 0 and 1, the even ones are read by even users and the odd ones by odd users. Content 2 of
    new items is positive for the even ones and negative for the odd ones, which are read by such users in a share
    `follow` of the cases; content 3 is positive for what four times as many read.
    """
    random = np.random.default_rng(seed)
    n_items, actions = OLD_ITEMS + FRESH_ITEMS, list[Action]()
    for user in range(n_users):
        liked = np.arange(user % 2, OLD_ITEMS, 2)
        for item in random.choice(liked, 3, replace=False):
            actions.append((user, int(item), NOW - 31 * DAY + random.random() * DAY, 1.0))
    for number in range(FRESH_ITEMS):
        begin = NOW - 30 * DAY + number * 6 * HOUR
        for user in random.choice(n_users, 16 if _is_good(number) else 4, replace=False):
            if (user % 2 == number % 2) == (random.random() < follow):
                actions.append((int(user), OLD_ITEMS + number, begin + random.random() * 12 * HOUR, 1.0))
    content, vectors = np.zeros((n_items, TOPICS), np.float32), np.zeros((n_items, 2), np.float32)
    content[np.arange(OLD_ITEMS), np.arange(OLD_ITEMS) // 2 % 2] = 1.0
    numbers = np.arange(FRESH_ITEMS)
    content[OLD_ITEMS:, 2] = np.where(numbers % 2 == 0, 1.0, -1.0)
    content[OLD_ITEMS:, 3] = np.where(_is_good(numbers), 1.0, -1.0)
    vectors[np.arange(n_items), np.arange(n_items) % 2] = 1.0
    return log_of(actions, n_users=n_users, n_items=n_items), unit_rows(content), vectors


def _is_good(numbers: Indices | int) -> Mask | bool:
    return numbers // 2 % 2 == 0


def scaled(log: Log, factor: float) -> Log:
    """The same site on a clock that runs `factor` times as fast."""
    return make_log(log.users, log.items, log.times * factor, log.weights, log.positive, log.n_users, log.n_items)
