"""Content that came after a model's building, on the axes of that model."""

from datetime import UTC, datetime

import numpy as np
import pytest
from pgvector import Vector

from lib.adapters import text_vectors as module
from lib.adapters.database import Connection
from lib.adapters.embedding_store import add_model
from lib.adapters.text_vectors import TextVectors
from lib.core.defaults import EMBEDDING_SIZE, TEXT_SIZE
from lib.core.embeddings import TextProjection, learn_text_projection

WIDTH = 70
RAW = np.random.default_rng(1).standard_normal((90, WIDTH)).astype(np.float32)
IDS = ["a", "b", "c"]


def add_version(connection: Connection, raw: np.typing.NDArray[np.float32] | None = RAW) -> int:
    projection: TextProjection | None = None if raw is None else learn_text_projection(raw, size=TEXT_SIZE)
    return add_model(
        connection,
        content_ids=[],
        vectors=np.zeros((0, EMBEDDING_SIZE), np.float32),
        built_at=datetime.now(UTC),
        actions=0,
        skipped=0,
        interest_half_life_days=30.0,
        learned_map=np.eye(EMBEDDING_SIZE),
        text_projection=projection,
    )


def put(connection: Connection, content_id: str, vector: np.typing.NDArray[np.float32] | None) -> None:
    connection.execute(
        "INSERT INTO content (content_id, embedding) VALUES (%s, %s)"
        " ON CONFLICT (content_id) DO UPDATE SET embedding = excluded.embedding",
        [content_id, None if vector is None else Vector(vector)],
    )


@pytest.fixture(autouse=True)
def content(connection: Connection) -> None:
    for content_id, vector in zip(IDS, RAW, strict=False):
        put(connection, content_id, vector)


def assert_is(found: np.typing.NDArray[np.float32], row: int, raw: np.typing.NDArray[np.float32] = RAW) -> None:
    np.testing.assert_allclose(found, learn_text_projection(raw, size=TEXT_SIZE).of(raw)[row], atol=1e-6)


def test_content_is_projected_as_the_version_was(connection: Connection) -> None:
    texts, other = TextVectors(), RAW[::-1] + np.float32(1.0)
    versions = [add_version(connection), add_version(connection, other)]
    found = texts.read(connection, versions[0], ["c", "unknown", "a"])
    assert found.keys() == {"a", "c"}
    assert_is(found["a"], 0)
    assert_is(found["c"], 2)
    projection = learn_text_projection(other, size=TEXT_SIZE)
    np.testing.assert_allclose(texts.read(connection, versions[1], ["a"])["a"], projection.of(RAW[:1])[0], atol=1e-6)


@pytest.mark.parametrize("vector", [None, np.ones(3, np.float32)], ids=["none", "of another size"])
def test_of_content_without_a_vector_of_the_size_nothing_is_said_until_it_has_one(
    connection: Connection, vector: np.typing.NDArray[np.float32] | None
) -> None:
    texts, version = TextVectors(), add_version(connection)
    put(connection, "d", vector)
    assert texts.read(connection, version, ["d"]) == {}
    put(connection, "d", RAW[7])
    assert_is(texts.read(connection, version, ["d"])["d"], 7)


def test_without_a_model_or_before_the_app_had_vectors_nothing_is_said(connection: Connection) -> None:
    texts = TextVectors()
    assert texts.read(connection, None, IDS) == {}
    assert texts.read(connection, add_version(connection, None), IDS) == {}


def test_what_was_projected_is_kept_for_its_version_within_bounds(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, version = TextVectors(), add_version(connection)
    texts.read(connection, version, ["a", "b"])
    for content_id in IDS:
        put(connection, content_id, RAW[9])
    assert_is(texts.read(connection, version, IDS)["a"], 0)
    monkeypatch.setattr(module, "MOST_KEPT", 2)
    assert_is(texts.read(connection, version, ["a"])["a"], 9)
    assert_is(texts.read(connection, add_version(connection), ["b"])["b"], 9)
