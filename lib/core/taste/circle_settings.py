"""How much a user's circle counts for new items, chosen by replaying the log's latest newcomers."""

from collections.abc import Callable
from dataclasses import replace

from lib.core.embeddings import Floats, Vectors
from lib.core.ranker.items import seen_between
from lib.core.ranker.log import Log, first_reads
from lib.core.ranker.profiles import profiles_of
from lib.core.ranker.reads import user_reads
from lib.core.taste.held_back import choose, hold_back, ndcg_per_user
from lib.core.taste.log_parts import sample_users, time_of_share
from lib.core.taste.new_items import learn_new_item_taste, user_tastes

DEFAULT_CIRCLE_READS = 8.0
CIRCLE_READS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_HELD_BACK = 0.1  # of the positive actions
_CLEAR_OF_CHANCE = 3.0  # standard errors over users; few items decide, so the error over items is some times larger
_MAX_ACTIONS = 200_000
_MAX_USERS = 1_000


def choose_circle_reads(
    log: Log,
    now: float,
    content: Vectors,
    item_vectors: Vectors,
    *,
    half_life_seconds: float,
    default: float = DEFAULT_CIRCLE_READS,
    may_continue: Callable[[], bool] = lambda: True,
) -> float:
    """The best for the newcomers of the log's last tenth before `now`, or the default where none is clearly better.

    `item_vectors` (n_items, d) may be those of the whole log: nothing that is ranked here is scored by them.
    `may_continue` is asked before the walk and before every number that is tried.
    """
    log = sample_users(log.before(now), max_actions=_MAX_ACTIONS)
    if not log.positive.any() or not may_continue():
        return default
    start = time_of_share(log, 1.0 - _HELD_BACK)
    held = hold_back(log, start, newcomers=True, max_users=_MAX_USERS)
    if len(held.users) == 0:
        return default
    earlier = log.before(start)
    first_seen, profiles = seen_between(earlier)[0], profiles_of(user_reads(first_reads(earlier)), held.users)
    taste, circles = learn_new_item_taste(
        earlier, start, content, item_vectors, half_life_seconds=half_life_seconds, circle_reads=default
    )

    def ndcg(circle_reads: float) -> Floats:
        chosen = replace(taste, circle_reads=circle_reads)
        known = (chosen, profiles, first_seen, content, circles, start)
        return ndcg_per_user(held, user_tastes(*known, half_life_seconds=half_life_seconds).users, content)

    return choose(default, CIRCLE_READS, ndcg, may_continue=may_continue, clear=_CLEAR_OF_CHANCE)
