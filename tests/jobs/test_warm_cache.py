from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from pgvector import Vector

from lib.jobs import warm_cache as warm_module
from lib.jobs.rank_lists import rank_lists
from lib.jobs.run import Deadline, Summary
from lib.jobs.warm_cache import warm_cache
from tests.jobs.site import Site, action
from tests.support import after

USERS = [f"user {number}" for number in range(12)]
ACTIONS = ["view", "view", "view", "like", "skip", "hide"]


def warm(site: Site, *, now: datetime | None = None, seconds: float = 60.0) -> Summary:
    return warm_cache(site.services, now or datetime.now(UTC), Deadline.after(seconds))


@pytest.fixture
def busy(site: Site) -> Site:
    """A site with more content than the pool of candidates, and users of all kinds; a tenth of it is not available."""
    rng = np.random.default_rng(3)
    for number in range(300):
        vector = Vector(rng.standard_normal(16)) if number % 7 else None
        site.add_content(f"item {number}", embedding=vector, available=number % 10 > 0)
    site.act(
        *[
            action(user, f"item {int(item)}", str(rng.choice(ACTIONS)), days_ago=float(rng.exponential(2.0)))
            for position, user in enumerate(USERS)
            for item in 300 * rng.random(1 + 3 * position) ** 2
        ],
        action("reader of the deleted", "deleted"),
    )
    site.embed()
    return site


def test_the_warmed_lists_are_those_that_would_be_computed_at_the_same_moment(
    busy: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_module, "CHUNK", 5)
    now = datetime.now(UTC)
    users = [*USERS, "reader of the deleted"]
    computed = {user_id: busy.recommend(user_id, now=now) for user_id in users}
    busy.services.cache.invalidate(users)
    assert warm(busy, now=now) == {"users_warmed": 13, "users_left": 0}
    for user_id in users:
        warmed = busy.recommend(user_id, now=now)
        assert (computed[user_id]["source"], warmed["source"]) == ("computed", "cache")
        assert warmed["generated_at"] == computed[user_id]["generated_at"]
        ids, scores = ids_and_scores(warmed)
        computed_ids, computed_scores = ids_and_scores(computed[user_id])
        assert ids == computed_ids
        assert len(ids) == 100
        np.testing.assert_allclose(scores, computed_scores, atol=1e-4)


def ids_and_scores(document: dict[str, Any]) -> tuple[list[str], list[float]]:
    items = document["items"]
    return [item["content_id"] for item in items], [item["score"] for item in items]


def test_only_users_who_acted_lately_are_warmed(site: Site) -> None:
    site.act(action("ann", "a"), action("bob", "b", days_ago=8), action("cleo", "c", days_ago=6))
    assert warm(site)["users_warmed"] == 2
    assert site.cached(["ann", "bob", "cleo", "stranger"]) == {"ann", "cleo"}


def test_warmed_lists_hold_nothing_that_the_user_acted_on(site: Site) -> None:
    site.act(*[action("ann", content_id) for content_id in "ab"], action("bob", "c"), action("ann", "c", "hide"))
    warm(site)
    assert (site.ids("ann"), sorted(site.ids("bob"))) == ([], ["a", "b"])


def test_warmed_lists_have_a_time_to_live(site: Site) -> None:
    site.act(action("ann", "a"))
    warm(site)
    assert 7_100 < site.redis.execute("TTL", "recommend:user:ann") <= 7_200


def test_a_list_of_a_user_who_acts_while_it_is_computed_is_not_stored(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.act(action("ann", "a"), action("bob", "b"), action("cleo", "c"))
    acts = after(rank_lists, lambda: site.act(action("ann", "b")))
    monkeypatch.setattr(warm_module, "rank_lists", acts)
    assert warm(site)["users_warmed"] == 2
    assert site.cached(["ann", "bob", "cleo"]) == {"bob", "cleo"}
    assert site.ids("ann") == ["c"]


def test_a_run_whose_time_is_spent_has_warmed_the_users_who_acted_last(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_module, "CHUNK", 2)
    site.act(*[action(user, "a", days_ago=number) for number, user in enumerate(USERS[:5])])
    summary = warm(site, seconds=0)
    assert (summary["users_warmed"], summary["users_left"]) == (2, 3)
    assert site.cached(USERS) == {"user 0", "user 1"}


def test_a_site_without_users_is_no_work(site: Site) -> None:
    assert warm(site) == {"users_warmed": 0, "users_left": 0}
