import dataclasses
from typing import Any

import pytest

from lib.settings import Settings
from local.evaluation.cuts import cut_log
from local.evaluation.production import rank_cut
from tests.local.evaluation.logs import as_log, random_log, site_of_tastes
from tests.local.evaluation.plainly import Act

SETTINGS = Settings()


@pytest.mark.parametrize(
    ("changed", "alone"),
    [({"popularity_half_life_hours": 3.0}, False), ({"interest_half_life_days": 0.1}, True)],
    ids=["popularity_half_life_hours", "interest_half_life_days"],
)
def test_lists_follow_the_sites_own_settings(changed: dict[str, Any], alone: bool) -> None:
    too_few_for_a_ranker = random_log(users=6)  # which finds out by itself how much popularity counts
    cut, _ = next(iter(cut_log(as_log(too_few_for_a_ranker))))
    as_usual = list(rank_cut(cut, None, alone=alone, settings=SETTINGS))
    assert as_usual == list(rank_cut(cut, None, alone=alone))
    assert as_usual != list(rank_cut(cut, None, alone=alone, settings=dataclasses.replace(SETTINGS, **changed)))


def test_who_has_turned_to_another_kind_gets_that_kind() -> None:
    acts = site_of_tastes()
    first, last = min(act.at for act in acts), max(act.at for act in acts)
    turned = [
        *[Act("ann", f"kind 0 item {n}", first + n, 0.6) for n in range(5)],
        *[Act("ann", f"kind 1 item {n}", first + 0.75 * (last - first) + n, 0.6) for n in range(5)],
        *[Act("ann", f"kind {n % 2} item 39", last + n, 0.6) for n in range(2)],  # which has her ranked for
    ]
    cut = [cut for cut, _ in cut_log(as_log([*acts, *turned]))][-1]
    [ranking] = [ranking for ranking in rank_cut(cut, None, alone=True) if ranking.user_id == "ann"]
    assert all(item.startswith("kind 1 ") for item in ranking.items[:10])


def test_no_topic_fills_a_list_that_has_anything_else() -> None:
    """What everybody reads is of one topic, and the rest of the site is of thirty."""
    acts = random_log()
    items = sorted({act.item for act in acts})
    topics = {item: frozenset({"war" if number % 3 else f"topic {number}"}) for number, item in enumerate(items)}
    cut, _ = next(iter(cut_log(as_log(acts, topics=topics))))
    limited, free = (
        [
            sum("war" in topics[item] for item in ranking.items[:20])
            for ranking in rank_cut(cut, None, alone=False, settings=dataclasses.replace(SETTINGS, topic_share=share))
        ]
        for share in (0.1, 1.0)
    )
    assert max(limited) <= 15 < max(free)  # two thirds of what there is, and one that a discovery may add
