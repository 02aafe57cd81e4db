"""What the parts of a run share."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from lib.adapters import item_store
from lib.adapters.database import Connection
from lib.adapters.embedding_store import read_active_model
from lib.core.ranker.learned import learned_from_text
from lib.jobs import gathered as gathered_module
from lib.jobs.gather_items import Basis
from lib.jobs.gathered import Gathered
from lib.jobs.rank_lists import rank_lists
from tests.jobs.site import Site, action

NOW = datetime.now(UTC)
PARTS = [["ann", "bob"], ["cleo"], ["dan", "ann"]]


@pytest.fixture
def site(site: Site) -> Site:
    """A site whose model knows the half of its content; the users read some of either."""
    rng = np.random.default_rng(5)
    users = sorted({user_id for part in PARTS for user_id in part})
    for first in (0, 30):
        for number in range(first, first + 30):
            site.add_content(f"item {number}", topics=[f"topic {number % 4}"])
        site.act(*[action(user, f"item {first + item}") for user in users for item in rng.integers(0, 25, 8)])
        if first == 0:
            site.embed(now=NOW - timedelta(hours=1))
    return site


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The ids of what is read of items, read by read."""
    reads: list[tuple[str, ...]] = []
    read_items = item_store.read_items

    def read(connection: Connection, version: int | None, **wanted: Any) -> Any:
        found = read_items(connection, version, **wanted)
        reads.append(tuple(found.content_ids))
        return found

    monkeypatch.setattr(gathered_module, "read_items", read)
    return reads


def ranking(site: Site, gathered: Gathered | None, *, now: datetime = NOW) -> Any:
    """Ranks the lists of some users."""
    return lambda users, language=None: rank_lists(site.services, users, language=language, now=now, gathered=gathered)


def test_the_parts_of_a_run_read_no_item_twice_and_rank_as_each_would_alone(
    site: Site, asked: list[tuple[str, ...]]
) -> None:
    rank = ranking(site, None)
    alone = [rank(users) for users in PARTS]
    asked.clear()
    rank = ranking(site, Gathered())
    assert [rank(users) for users in PARTS] == alone
    read = [content_id for ids in asked for content_id in ids]
    assert len(read) == len(set(read)) > 50


def test_an_item_that_is_known_by_its_place_in_the_model_is_known_by_its_id(
    site: Site, asked: list[tuple[str, ...]]
) -> None:
    with site.services.database.transaction() as connection:
        items = gathered_module.GatheredItems(basis(site, connection), None, [])
        items.read(connection, site.services, content_ids=[], positions=np.array([2, 5]))
        ids = list(items.content_ids)
        items.read(connection, site.services, content_ids=[*ids, "item 50"], positions=np.array([5]))
        assert (len(ids), asked[1:]) == (2, [("item 50",)])
        assert items.numbers([*ids, "item 50", "unknown"]).tolist() == [0, 1, 2, -1]
        assert items.numbers_at(np.array([5, 2, 3, 10_000])).tolist() == [1, 0, -1, -1]


def basis(site: Site, connection: Connection) -> Basis:
    model = read_active_model(connection)
    return Basis(site.services.settings, model, learned_from_text(model.learned if model else None), NOW)


def test_what_is_of_another_time_language_or_model_is_read_anew(site: Site, asked: list[tuple[str, ...]]) -> None:
    gathered = Gathered()
    rank = ranking(site, gathered)
    rank(["ann"])
    rank(["ann"], "fi")
    rank = ranking(site, gathered, now=NOW + timedelta(hours=1))
    rank(["ann"])
    site.embed(now=NOW + timedelta(hours=13))
    rank = ranking(site, gathered, now=NOW + timedelta(hours=1))
    rank(["ann"])
    rank(["ann"])
    assert len(asked) == 4


def test_a_run_over_a_large_catalogue_forgets_what_it_has_gathered(
    site: Site, asked: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathered_module, "MOST_KEPT", 10)
    rank = ranking(site, Gathered())
    rank(["ann"])
    rank(["bob"])
    assert set(asked[0]) & set(asked[1])
