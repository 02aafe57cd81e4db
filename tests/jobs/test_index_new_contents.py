"""Of a large catalogue everybody gets what suits him of all that nobody has met."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pgvector import Vector

from lib.adapters import text_vectors as vectors_module
from lib.adapters.database import Connection
from lib.adapters.embedding_store import read_active_model, read_text_projection
from lib.adapters.new_contents import axes_of, count_new_contents
from lib.adapters.services import Services
from lib.core import exploration
from lib.jobs import gather_training as gather_module
from lib.jobs import index_new_contents as index_module
from lib.jobs.index_new_contents import index_new_contents
from lib.jobs.refresh_cold_start import refresh_cold_start
from lib.jobs.run import Deadline
from tests.jobs.site import Site, action

NOW = datetime.now(UTC)
KINDS = 2


@pytest.fixture
def large(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Of two kinds of content, which have readers of their own, some hundred that nobody has met: the newest are all of
    the first kind, and only some of them are candidates for everybody."""
    monkeypatch.setattr(vectors_module, "MOST_NEW", 10)
    monkeypatch.setattr(exploration, "MOST_NEW", 10)
    rng = np.random.default_rng(2)
    for number in range(160):
        kind = number % KINDS if number < 120 else 0
        vector = rng.standard_normal(8) + 5 * np.eye(8)[kind]
        published = NOW - timedelta(days=3 + (160 - number) / 10)
        site.add_content(f"item {number:03}", embedding=Vector(vector), published_at=published)
    for user in range(30):
        kind = user % KINDS
        items = KINDS * rng.choice(10, 6, replace=False) + kind
        site.act(*[action(f"user {user}", f"item {item:03}", days_ago=float(k)) for k, item in enumerate(items)])
    site.embed()
    index(site)
    return site


def unmet(ids: list[str]) -> list[int]:
    return [number for number in (int(id_.split()[1]) for id_ in ids) if number >= 20]


def table(site: Site) -> set[str]:
    return {content_id for (content_id,) in site.query("SELECT content_id FROM recs_new_contents")}


def test_what_suits_a_user_is_in_his_list_though_others_are_newer(large: Site) -> None:
    found = unmet(large.ids("user 1"))
    assert found[0] % KINDS == 1  # of his kind, and none of the newest
    assert {number for number in found if number < 150}
    assert set(range(150, 160)) <= {*found}  # the newest are there as well


def test_all_that_nobody_has_met_comes_in_and_goes_when_it_is_met(large: Site) -> None:
    assert table(large) == {f"item {number:03}" for number in range(160)} - met(large)
    large.act(action("ann", "item 155"))
    index(large)
    assert "item 155" not in table(large)
    assert count(large) == len(table(large))


def met(site: Site) -> set[str]:
    return {content_id for (content_id,) in site.query("SELECT content_id FROM recs_popularity")}


def index(site: Site, *, seconds: float = 60.0, now: datetime = NOW) -> int:
    return index_new_contents(site.services, now, Deadline.after(seconds))


def count(site: Site) -> int:
    return int(in_transaction(site.services, count_new_contents))


def in_transaction(services: Services, read: Callable[[Connection], Any]) -> Any:
    with services.database.transaction() as connection:
        return read(connection)


def test_what_there_is_no_time_for_comes_in_later_the_newest_first(
    large: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "CHUNK", 30)
    everything = table(large)
    large.query("DELETE FROM recs_new_contents")
    index(large, seconds=0)
    assert table(large) == {f"item {number:03}" for number in range(130, 160)}
    index(large)
    assert table(large) == everything


def test_the_refresh_does_it(large: Site) -> None:
    everything = table(large)
    large.query("DELETE FROM recs_new_contents")
    assert refresh_cold_start(large.services, NOW, Deadline.after(60))["indexed"] == len(everything)
    assert table(large) == everything


def test_without_a_model_there_is_nothing_to_index(site: Site) -> None:
    site.add_content("a", embedding=Vector([1.0, 2.0]))
    assert index(site) == 0


def test_the_next_model_lies_on_the_same_axes_until_content_says_something_else(large: Site) -> None:
    before = axes(large)
    later = NOW + timedelta(days=1)
    large.embed(now=later)
    assert axes(large) == before
    for number in range(160):
        vector = Vector(np.random.default_rng(number).standard_normal(8) - 2)
        large.query("UPDATE content SET embedding = %s WHERE content_id = %s", vector, f"item {number:03}")
    large.embed(now=later + timedelta(days=1))
    assert axes(large) != before
    index(large)
    assert {axes for (axes,) in large.query("SELECT axes FROM recs_new_contents")} == {axes(large)}


def axes(site: Site) -> int:
    def read(connection: Connection) -> int:
        model = read_active_model(connection)
        projection = read_text_projection(connection, model.version) if model else None
        assert projection is not None
        return axes_of(projection)

    return int(in_transaction(site.services, read))


def test_of_a_large_catalogue_a_model_knows_what_is_read_most_and_the_newest(
    large: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather_module, "MOST_ITEMS", 25)
    monkeypatch.setattr(gather_module, "MOST_READ", 15)
    large.act(*[action(f"user {user}", "item 100") for user in range(20)])
    large.embed(now=NOW + timedelta(days=1))
    known = {
        int(id_.split()[1])
        for (id_,) in large.query(
            "SELECT content_id FROM recs_items WHERE version = (SELECT max(version) FROM recs_models)"
        )
    }
    assert len(known) == 25
    assert 100 in known
    assert set(range(150, 160)) <= known
    assert large.ids("user 1")
