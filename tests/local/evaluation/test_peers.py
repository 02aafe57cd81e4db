import math
from collections.abc import Callable, Iterable
from functools import partial

import pytest

from lib.settings import Settings
from local.evaluation.cuts import cut_log
from local.evaluation.data import Cut, Ranking
from local.evaluation.peers import rank_als, rank_item_knn, rank_popular
from tests.local.evaluation.logs import as_log, random_log, site_of_tastes
from tests.local.evaluation.plainly import Act

SETTINGS = Settings()
Rank = Callable[[Cut], Iterable[Ranking]]
als = partial(rank_als, regularization=1.0)


def first_cut(acts: list[Act]) -> Cut:
    return next(cut for cut, _ in cut_log(as_log(acts)))


@pytest.mark.parametrize(
    "rank",
    [
        pytest.param(lambda cut: rank_popular(cut, SETTINGS), id="popularity"),
        pytest.param(rank_item_knn, id="item-kNN"),
        pytest.param(als, id="ALS"),
    ],
)
def test_nobody_gets_what_he_knows_and_the_same_log_gives_the_same_lists(rank: Rank) -> None:
    cut, truth = next(iter(cut_log(as_log(random_log()))))
    rankings = list(rank(cut))
    assert rankings == list(rank(cut))
    assert [ranking.user_id for ranking in rankings] == cut.user_ids[: cut.n_ranked_users]
    for ranking in rankings:
        assert truth.candidates.issuperset(ranking.items)
        assert set(ranking.items).isdisjoint(truth.seen.get(ranking.user_id, set()))
        assert len(set(ranking.items)) == len(ranking.items)


def test_popularity_counts_each_users_first_like_decayed_at_the_half_life_in_force() -> None:
    acts = random_log()
    cut = first_cut(acts)
    settings = Settings(popularity_half_life_hours=96.0)
    firsts: dict[tuple[str, str], float] = {}
    for act in acts:
        if act.weight > 0 and act.at < cut.now:
            firsts.setdefault((act.user, act.item), act.at)
    popularity = {
        item: sum(0.5 ** ((cut.now - at) / 3600 / 96) for (_, other), at in firsts.items() if other == item)
        for item in {act.item for act in acts}
    }
    for ranking in rank_popular(cut, settings):
        in_order = [popularity[item] for item in ranking.items]
        assert in_order == pytest.approx(sorted(in_order, reverse=True), abs=1e-9)
    assert [*rank_popular(cut, settings)] != [*rank_popular(cut, Settings(popularity_half_life_hours=math.inf))]


def test_item_knn_adds_up_the_cosines_of_co_reads() -> None:
    acts = random_log()
    cut = first_cut(acts)
    readers: dict[str, set[str]] = {}
    for act in acts:
        if act.at < cut.now and act.weight > 0:
            readers.setdefault(act.item, set()).add(act.user)
    for ranking in rank_item_knn(cut):
        liked = [item for item, users in readers.items() if ranking.user_id in users]
        scores = [
            sum(len(readers[item] & readers[own]) / math.sqrt(len(readers[item]) * len(readers[own])) for own in liked)
            for item in ranking.items
        ]
        assert scores == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
        assert all(score > 0 for score in scores)


@pytest.mark.parametrize("rank", [rank_item_knn, als], ids=["item-kNN", "ALS"])
def test_a_peer_that_learns_finds_the_users_kind(rank: Rank) -> None:
    for ranking in rank(first_cut(site_of_tastes())):
        kind = f"kind {int(ranking.user_id.split()[1]) % 5} "
        assert all(item.startswith(kind) for item in ranking.items[:10])


@pytest.mark.parametrize("rank", [rank_item_knn, als], ids=["item-kNN", "ALS"])
def test_a_peer_that_learns_says_nothing_to_whom_it_does_not_know(rank: Rank) -> None:
    cut, truth = next(iter(cut_log(as_log(random_log(users=300)))))
    rankings = list(rank(cut))
    assert {ranking.user_id for ranking in rankings if not ranking.items} >= {
        user for user, items in truth.history.items() if items == 0
    }
    assert 0 in truth.history.values()
