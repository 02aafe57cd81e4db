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
    sums_of,
)
from lib.core.defaults import EMBEDDING_SIZE, HALF_LIVES_HOURS
from lib.core.ranker.log import make_log
from lib.core.ranker.site import Site, site_at
from lib.core.ranker.statistics import NAMES, pack_statistics
from tests.adapters.test_catalogue import HOUR, NOW, add_action, add_content, add_popularity, at

IDS = ["a", "b", "c", "d"]  # of which nobody has met the last
CIRCLES = np.arange(8, dtype=np.float32).reshape(4, 2)


@pytest.fixture
def site() -> Site:
    """Three users have read a and b, one of them c too."""
    reads = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
    users, items = (np.array(column, dtype=np.intp) for column in zip(*reads, strict=True))
    times = NOW - HOUR * np.arange(len(reads), 0, -1.0)
    log = make_log(users, items, times, np.ones(len(reads)), np.ones(len(reads), bool), 3, len(IDS))
    rng = np.random.default_rng(2)
    made = [rng.standard_normal((len(IDS), size)).astype(np.float32) for size in (3, 2)]
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
    assert [(item.content_id, item.position) for item in items] == [("a", 0), ("b", 1), ("c", 2), ("d", 3)]
    statistics = pack_statistics(site.items)
    for item, wanted, circle, *vectors in zip(items, statistics, CIRCLES, *site.items.vectors, strict=True):
        assert item.statistics is not None
        assert item.vectors is not None
        assert item.circle is not None
        np.testing.assert_array_equal(item.circle, circle)
        np.testing.assert_array_equal(item.statistics, wanted)
        np.testing.assert_array_equal(item.vectors, np.concatenate(vectors))
    assert [item.is_met for item in items] == [True, True, True, False]


def test_neighbours_are_read_as_they_were_written(connection: Connection, site: Site) -> None:
    version = add(connection, site)
    found = read_neighbours(connection, version, ["a", "c", "d", "unknown"])
    assert found.keys() == {"a", "c", "d"}
    for content_id, neighbours in found.items():
        number = IDS.index(content_id)
        row = slice(site.rows.starts[number], site.rows.starts[number + 1])
        assert neighbours.idf == pack_statistics(site.items)[number, NAMES.index("idf")]
        np.testing.assert_array_equal(neighbours.positions, site.rows.items[row])
        np.testing.assert_array_equal(neighbours.values, site.rows.values[row])
    assert len(found["a"].positions) == 2
    assert len(found["d"].positions) == 0


def test_items_are_found_by_id_and_by_position_once_each(connection: Connection, site: Site) -> None:
    version = add(connection, site)
    found = read_items(connection, version, content_ids=["a", "z"], positions=[2, 0])
    assert [(item.content_id, item.position) for item in found] == [("a", 0), ("c", 2), ("z", None)]
    assert (found[2].statistics, found[2].vectors, found[2].circle, found[2].is_met) == (None, None, None, False)


def test_an_item_has_its_popularity_and_whether_it_may_be_shown(connection: Connection) -> None:
    add_content(connection, "a", language="en")
    add_content(connection, "b", available=False)
    add_popularity(connection, "a", 3.0, as_of=NOW - HOUR)
    found = {item.content_id: item for item in read_items(connection, None, content_ids=["a", "b", "gone"])}
    assert (found["a"].as_of, sums_of(found["a"]).tolist()) == (NOW - HOUR, [3.0] * len(HALF_LIVES_HOURS))
    assert (found["b"].as_of, sums_of(found["b"]).tolist()) == (None, [0.0] * len(HALF_LIVES_HOURS))
    assert {content_id: item.available for content_id, item in found.items()} == {"a": True, "b": False, "gone": False}
    for language, available in (("en", True), ("de", False)):
        assert [item.available for item in read_items(connection, None, content_ids=["a"], language=language)] == [
            available
        ]


def test_a_version_knows_nothing_of_another_ones_items(connection: Connection, site: Site) -> None:
    version = add(connection, site)
    for other in (None, version + 1):
        assert [item.position for item in read_items(connection, other, content_ids=["a"], positions=[1])] == [None]
    assert read_neighbours(connection, version + 1, ["a"]) == {}


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
