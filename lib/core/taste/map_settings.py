"""The settings of the learned map, chosen by replaying the last tenth of the log.

What is compared is the gain in NDCG over all items plus the gain without the most read ones, each as a share of what
the default reaches. By the first alone, the map would turn into a list of what is popular; lists get that by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from lib.core.embeddings import Floats, Vectors
from lib.core.ranker.log import Log
from lib.core.taste.held_back import Held, choose, head_items, hold_back, ndcg_per_user, with_default
from lib.core.taste.learned_map import Evidence, MapSettings, gather_evidence, map_users, solve_map
from lib.core.taste.log_parts import of_users, sample_users, time_of_share
from lib.core.taste.states import embed_log

_GRIDS = {
    "evidence_half_life_days": (0.5, 1.5, 4.0, 12.0, 40.0, 10_000.0),  # from news to films, and all the log alike
    "state_ridge": (1.0, 3.0, 10.0),
    "item_ridge": (2.0, 4.0, 8.0, 16.0),
}
DEFAULT_MAP_SETTINGS = MapSettings()
_HELD_BACK = 0.1  # of the positive actions
_HEAD_SHARE = 0.4  # of the reads in the tenth before go to what counts as the most read items
_MAX_ACTIONS = 200_000
_MAX_USERS = 1_000
_LOWEST = 1e-3  # mean NDCG; a share of less would blow noise up


@dataclass(frozen=True)
class _Replay:
    """What was held back, with and without the most read items, and what was known before."""

    held: Held
    tail: Held
    item_vectors: Vectors
    users: Vectors
    evidence: Evidence
    half_lives_days: list[float]

    def ndcg(self, settings: MapSettings) -> Floats:
        """NDCG of each user over all items, and without the most read ones (2, u)."""
        index = self.half_lives_days.index(settings.evidence_half_life_days)
        mapped = map_users(self.users, solve_map(self.evidence, index, settings))
        return np.stack([ndcg_per_user(held, mapped, self.item_vectors) for held in (self.held, self.tail)])


def choose_map_settings(
    log: Log,
    now: float,
    learn_items: Callable[[Log], Vectors],
    *,
    half_life_seconds: float,
    default: MapSettings = DEFAULT_MAP_SETTINGS,
    may_continue: Callable[[], bool] = lambda: True,
) -> MapSettings:
    """Half-life of the evidence, then one ridge after the other; the default where the log before `now` can't tell.

    `learn_items` makes the item vectors (n_items, d) out of a log, as it will for the whole one. `may_continue` is
    asked before that and before every setting that is tried; what isn't tried isn't chosen.
    """
    log = sample_users(log.before(now), max_actions=_MAX_ACTIONS)
    replay = _set_up(log, learn_items, half_life_seconds, default) if log.positive.any() and may_continue() else None
    if replay is None:
        return default
    shares = 1.0 / np.maximum(replay.ndcg(default).mean(axis=1), _LOWEST)
    chosen = default
    for field, values in _GRIDS.items():
        options = [replace(chosen, **{field: value}) for value in values]
        chosen = choose(chosen, options, lambda option: shares @ replay.ndcg(option), may_continue=may_continue)
    return chosen


def _set_up(
    log: Log, learn_items: Callable[[Log], Vectors], half_life_seconds: float, default: MapSettings
) -> _Replay | None:
    start = time_of_share(log, 1.0 - _HELD_BACK)
    earlier = log.before(start)
    held = hold_back(log, start, newcomers=False, max_users=_MAX_USERS)
    if len(held.users) == 0:
        return None
    head = head_items(earlier, since=time_of_share(log, 1.0 - 2.0 * _HELD_BACK), share=_HEAD_SHARE)
    vectors = learn_items(earlier)
    half_lives = with_default(default.evidence_half_life_days, _GRIDS["evidence_half_life_days"])
    evidence = gather_evidence(
        earlier, vectors, half_life_seconds=half_life_seconds, evidence_half_lives_days=half_lives
    )
    users = embed_log(of_users(earlier, held.users), start, vectors, half_life_seconds=half_life_seconds)
    return _Replay(held, held.without(head), vectors, users, evidence, half_lives)
