"""Ranks users: by the site's ranker where there is one, by a fixed blend or popularity else; never what is seen."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lib.core.defaults import NEW_PER_PAGE, POPULARITY_WEIGHT
from lib.core.diversity import VARIED, Variety, varied
from lib.core.exploration import with_exploration
from lib.core.ranker.features import Candidates, candidates_of, feature_names
from lib.core.ranker.half_life import popular_scores
from lib.core.ranker.items import GLOBAL_NAMES, N_HALF_LIVES
from lib.core.ranker.log import Floats, Indices
from lib.core.ranker.profiles import profiles_of
from lib.core.ranker.similar import most_similar
from lib.core.ranker.site import Site
from lib.core.ranker.softmax_ranker import Model, standardised, weights_of
from lib.core.ranker.sources import Signals, sources_of, standard_scores
from lib.core.ranker.trained import Trained
from lib.core.ranking import top_n
from lib.core.taste.new_items import UserTastes

_KNN, _LIFT = feature_names(0).index("knn"), feature_names(0).index("lift30d")
_READS_TO_BE_LIKE_OTHERS = 2  # of a user: one says too little for a discovery
_USERS_AT_ONCE = 256  # whose candidates with features are some 20 MB
_BELOW = 2.0  # the new are this far below what is known; their cosines lie between -1 and 1


@dataclass(frozen=True)
class Arrangement:
    """What a list is made of beside its scores: tastes in what nobody has met, what varies its pages, and how many new
    ones come forward on each. The first two are of the site's users and items."""

    tastes: UserTastes | None = None
    variety: Variety | None = None
    new_per_page: int = NEW_PER_PAGE


@dataclass(frozen=True)
class Ranked:
    """One user's list (k,), best first but for the discovery: items with their scores and why they are in it."""

    items: Indices
    scores: Floats
    sources: list[str]  # see sources.py
    similar_to: Indices  # the item that the user read which speaks most for a personal one; -1 for others, or none


def rank_users(
    site: Site,
    trained: Trained,
    users: Indices,
    *,
    n: int,
    arrangement: Arrangement = Arrangement(),
) -> list[Ranked]:
    """The best `n` of each user's candidates, the lower index first among equals; fewer where there are fewer. A few
    places are kept for what would hardly be shown otherwise (lib/core/exploration.py).

    A user with reads is ranked by the model, or where there is none that knows the site's features, by
    z(cosine to his vector) + 2 z(log popularity); a user without by popularity. What nobody has met comes after all
    else.
    """
    model = trained.model
    if model is not None and len(model.mean) != len(feature_names(len(site.items.vectors))):
        model = None  # trained before the app had vectors, or while it had
    lists: list[Ranked] = []
    for k in range(0, len(users), _USERS_AT_ONCE):
        some = users[k : k + _USERS_AT_ONCE]
        for user, own in zip(some, _one_by_one(candidates_of(site, some)), strict=True):
            signals = _signals(model, trained.position, own)
            lists.append(_rank(site, user, own, signals, arrangement, n))
    return lists


def _one_by_one(candidates: Candidates) -> Iterator[Candidates]:
    ends = np.append(candidates.starts[1:], len(candidates.items))
    for user, (start, end) in enumerate(zip(candidates.starts, ends, strict=True)):
        yield Candidates(
            items=candidates.items[start:end],
            features=candidates.features[start:end],
            starts=np.zeros(1, np.intp),
            attributes=candidates.attributes[user : user + 1],
            n_reads=candidates.n_reads[user : user + 1],
        )


def _rank(
    site: Site,
    user: int,
    own: Candidates,
    signals: Signals,
    arrangement: Arrangement,
    n: int,
) -> Ranked:
    """The list of one user out of his candidates (m,) and of what nobody has met."""
    scores, new = signals.personal + signals.everybody, _new_to(site, user)
    fits = np.zeros(len(new)) if arrangement.tastes is None else arrangement.tastes.of(user, new)
    items, m = np.concatenate([own.items, new]), len(scores)
    # Nobody has read a new one, so neither a ranker nor popularity knows what it is worth beside the rest.
    scores = np.concatenate([scores, scores.min(initial=np.inf if m else 0.0) - _BELOW + fits])
    known = top_n(scores[:m], max(n, VARIED))  # what comes after has no part in the first n
    if arrangement.variety is not None:
        known = known[varied(own.items[known].tolist(), arrangement.variety, n=n)]
    order = np.concatenate([known, m + top_n(fits, len(new))])
    lift = np.concatenate([_lift(own), np.full(len(new), -np.inf)])
    best = with_exploration(order, lift, np.arange(len(items)) >= m, arrangement.new_per_page)[:n]
    sources = np.full(len(best), "new", dtype=object)
    sources[best < m] = sources_of(
        signals, own.features[:, :N_HALF_LIVES], site.items.readers[own.items], best[best < m]
    )
    similar_to = np.full(len(best), -1)
    personal = np.flatnonzero(sources == "personal")
    if len(personal):
        similar_to[personal] = most_similar(site, profiles_of(site.reads, np.array([user])), items[best[personal]])
    return Ranked(items[best], scores[best], sources.tolist(), similar_to)


def _lift(own: Candidates) -> Floats:
    """How much more those who are like the user read each candidate (m,) than all do; -inf where none of them did."""
    if own.n_reads[0] < _READS_TO_BE_LIKE_OTHERS:
        return np.full(len(own.items), -np.inf)
    return np.where(own.features[:, _KNN] > 0, own.features[:, _LIFT], -np.inf)


def _new_to(site: Site, user: int) -> Indices:
    """What is a candidate though nobody has met it; what the user himself has acted on is not."""
    new = site.pool & site.items.available & ~site.items.met
    new[site.seen_items[site.seen_starts[user] : site.seen_starts[user + 1]]] = False
    return np.flatnonzero(new)


def _signals(model: Model | None, position: float, own: Candidates) -> Signals:
    if model is not None and own.n_reads[0] > 0:
        base = standardised(model, own.features)
        weights, crossed = weights_of(model, own.attributes[0])
        is_global = np.arange(len(weights)) < len(GLOBAL_NAMES)  # interactions are with what the user is like
        personal, everybody = (base @ np.column_stack([crossed + weights * ~is_global, weights * is_global])).T
        return Signals(personal, everybody)
    popular = popular_scores(own.features, position).astype(np.float64)
    if own.n_reads[0] == 0:
        return Signals(np.zeros(len(popular)), popular)
    cosines = own.features[:, len(feature_names(0)) :]
    similar = cosines.mean(axis=1) if cosines.shape[1] else np.zeros(len(popular))
    return Signals(standard_scores(similar), POPULARITY_WEIGHT * standard_scores(popular))
