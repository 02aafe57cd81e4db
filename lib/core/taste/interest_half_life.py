"""How fast a user's interests fade on a site, chosen by replaying the last tenth of its log."""

from collections.abc import Callable

from lib.core.defaults import INTEREST_HALF_LIFE_DAYS
from lib.core.embeddings import Floats, Vectors
from lib.core.ranker.log import DAY, Log
from lib.core.taste.held_back import choose
from lib.core.taste.map_settings import DEFAULT_MAP_SETTINGS, hold_back_latest, replay_of, shares_of

HALF_LIVES_DAYS = (1.0, 4.0, 12.0, INTEREST_HALF_LIFE_DAYS, 120.0, 10_000.0)  # the last: they don't
_MAX_ACTIONS = 50_000  # each half-life takes a walk through them


def choose_interest_half_life(
    log: Log,
    now: float,
    learn_items: Callable[[Log], Vectors],
    *,
    default_days: float = INTEREST_HALF_LIFE_DAYS,
    may_continue: Callable[[], bool] = lambda: True,
) -> float:
    """Days, by the log before `now`; the default where none is clearly better. See `choose_map_settings`."""
    held = hold_back_latest(log.before(now), learn_items, max_actions=_MAX_ACTIONS) if may_continue() else None
    if held is None:
        return default_days
    evidence = [DEFAULT_MAP_SETTINGS.evidence_half_life_days]

    def ndcg(days: float) -> Floats:
        replay = replay_of(held, half_life_seconds=days * DAY, evidence_half_lives_days=evidence)
        return replay.ndcg(DEFAULT_MAP_SETTINGS)

    shares = shares_of(ndcg(default_days))
    return choose(default_days, HALF_LIVES_DAYS, lambda days: shares @ ndcg(days), may_continue=may_continue)
