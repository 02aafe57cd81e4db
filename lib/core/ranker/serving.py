"""Ranks users: by the site's ranker where there is one, by a fixed blend or popularity else; never what is seen."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lib.core.defaults import POPULARITY_WEIGHT
from lib.core.exploration import with_discovery, with_new_ones
from lib.core.ranker.features import Candidates, candidates_of, feature_names
from lib.core.ranker.half_life import popular_scores
from lib.core.ranker.items import GLOBAL_NAMES, N_HALF_LIVES
from lib.core.ranker.log import Floats, Indices, Mask, Vectors
from lib.core.ranker.profiles import profiles_of
from lib.core.ranker.similar import most_similar
from lib.core.ranker.site import Site
from lib.core.ranker.softmax_ranker import Model, columns_of
from lib.core.ranker.sources import Signals, sources_of, standard_scores
from lib.core.ranker.trained import Trained
from lib.core.ranking import top_n

_KNN = feature_names(0).index("knn")
_USERS_AT_ONCE = 256  # whose candidates with features are some 20 MB


@dataclass(frozen=True)
class Ranked:
    """One user's list (k,), best first but for the discovery: items with their scores and why they are in it."""

    items: Indices
    scores: Floats
    sources: list[str]  # see sources.py
    similar_to: Indices  # the item that the user read which speaks most for a personal one; -1 for others, or none


def rank_users(site: Site, trained: Trained, users: Indices, *, n: int) -> list[Ranked]:
    """The best `n` of each user's candidates, the lower index first among equals; fewer where there are fewer. A few
    places are kept for what would hardly be shown otherwise (lib/core/exploration.py).

    A user with reads is ranked by the model, or where there is none that knows the site's features, by
    z(cosine to his vector) + 2 z(log popularity); a user without by popularity.
    """
    model = trained.model
    if model is not None and len(model.mean) != len(feature_names(len(site.items.vectors))):
        model = None  # trained before the app had vectors, or while it had
    lists: list[Ranked] = []
    for k in range(0, len(users), _USERS_AT_ONCE):
        some = users[k : k + _USERS_AT_ONCE]
        for user, own in zip(some, _one_by_one(candidates_of(site, some)), strict=True):
            lists.append(_rank(site, trained.position, model, user, own, n))
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


def _rank(site: Site, position: float, model: Model | None, user: int, own: Candidates, n: int) -> Ranked:
    """The list of one user out of his candidates."""
    signals = _signals(model, position, own)
    scores = signals.personal + signals.everybody
    if model is not None and own.n_reads[0] > 0:
        scores = _below_what_is_known(scores, site.items.met[own.items])
    best = _with_exploration(top_n(scores, len(scores)), own.features[:, _KNN], site.items.met[own.items])[:n]
    items = own.items[best]
    sources = sources_of(signals, own.features[:, :N_HALF_LIVES], site.items.readers[own.items], best)
    similar_to = np.full(len(items), -1)
    personal = np.flatnonzero([source == "personal" for source in sources])
    if len(personal):
        similar_to[personal] = most_similar(site, profiles_of(site.reads, np.array([user])), items[personal])
    return Ranked(items, scores[best], sources, similar_to)


def _with_exploration(order: Indices, knn: Vectors, met: Mask) -> Indices:
    """The candidates (n,) in `order`, with a place for a discovery and one a page for what nobody has met."""
    order = with_discovery(order, knn)
    return order if met.all() else order[with_new_ones(~met[order])]


def _signals(model: Model | None, position: float, own: Candidates) -> Signals:
    popular = popular_scores(own.features, position).astype(np.float64)
    if own.n_reads[0] == 0 or len(popular) == 0:
        return Signals(np.zeros(len(popular)), popular)
    if model is None:
        cosines = own.features[:, len(feature_names(0)) :]
        similar = cosines.mean(axis=1) if cosines.shape[1] else np.zeros(len(popular))
        return Signals(standard_scores(similar), POPULARITY_WEIGHT * standard_scores(popular))
    columns, weights = columns_of(model, own.features, own.attributes, own.starts), model.weights
    n_global = len(GLOBAL_NAMES)  # the first columns; interactions are with what the user is like
    return Signals(columns[:, n_global:] @ weights[n_global:], columns[:, :n_global] @ weights[:n_global])


def _below_what_is_known(scores: Floats, met: Mask) -> Floats:
    """Scores (n,) with those of items that nobody has met below all others: the ranker has learned from none such."""
    if met.all() or not met.any():
        return scores
    return np.where(met, scores, scores[met].min() - 1.0)
