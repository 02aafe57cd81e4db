"""What a site could have instead: a list of popular content, item-kNN, and ALS.

Each scores the candidates for each user, NaN where it says nothing; what he has acted on is left out of every list.
"""

from collections.abc import Iterable, Iterator
from itertools import repeat

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_array, csr_matrix
from threadpoolctl import threadpool_limits

from lib.core.ranking import top_n
from lib.settings import Settings
from local.evaluation.data import LIST_LENGTH, Cut, Ranking, Scores, seen_candidates
from local.evaluation.production import popularity_at_cut

# One thread: on a machine that does something else as well, more of them wait for each other.
ALS = {"factors": 64, "random_state": 0, "num_threads": 1}
_USERS_AT_ONCE = 64  # at 100,000 items their scores take 50 MB


def rank_popular(cut: Cut, settings: Settings) -> Iterator[Ranking]:
    """The same list for everybody, but for what he knows: decayed popularity at the half-life in force."""
    return _rank(cut, repeat(popularity_at_cut(cut, settings), cut.n_ranked_users))


def rank_item_knn(cut: Cut) -> Iterator[Ranking]:
    """Cosine of co-reads (Sarwar et al., WWW 2001), summed over the user's items, all neighbours counted."""
    return _rank(cut, _item_knn_scores(cut))


def rank_als(cut: Cut, regularization: float) -> Iterator[Ranking]:
    """Alternating least squares on who liked what (Hu, Koren and Volinsky, ICDM 2008).

    It lives by its regularisation: of films 10 is best and the library's own 0.01 finds half as much, while 10 leaves
    nothing of what a small log tells.
    """
    return _rank(cut, _als_scores(cut, regularization))


def _rank(cut: Cut, scores: Iterable[Scores]) -> Iterator[Ranking]:
    for user_id, of_candidates, excluded in zip(
        cut.user_ids[: cut.n_ranked_users], scores, seen_candidates(cut), strict=True
    ):
        best = cut.candidates[top_n(of_candidates, LIST_LENGTH, excluded=excluded)]
        yield Ranking(user_id, [cut.item_ids[item] for item in best])


def _item_knn_scores(cut: Cut) -> Iterator[Scores]:
    liked = csr_array(_liked(cut))
    of_length_one = csr_array(liked / np.sqrt(np.maximum(liked.sum(axis=0), 1)))
    for start in range(0, cut.n_ranked_users, _USERS_AT_ONCE):
        chunk = liked[start : min(start + _USERS_AT_ONCE, cut.n_ranked_users)]
        # The similarity of all items with all others is never written down: it may not fit.
        scores = ((chunk @ of_length_one.T) @ of_length_one).toarray()[:, cut.candidates]
        yield from np.where(scores > 0, scores, np.nan)


def _als_scores(cut: Cut, regularization: float) -> Iterator[Scores]:
    liked = _liked(cut)
    with threadpool_limits(limits=1, user_api="blas"):  # which it asks for: BLAS's threads would be too many
        model = AlternatingLeastSquares(regularization=regularization, **ALS)
        model.fit(liked, show_progress=False)
    items = model.item_factors[cut.candidates].T
    for start in range(0, cut.n_ranked_users, _USERS_AT_ONCE):
        users = np.arange(start, min(start + _USERS_AT_ONCE, cut.n_ranked_users))
        knows_nothing = np.diff(liked.indptr)[users, None] == 0
        yield from np.where(knows_nothing, np.nan, model.user_factors[users] @ items)


def _liked(cut: Cut) -> csr_matrix:
    """Users by items (n_users, n_items): 1 where a user has liked an item, however often."""
    shape = (len(cut.user_ids), len(cut.item_ids))
    pairs = np.unique(cut.users[cut.positive] * shape[1] + cut.items[cut.positive])
    return csr_matrix((np.ones(len(pairs), np.float32), np.divmod(pairs, shape[1])), shape)
