"""Lists as production makes them: the one place that knows the model.

For a cut: what can be learned before it (item vectors, user embeddings, popularity), then a list for each user.
"""

from collections.abc import Iterator

import numpy as np

from lib.core.co_reads import learn_item_vectors
from lib.core.defaults import HALF_LIVES_HOURS, LEARNED_SIZE, POOL_SIZE, TEXT_SHARE, TEXT_SIZE
from lib.core.embeddings import join_vectors, latest_per_user, project_text_vectors, user_embeddings
from lib.core.popularity import carry, decayed_sums, first_action_changes
from lib.core.ranking import rank, top_n
from lib.settings import Settings
from local.evaluation.data import LIST_LENGTH, Content, Cut, Floats, Indices, Ranking, Vectors, seen_candidates

DEFAULTS = Settings()
SECONDS_PER_DAY = 86_400.0


def rank_cut(cut: Cut, content: Content | None, *, alone: bool, settings: Settings = DEFAULTS) -> Iterator[Ranking]:
    """A list for each user to rank for, in their order, and one of new items where content vectors are given.

    With `alone` nothing but the user's embedding ranks; a user without one gets no items then.
    """
    item_vectors = _learn_items(cut, content)
    embeddings = _embed_users(cut, item_vectors, settings)
    popularity = popularity_at_cut(cut, settings)
    candidate_vectors, new_vectors = item_vectors[cut.candidates], item_vectors[cut.new_candidates]
    for user, (embedding, excluded) in enumerate(zip(embeddings, seen_candidates(cut), strict=True)):
        personal = candidate_vectors @ embedding
        if alone:
            best = top_n(personal, LIST_LENGTH if embedding.any() else 0, excluded=excluded)
        else:
            best, _, _ = rank(
                personal,
                popularity,
                excluded=excluded,
                n=LIST_LENGTH,
                popularity_weight=settings.popularity_weight,
                pool_size=POOL_SIZE,
            )
        # Nobody has acted on a new item, so its content vector is all of it.
        best_new = None if content is None else cut.new_candidates[top_n(new_vectors @ embedding, LIST_LENGTH)]
        yield _ranking(cut, user, cut.candidates[best], best_new)


def popularity_at_cut(cut: Cut, settings: Settings = DEFAULTS) -> Floats:
    """Decayed popularity of every candidate (n_candidates,): each user's first positive action on it, at the cut.

    At the half-life that lists are blended with.
    """
    n_items = len(cut.item_ids)
    keys, pair_of_action = np.unique(cut.users[cut.positive] * n_items + cut.items[cut.positive], return_inverse=True)
    unknown = np.full(len(keys), np.nan)
    pairs, times, signs = first_action_changes(pair_of_action, cut.times[cut.positive], unknown)
    as_of, sums = decayed_sums(times, signs, keys[pairs] % n_items, n_items)
    half_life = HALF_LIVES_HOURS.index(settings.popularity_half_life_hours)
    popularity: Floats = carry(sums, as_of, cut.now)[cut.candidates, half_life]
    return popularity


def _learn_items(cut: Cut, content: Content | None) -> Vectors:
    """The joined vectors of the cut's items (n_items, d), from its co-reads and the content vectors of its items."""
    learned = learn_item_vectors(
        cut.users[cut.positive],
        cut.items[cut.positive],
        cut.times[cut.positive],
        n_items=len(cut.item_ids),
        size=LEARNED_SIZE,
    )
    text = np.zeros((len(cut.item_ids), 1), np.float32)
    if content:
        absent = np.zeros_like(next(iter(content.values())))
        text = np.stack([content.get(item_id, absent) for item_id in cut.item_ids])
    return join_vectors(learned, project_text_vectors(text, size=TEXT_SIZE), text_share=TEXT_SHARE)


def _embed_users(cut: Cut, item_vectors: Vectors, settings: Settings) -> Vectors:
    """The embeddings at the cut of the users to rank for (n_ranked_users, d)."""
    latest = latest_per_user(cut.users, cut.items, cut.times, limit=settings.history_length)
    rows = latest[cut.users[latest] < cut.n_ranked_users]
    return user_embeddings(
        cut.users[rows],
        cut.items[rows],
        cut.weights[rows],
        cut.now - cut.times[rows],
        item_vectors,
        n_users=cut.n_ranked_users,
        half_life_seconds=settings.interest_half_life_days * SECONDS_PER_DAY,
    )


def _ranking(cut: Cut, user: int, items: Indices, new_items: Indices | None) -> Ranking:
    """The user's list in ids instead of indices."""
    return Ranking(
        cut.user_ids[user],
        [cut.item_ids[item] for item in items],
        None if new_items is None else [cut.item_ids[item] for item in new_items],
    )
