from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from lib.adapters import item_vectors
from lib.adapters.database import Connection
from lib.adapters.embedding_store import add_model
from lib.adapters.item_vectors import ItemVectors, read_item_vectors
from lib.core.defaults import EMBEDDING_SIZE

CONTENT_IDS = [f"item {number}" for number in range(7)]
STORED = np.random.default_rng(1).standard_normal((len(CONTENT_IDS), EMBEDDING_SIZE), dtype=np.float32)
ABSENT = np.zeros(EMBEDDING_SIZE, np.float32)


@pytest.fixture
def version(connection: Connection) -> int:
    return add_model(
        connection,
        content_ids=CONTENT_IDS,
        vectors=STORED,
        built_at=datetime(2030, 1, 1, tzinfo=UTC),
        actions=7,
        skipped=0,
        interest_half_life_days=30.0,
        learned_map=np.eye(EMBEDDING_SIZE),
        text_projection=None,
    )


def looked_up(connection: Connection, items: ItemVectors, *content_ids: str) -> NDArray[np.float32]:
    rows, vectors = items.of(connection, content_ids)
    return vectors[rows]


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_vectors_are_read_as_they_were_written_and_the_unknown_are_zero(
    connection: Connection, version: int, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(item_vectors, "_ITEMS_AT_ONCE", at_once)
    found = read_item_vectors(connection, version, ["item 3", "unknown", "item 0", 'it\'s \\ "odd"', "item 6"])
    np.testing.assert_array_equal(found, [STORED[3], ABSENT, STORED[0], ABSENT, STORED[6]])
    assert found.dtype == np.float32


def test_another_version_knows_none_of_them(connection: Connection, version: int) -> None:
    assert not read_item_vectors(connection, version + 1, CONTENT_IDS).any()
    assert read_item_vectors(connection, version, []).shape == (0, EMBEDDING_SIZE)


def test_each_is_fetched_once_and_the_unknown_too(
    connection: Connection, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = list[str]()

    def read(connection: Connection, version: int, content_ids: list[str]) -> NDArray[np.float32]:
        fetched.extend(content_ids)
        return read_item_vectors(connection, version, content_ids)

    monkeypatch.setattr(item_vectors, "read_item_vectors", read)
    items = ItemVectors(version)
    for wanted in (["item 1", "unknown", "item 1"], ["unknown", "item 2", "item 1"], [], ["item 1"]):
        expected = [ABSENT if name == "unknown" else STORED[int(name[-1])] for name in wanted]
        np.testing.assert_array_equal(
            looked_up(connection, items, *wanted), np.array(expected).reshape(-1, EMBEDDING_SIZE)
        )
    assert fetched == ["item 1", "unknown", "item 2"]


def test_no_more_are_kept_than_may_be_beside_what_one_call_asks_for(connection: Connection, version: int) -> None:
    items = ItemVectors(version, most=3)
    for start in range(5):
        wanted = CONTENT_IDS[start : start + 3]
        rows, vectors = items.of(connection, wanted)
        np.testing.assert_array_equal(vectors[rows], STORED[start : start + 3])
        assert len(vectors) <= 3 + 3


def test_after_a_failed_fetch_the_next_one_gets_what_that_lacked(
    connection: Connection, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise ConnectionError

    items = ItemVectors(version)
    with monkeypatch.context() as broken:
        broken.setattr(item_vectors, "read_item_vectors", failing)
        with pytest.raises(ConnectionError):
            items.of(connection, ["item 1", "item 2"])
    np.testing.assert_array_equal(looked_up(connection, items, "item 2", "item 4"), STORED[[2, 4]])
