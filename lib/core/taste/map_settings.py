"""The settings of the learned map, chosen by replaying the last tenth of the log.

What is compared is the gain in NDCG over all items plus the gain without the most read ones, each as a share of what
the default reaches. By the first alone, the map would turn into a list of what is popular; lists get that by itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lib.core.embeddings import Floats, Vectors
from lib.core.ranker.log import Log
from lib.core.taste.held_back import Held as HeldBack
from lib.core.taste.held_back import choose, head_items, hold_back, ndcg_per_user, with_default
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
class Held:
    """The last tenth of a log from `start` on, and what was known `earlier`: item vectors, and what most read."""

    start: float
    earlier: Log
    all_items: HeldBack
    tail: HeldBack
    item_vectors: Vectors


@dataclass(frozen=True)
class Replay:
    """What is held back ranked by what was known before it: the vectors of its users, and evidence for maps."""

    held: Held
    users: Vectors
    evidence: Evidence
    evidence_half_lives_days: Sequence[float]

    def ndcg(self, settings: MapSettings) -> Floats:
        """NDCG of each user over all items, and without the most read ones (2, u)."""
        index = self.evidence_half_lives_days.index(settings.evidence_half_life_days)
        mapped = map_users(self.users, solve_map(self.evidence, index, settings))
        parts = (self.held.all_items, self.held.tail)
        return np.stack([ndcg_per_user(part, mapped, self.held.item_vectors) for part in parts])


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
    held = hold_back_latest(log.before(now), learn_items, max_actions=_MAX_ACTIONS) if may_continue() else None
    if held is None:
        return default
    half_lives = with_default(default.evidence_half_life_days, _GRIDS["evidence_half_life_days"])
    replay = replay_of(held, half_life_seconds=half_life_seconds, evidence_half_lives_days=half_lives)
    shares = shares_of(replay.ndcg(default))
    chosen = default
    for field, values in _GRIDS.items():
        options = [replace(chosen, **{field: value}) for value in values]
        chosen = choose(chosen, options, lambda option: shares @ replay.ndcg(option), may_continue=may_continue)
    return chosen


def hold_back_latest(log: Log, learn_items: Callable[[Log], Vectors], *, max_actions: int) -> Held | None:
    """The last tenth of a sample of the log's users; None where it holds nothing to look for."""
    log = sample_users(log, max_actions=max_actions)
    if not log.positive.any():
        return None
    start = time_of_share(log, 1.0 - _HELD_BACK)
    earlier = log.before(start)
    held = hold_back(log, start, newcomers=False, max_users=_MAX_USERS)
    if len(held.users) == 0:
        return None
    head = head_items(earlier, since=time_of_share(log, 1.0 - 2.0 * _HELD_BACK), share=_HEAD_SHARE)
    return Held(start, earlier, held, held.without(head), learn_items(earlier))


def replay_of(held: Held, *, half_life_seconds: float, evidence_half_lives_days: Sequence[float]) -> Replay:
    """The replay where interests fade with that half-life."""
    earlier, vectors = held.earlier, held.item_vectors
    evidence = gather_evidence(
        earlier, vectors, half_life_seconds=half_life_seconds, evidence_half_lives_days=evidence_half_lives_days
    )
    theirs = of_users(earlier, held.all_items.users)
    users = embed_log(theirs, held.start, vectors, half_life_seconds=half_life_seconds)
    return Replay(held, users, evidence, evidence_half_lives_days)


def shares_of(usual: Floats) -> Floats:
    """By what the NDCGs (2, u) of all settings are multiplied: as shares of the `usual` ones both count alike."""
    shares: Floats = 1.0 / np.maximum(usual.mean(axis=1), _LOWEST)
    return shares
