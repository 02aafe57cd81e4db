"""What a model knows of items is read as it was written, and only in its own version."""

from datetime import UTC, datetime

import numpy as np
import pytest

from lib.adapters.database import Connection
from lib.adapters.embedding_store import activate_model, add_model, delete_old_models
from lib.adapters.item_store import (
    add_items,
    read_items,
    read_neighbours,
    read_new_items,
    read_reads,
)
from lib.core.defaults import CO_READ_SIZE, EMBEDDING_SIZE, HALF_LIVES_HOURS, TEXT_SIZE
from lib.core.ranker.log import make_log
from lib.core.ranker.site import Site, site_at
from lib.core.ranker.statistics import NAMES, UNMET, pack_statistics
from tests.adapters.test_catalogue import HOUR, NOW, add_action, add_content, add_popularity, at

IDS = ["a", "b", "c", "d"]  # of which nobody has met the last
CIRCLES = np.arange(4 * TEXT_SIZE, dtype=np.float32).reshape(4, TEXT_SIZE)


@pytest.fixture
def site() -> Site:
    """Three users have read a and b, one of them c too."""
    reads = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
    users, items = (np.array(column, dtype=np.intp) for column in zip(*reads, strict=True))
    times = NOW - HOUR * np.arange(len(reads), 0, -1.0)
    log = make_log(users, items, times, np.ones(len(reads)), np.ones(len(reads), bool), 3, len(IDS))
    rng = np.random.default_rng(2)
    made = [rng.standard_normal((len(IDS), size)).astype(np.float32) for size in (CO_READ_SIZE, TEXT_SIZE)]
    return site_at(log, NOW, [lambda *_, made=vectors: made for vectors in made])


def add(connection: Connection, site: Site, *, built_at: float = NOW) -> int:
    version = add_model(
        connection,
        content_ids=IDS,
        vectors=np.zeros((len(IDS), EMBEDDING_SIZE), np.float32),
        built_at=at(built_at),
        actions=7,
        skipped=0,
        interest_half_life_days=30.0,
        learned_map=np.eye(EMBEDDING_SIZE),
        text_projection=None,
    )
    add_items(connection, version, IDS, site.items, site.rows, CIRCLES)
    return version


def test_items_are_read_as_they_were_written(connection: Connection, site: Site) -> None:
    version = add(connection, site)
    items = read_items(connection, version, content_ids=IDS)
    assert (items.content_ids, items.positions.tolist()) == (IDS, [0, 1, 2, 3])
    np.testing.assert_array_equal(items.circles, CIRCLES)
    np.testing.assert_array_equal(items.statistics, pack_statistics(site.items))
    np.testing.assert_array_equal(items.vectors, np.concatenate(site.items.vectors, axis=1))
    assert items.is_met.tolist() == [True, True, True, False]


def test_neighbours_are_read_as_they_were_written(connection: Connection, site: Site) -> None:
    version = add(connection, site)
    found = read_neighbours(connection, version, ["a", "c", "d", "unknown"])
    assert sorted(found.content_ids) == ["a", "c", "d"]
    for index, content_id in enumerate(found.content_ids):
        number = IDS.index(content_id)
        row, wanted = (
            slice(rows.starts[k], rows.starts[k + 1]) for rows, k in ((found.rows, index), (site.rows, number))
        )
        assert found.idf[index] == pack_statistics(site.items)[number, NAMES.index("idf")]
        np.testing.assert_array_equal(found.rows.items[row], site.rows.items[wanted])
        np.testing.assert_array_equal(found.rows.values[row], site.rows.values[wanted])
    lengths = dict(zip(found.content_ids, np.diff(found.rows.starts).tolist(), strict=True))
    assert (lengths["a"], lengths["d"]) == (2, 0)


def test_items_are_found_by_id_and_by_position_once_each(connection: Connection, site: Site) -> None:
    version = add(connection, site)
    found = read_items(connection, version, content_ids=["a", "z"], positions=[2, 0])
    assert (found.content_ids, found.positions.tolist()) == (["a", "c", "z"], [0, 2, -1])
    np.testing.assert_array_equal(found.statistics[2], UNMET)
    assert not found.vectors[2].any()
    assert not found.circles[2].any()
    assert not found.is_met[2]


def test_an_item_has_its_popularity_and_whether_it_may_be_shown(connection: Connection) -> None:
    add_content(connection, "a", language="en")
    add_content(connection, "b", available=False)
    add_popularity(connection, "a", 3.0, as_of=NOW - HOUR)
    found = read_items(connection, None, content_ids=["a", "b", "gone"])
    assert found.content_ids == ["a", "b", "gone"]
    assert found.as_of.tolist() == [NOW - HOUR, -np.inf, -np.inf]
    assert found.sums.tolist() == [[3.0] * len(HALF_LIVES_HOURS), *[[0.0] * len(HALF_LIVES_HOURS)] * 2]
    assert found.available.tolist() == [True, False, False]
    for language, available in (("en", True), ("de", False)):
        assert read_items(connection, None, content_ids=["a"], language=language).available.tolist() == [available]


def test_a_version_knows_nothing_of_another_ones_items(connection: Connection, site: Site) -> None:
    version = add(connection, site)
    for other in (None, version + 1):
        assert read_items(connection, other, content_ids=["a"], positions=[1]).positions.tolist() == [-1]
    assert read_neighbours(connection, version + 1, ["a"]).content_ids == []


def test_items_go_with_their_version(connection: Connection, site: Site) -> None:
    old, active, young = (add(connection, site, built_at=NOW - hours * HOUR) for hours in (3, 2, 0))
    activate_model(connection, active)
    delete_old_models(connection, before=at(NOW - HOUR))
    counts = dict(connection.execute("SELECT version, count(*) FROM recs_items GROUP BY version").fetchall())
    assert counts == {active: len(IDS), young: len(IDS)}
    assert old not in counts


def test_reads_are_everything_acted_on_with_the_first_time_that_counts(connection: Connection) -> None:
    add_action(connection, "ann", "a", "hide", occurred_at=NOW - 5 * HOUR)
    for hours, action in ((4, "view"), (3, "like"), (2, "hide")):
        add_action(connection, "ann", "a", action, occurred_at=NOW - hours * HOUR)
    add_action(connection, "ann", "b", "skip")
    add_action(connection, "bob", "a")
    add_action(connection, "cleo", "a")
    found = read_reads(connection, ["ann", "bob", "nobody"], counted=["view", "like"])
    assert set(found) == {("ann", "a", NOW - 4 * HOUR), ("ann", "b", None), ("bob", "a", NOW)}
    assert len(found) == 3


def test_new_items_are_those_of_the_log_since_then(connection: Connection) -> None:
    add_action(connection, "ann", "a", occurred_at=NOW - 9 * HOUR, received_at=NOW - HOUR)
    add_action(connection, "bob", "a", "hide")
    add_action(connection, "bob", "a", "like", occurred_at=NOW - 5 * HOUR)
    add_action(connection, "bob", "other")
    found = read_new_items(connection, ["a", "unknown"], since=datetime.fromtimestamp(NOW - 2 * HOUR, UTC))
    assert found.keys() == {"a"}
    first, last, actions = found["a"]
    assert (first, last, sorted(actions)) == (NOW - 9 * HOUR, NOW, ["hide", "view"])
