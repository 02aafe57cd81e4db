"""What one run of learning finds out about tastes: item vectors, the map for users, and who reads the new."""

from collections.abc import Callable
from dataclasses import dataclass

from lib.core.co_reads import learn_item_vectors
from lib.core.defaults import LEARNED_SIZE, TEXT_SHARE
from lib.core.embeddings import Floats, Vectors, join_vectors
from lib.core.ranker.log import DAY, Log
from lib.core.taste.circle_settings import choose_circle_reads
from lib.core.taste.interest_half_life import choose_interest_half_life
from lib.core.taste.learned_map import learn_map
from lib.core.taste.map_settings import choose_map_settings
from lib.core.taste.new_items import NewItemTaste, learn_new_item_taste


@dataclass(frozen=True)
class Taste:
    """How fast interests fade, `vectors` (n, d) of items, unit rows or zeros, and `learned_map` (d, d) for users'."""

    half_life_days: float
    vectors: Vectors
    learned_map: Floats


def learn_taste(
    log: Log,
    now: float,
    text: Vectors,
    *,
    half_life_days: float | None,
    may_continue: Callable[[], bool] = lambda: True,
) -> Taste:
    """By the log before `now`. `text` (n_items, c) are projected content vectors, `half_life_days` is of interests.

    That, where it is None, and the map's settings are chosen by replay for as long as `may_continue` says; after that
    the defaults do.
    """
    log = log.before(now)
    vectors = item_vectors(log, text)

    def learn_items(earlier: Log) -> Vectors:
        return item_vectors(earlier, text)

    if half_life_days is None:
        half_life_days = choose_interest_half_life(log, now, learn_items, may_continue=may_continue)
    seconds = half_life_days * DAY
    settings = choose_map_settings(log, now, learn_items, half_life_seconds=seconds, may_continue=may_continue)
    return Taste(half_life_days, vectors, learn_map(log, now, vectors, settings, half_life_seconds=seconds))


def learn_new_items(
    log: Log,
    now: float,
    text: Vectors,
    vectors: Vectors,
    *,
    half_life_seconds: float,
    may_continue: Callable[[], bool] = lambda: True,
) -> tuple[NewItemTaste, Vectors]:
    """How the new is read by the log before `now`, and the circles (n, c): what of it those read who read an item.

    `vectors` are what `learn_taste` found; else as there.
    """
    known = (log.before(now), now, text, vectors)
    reads = choose_circle_reads(*known, half_life_seconds=half_life_seconds, may_continue=may_continue)
    return learn_new_item_taste(*known, half_life_seconds=half_life_seconds, circle_reads=reads)


def item_vectors(log: Log, text: Vectors) -> Vectors:
    """Vectors (n_items, d) out of who read what with what and what content says, unit rows or zeros."""
    reads = log.take(log.positive)
    learned = learn_item_vectors(reads.users, reads.items, reads.times, n_items=log.n_items, size=LEARNED_SIZE)
    return join_vectors(learned, text, text_share=TEXT_SHARE)
