"""The metrics equal a computation in plain Python, which was written from the definitions."""

import random

import numpy as np
import pytest

from local.evaluation.cuts import cut_log
from local.evaluation.data import Ranking
from local.evaluation.metrics import SLICES, Judged, Truth, coverage, gain, judge, pool, share_seen
from tests.local.evaluation import plainly
from tests.local.evaluation.logs import as_log, random_log

LOG = random_log(users=600)  # some of them with few items, some with none
CUTS = plainly.split(LOG)
EXACTLY = 1e-9


def lists_of(seed: int) -> list[dict[str, list[str]]]:
    """For each cut lists of up to 100 items, known and unknown ones among them; some users get none."""
    dice = random.Random(seed)  # noqa: S311 - no secrets
    return [
        {user: dice.sample(cut.candidates, dice.randint(0, min(100, len(cut.candidates)))) for user in cut.read}
        for cut in CUTS
    ]


def judged(lists: list[dict[str, list[str]]]) -> list[Judged]:
    truths = [truth for _, truth in cut_log(as_log(LOG))]
    return [
        judge(truth, [Ranking(user, items) for user, items in of_cut.items()])
        for truth, of_cut in zip(truths, lists, strict=True)
    ]


@pytest.mark.parametrize("name", SLICES)
def test_recall_ndcg_and_error_of_each_slice_equal_those_in_plain_python(name: str) -> None:
    lists = lists_of(1)
    plain = [plainly.slices(cut, of_cut)[name] for cut, of_cut in zip(CUTS, lists, strict=True)]
    plain = [scores for scores in plain if scores]
    figures = pool(judged(lists), name)
    assert figures is not None
    ndcg, error = plainly.mean_and_error([[ndcg for _, ndcg in scores] for scores in plain])
    assert figures.recall == pytest.approx(
        plainly.mean_and_error([[recall for recall, _ in scores] for scores in plain])[0], abs=EXACTLY
    )
    assert (figures.ndcg, figures.error) == pytest.approx((ndcg, error), abs=EXACTLY)
    assert figures.users == sum(map(len, plain)) > 0
    assert figures.ndcg > 0


def test_coverage_and_the_share_of_what_was_seen_equal_those_in_plain_python() -> None:
    lists = lists_of(2)
    plain = [plainly.shares(cut, of_cut) for cut, of_cut in zip(CUTS, lists, strict=True)]
    assert coverage(judged(lists)) == pytest.approx(sum(share for share, _ in plain) / 2, abs=EXACTLY)
    assert share_seen(judged(lists)) == pytest.approx(sum(share for _, share in plain) / 2, abs=EXACTLY)
    assert share_seen(judged(lists)) > 0


def test_the_gain_is_the_mean_of_the_differences_of_the_same_users() -> None:
    ours, others = lists_of(3), lists_of(4)
    plain = [
        [
            our[1] - other[1]
            for our, other in zip(
                plainly.slices(cut, our_lists)["warm"], plainly.slices(cut, other_lists)["warm"], strict=True
            )
        ]
        for cut, our_lists, other_lists in zip(CUTS, ours, others, strict=True)
    ]
    difference, error, users = gain(judged(ours), judged(others))
    assert (difference, error) == pytest.approx(plainly.mean_and_error(plain), abs=EXACTLY)
    assert users == sum(map(len, plain))
    assert gain(judged(ours), judged(ours))[:2] == (0.0, 0.0)


def test_a_repeated_item_counts_once_and_only_twenty_count() -> None:
    items = [f"item {n}" for n in range(30)]
    truth = Truth(
        read={"ann": {"item 1", "item 20", "item 29"}}, history={"ann": 1}, seen={}, candidates=set(items), head=set()
    )
    [scores] = judge(truth, [Ranking("ann", ["item 0", "item 0", *items[1:]])]).slices["warm"]
    assert scores[0] == pytest.approx(1 / 3)
    assert scores[1] == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3) + 1 / np.log2(4)))


def test_a_slice_without_users_has_no_figures_and_a_user_without_a_list_counts_as_an_empty_one() -> None:
    truth = Truth(read={"ann": {"a"}}, history={"ann": 9}, seen={}, candidates={"a"}, head={"a"})
    empty = judge(truth, [])
    assert [pool([empty], name) is None for name in SLICES] == [False, True, True, True]
    assert empty.slices["warm"].tolist() == [[0.0, 0.0]]
    assert (empty.coverage, empty.seen) == (0.0, 0.0)
    nobody = judge(Truth(read={}, history={}, seen={}, candidates={"a"}, head=set()), [])
    assert gain([nobody], [nobody]) == (0.0, 0.0, 0)
