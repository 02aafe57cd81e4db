"""How much a user's circle counts for new items, chosen by replaying the log's latest newcomers."""

from collections.abc import Callable

from lib.core.embeddings import Floats, Indices, Vectors
from lib.core.ranker.log import Log
from lib.core.taste.held_back import choose, hold_back, ndcg_per_user
from lib.core.taste.log_parts import of_users, sample_users, time_of_share
from lib.core.taste.new_items import learn_circle_taste, new_item_vectors, own_tastes_in_log
from lib.core.taste.states import embed_log

DEFAULT_CIRCLE_ACTIONS = 8.0
CIRCLE_ACTIONS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_HELD_BACK = 0.1  # of the positive actions
_CLEAR_OF_CHANCE = 3.0  # standard errors over users; few items decide, so the error over items is some times larger
_MAX_ACTIONS = 200_000
_MAX_USERS = 1_000


def choose_circle_actions(
    log: Log,
    now: float,
    content: Vectors,
    item_vectors: Vectors,
    *,
    half_life_seconds: float,
    default: float = DEFAULT_CIRCLE_ACTIONS,
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
    own, circle = _tastes(log, start, held.users, content, item_vectors, half_life_seconds)

    def ndcg(circle_actions: float) -> Floats:
        return ndcg_per_user(held, new_item_vectors(own, circle, circle_actions), content)

    return choose(default, CIRCLE_ACTIONS, ndcg, may_continue=may_continue, clear=_CLEAR_OF_CHANCE)


def _tastes(
    log: Log, now: float, users: Indices, content: Vectors, item_vectors: Vectors, half_life_seconds: float
) -> tuple[Floats, Vectors]:
    """The own taste of `users` (u, c) by the log before `now`, and that of their circles (u, c)."""
    own = own_tastes_in_log(log, now, users, content, half_life_seconds=half_life_seconds)
    states = embed_log(of_users(log, users), now, item_vectors, half_life_seconds=half_life_seconds)
    circles = learn_circle_taste(log, now, content, item_vectors, half_life_seconds=half_life_seconds)
    return own, circles.of(states)
