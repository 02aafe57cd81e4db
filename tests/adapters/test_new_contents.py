"""Content that nobody has met by what it says: the index finds what looking at everything finds, and nothing else."""

import json
from datetime import timedelta

import numpy as np
import pytest
from pgvector import Vector

from lib.adapters import new_contents as module
from lib.adapters.database import QUERIES, Connection
from lib.adapters.new_contents import add_new_contents, axes_of, delete_no_longer_new, read_fitting, read_missing
from lib.core.defaults import EMBEDDING_SIZE, TEXT_SIZE
from lib.core.embeddings import Vectors, learn_text_projection, unit_rows
from tests.adapters.test_catalogue import HOUR, NOW, add_content, add_popularity, at

AXES, VERSION = 7, 3
SINCE = at(NOW - 24 * HOUR)


def axis(number: int) -> Vectors:
    vector: Vectors = np.eye(TEXT_SIZE, dtype=np.float32)[number]
    return vector


def add_user(connection: Connection, user_id: str, taste: Vectors, *, version: int = VERSION) -> None:
    embedding = np.concatenate([np.ones(EMBEDDING_SIZE - TEXT_SIZE, np.float32), taste])
    values = [user_id, Vector(embedding), at(NOW), version]
    connection.execute("INSERT INTO user_embeddings VALUES (%s, %s, %s, %s)", values)


def add_new(connection: Connection, *content_ids: str, axes: int = AXES, language: str | None = None) -> None:
    """Each suits a user whose taste is the first axis less than the one before."""
    add_content(connection, *content_ids, language=language)
    vectors = [axis(0) * (1 - k / len(content_ids)) + axis(1) for k in range(len(content_ids))]
    add_new_contents(connection, axes, content_ids, unit_rows(np.array(vectors)))


def fitting(connection: Connection, *user_ids: str, by_index: bool = False, **options: object) -> dict[str, list[str]]:
    parameters = {"language": None, "n": 20} | options
    return read_fitting(connection, VERSION, AXES, user_ids, by_index=by_index, **parameters)  # type: ignore[arg-type]


@pytest.fixture
def ann(connection: Connection) -> Connection:
    add_user(connection, "ann", axis(0))
    return connection


@pytest.mark.parametrize("by_index", [True, False])
def test_what_suits_a_user_best_comes_first(ann: Connection, by_index: bool) -> None:
    add_new(ann, "a", "b", "c")
    assert fitting(ann, "ann", by_index=by_index) == {"ann": ["a", "b", "c"]}
    assert fitting(ann, "ann", by_index=by_index, n=2) == {"ann": ["a", "b"]}


@pytest.mark.parametrize("by_index", [True, False])
def test_what_has_been_met_or_withdrawn_or_is_of_other_axes_or_language_is_left_out(
    ann: Connection, by_index: bool
) -> None:
    add_new(ann, "met", "withdrawn", "gone", "good", language="en")
    add_new(ann, "turned", axes=AXES + 1, language="en")
    add_new(ann, "other", language="de")
    add_popularity(ann, "met", 1.0)
    ann.execute("UPDATE content SET available = false WHERE content_id = 'withdrawn'")
    ann.execute("DELETE FROM content WHERE content_id = 'gone'")
    assert fitting(ann, "ann", by_index=by_index, language="en") == {"ann": ["good"]}
    assert fitting(ann, "ann", by_index=by_index) == {"ann": ["other", "good"]}


def test_users_without_an_embedding_of_the_version_get_nothing(ann: Connection) -> None:
    add_new(ann, "a")
    add_user(ann, "bob", axis(0), version=VERSION - 1)
    assert fitting(ann, "ann", "bob", "cyd") == {"ann": ["a"]}


def test_by_index_the_same_is_found_as_by_looking_at_everything(connection: Connection) -> None:
    """Of texts that have topics, and whose likeness the index must tell within them."""
    rng = np.random.default_rng(5)
    topics = rng.standard_normal((20, TEXT_SIZE))
    vectors = unit_rows(topics[rng.integers(0, 20, 3_000)] + 0.8 * rng.standard_normal((3_000, TEXT_SIZE)))
    ids = [f"item {number:04}" for number in range(len(vectors))]
    add_content(connection, *ids)
    add_new_contents(connection, AXES, ids, vectors)
    users = [f"user {number}" for number in range(40)]
    for user_id in users:
        add_user(connection, user_id, vectors[rng.integers(0, 3_000, 3)].sum(axis=0))
    connection.execute("ANALYZE recs_new_contents")
    connection.execute("SET LOCAL enable_sort = off")  # a table as small as that isn't worth the index
    assert "recs_new_contents_by_taste" in plan(connection, "fitting_by_index")
    assert "recs_new_contents_by_taste" not in plan(connection, "fitting_exactly")
    found, wanted = fitting(connection, *users, by_index=True), fitting(connection, *users)
    recalls = [len({*found[user]} & {*wanted[user]}) / 20 for user in users]
    assert np.mean(recalls) >= 0.95
    exact = {user: (vectors @ vector).argsort()[::-1][:20] for user, vector in tastes(connection).items()}
    assert np.mean([len({*wanted[user]} & {ids[k] for k in exact[user]}) / 20 for user in users]) > 0.99


def plan(connection: Connection, query: str) -> str:
    parameters = {"axes": AXES, "version": VERSION, "user_ids": ["user 1"], "language": None, "looked_at": 40}
    parameters |= {"first": EMBEDDING_SIZE - TEXT_SIZE + 1, "size": TEXT_SIZE}
    return str(connection.execute(b"EXPLAIN " + QUERIES[query], parameters).fetchall())


def tastes(connection: Connection) -> dict[str, Vectors]:
    rows = connection.execute("SELECT user_id, embedding::text FROM user_embeddings").fetchall()
    return {user_id: np.array(json.loads(vector))[-TEXT_SIZE:] for user_id, vector in rows}


def test_what_comes_in_is_new_has_a_vector_of_the_size_and_is_not_there_yet(connection: Connection) -> None:
    for number, content_id in enumerate(("newest", "newer", "new", "there", "met", "withdrawn", "wide", "wordless")):
        add_content(connection, content_id, published_at=at(NOW - number * HOUR))
    add_content(connection, "old", published_at=SINCE - timedelta(seconds=1))
    connection.execute("UPDATE content SET embedding = '[1,2]' WHERE content_id <> 'wordless'")
    connection.execute("UPDATE content SET embedding = '[1,2,3]' WHERE content_id = 'wide'")
    connection.execute("UPDATE content SET available = false WHERE content_id = 'withdrawn'")
    add_popularity(connection, "met", 1.0)
    add_new_contents(connection, AXES, ["there"], axis(0)[None])
    assert read_missing(connection, size=2, since=SINCE, limit=9) == ["newest", "newer", "new"]
    assert read_missing(connection, size=2, since=SINCE, limit=2) == ["newest", "newer"]


def test_what_is_new_no_more_goes(connection: Connection) -> None:
    add_new(connection, "stays", "met", "withdrawn", "gone", "old")
    add_new(connection, "turned", axes=AXES + 1)
    add_popularity(connection, "met", 1.0)
    connection.execute("UPDATE content SET published_at = %s", [at(NOW)])
    connection.execute("UPDATE content SET available = false WHERE content_id = 'withdrawn'")
    connection.execute("DELETE FROM content WHERE content_id = 'gone'")
    connection.execute("UPDATE content SET published_at = %s WHERE content_id = 'old'", [SINCE - timedelta(hours=1)])
    delete_no_longer_new(connection, axes=AXES, since=SINCE)
    assert connection.execute("SELECT content_id FROM recs_new_contents").fetchall() == [("stays",)]


def test_axes_have_a_number_of_their_own() -> None:
    raw = np.random.default_rng(1).standard_normal((90, 70)).astype(np.float32)
    one, other = learn_text_projection(raw, size=TEXT_SIZE), learn_text_projection(raw[::2], size=TEXT_SIZE)
    assert axes_of(one) == axes_of(one) != axes_of(other)
    assert 0 <= axes_of(one) < 2**63


def test_the_table_has_room_for_vectors_of_the_texts_size(connection: Connection) -> None:
    [(kind,)] = connection.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'recs_new_contents'::regclass AND attname = 'embedding'"
    ).fetchall()
    assert kind == f"halfvec({TEXT_SIZE})"
    assert module.LOOKED_AT <= module.CANDIDATES
