from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from lib.adapters.database import Connection
from lib.adapters.embedding_store import (
    Model,
    UnfinishedModel,
    activate_model,
    add_model,
    claim_activation,
    count_actions,
    count_embeddings,
    delete_old_models,
    delete_user_embeddings,
    read_active_model,
    read_content_vectors_of,
    read_state,
    read_text_projection,
    read_unfinished_model,
    read_users_to_update,
    write_learned,
    write_state,
)
from lib.adapters.item_vectors import read_item_vectors
from lib.adapters.shard_store import Split
from lib.adapters.user_embeddings import write_user_embeddings
from lib.core.defaults import EMBEDDING_SIZE, TEXT_SIZE
from lib.core.embeddings import TextProjection, learn_text_projection

NOW = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NO_SPLIT = Split("process_user_embeddings", run=1, shard_users=1_000, begun_at=NOW)


def vectors(*firsts: float, size: int = EMBEDDING_SIZE) -> NDArray[np.float32]:
    """One vector for each number, which is its first element."""
    result = np.zeros((len(firsts), size), dtype=np.float32)
    result[:, 0] = firsts
    return result


def add(
    connection: Connection,
    content_ids: list[str],
    *,
    built_at: datetime = NOW,
    size: int = EMBEDDING_SIZE,
    projection: TextProjection | None = None,
) -> int:
    """A version whose vectors begin with 1, 2, 3, ..."""
    stored = vectors(*range(1, len(content_ids) + 1), size=size)
    return add_model(
        connection,
        content_ids=content_ids,
        vectors=stored,
        built_at=built_at,
        actions=7,
        skipped=2,
        interest_half_life_days=30.0,
        learned_map=np.eye(size),
        text_projection=projection,
    )


def known(connection: Connection, version: int, *content_ids: str) -> list[bool]:
    """Whether the version has a vector of each."""
    return [bool(vector.any()) for vector in read_item_vectors(connection, version, content_ids)]


def act(
    connection: Connection, user_id: str, content_id: str, action: str = "view", *, ago: timedelta = 0 * HOUR
) -> None:
    connection.execute(
        "INSERT INTO user_actions (event_id, user_id, content_id, action, occurred_at, received_at)"
        " VALUES (gen_random_uuid(), %s, %s, %s, %s, %s)",
        [user_id, content_id, action, NOW - ago, NOW - ago],
    )


def embed(connection: Connection, *user_ids: str, version: int = 1, now: datetime = NOW) -> None:
    embeddings = vectors(*range(len(user_ids)))
    write_user_embeddings(connection, user_ids=user_ids, embeddings=embeddings, version=version, now=now)


def users_to_update(connection: Connection, *, overlap: timedelta = HOUR / 60) -> list[str]:
    return read_users_to_update(connection, NO_SPLIT, since=NOW - 2 * HOUR, overlap=overlap, version=1)


def test_a_version_is_read_only_once_it_is_active(connection: Connection) -> None:
    assert read_active_model(connection) is None
    version = add(connection, ["a", "b"])
    assert read_active_model(connection) is None
    write_learned(connection, version, position=2.25, learned="{}")
    activate_model(connection, version)
    assert read_active_model(connection) == Model(
        version=version,
        built_at=NOW,
        actions=7,
        items=2,
        skipped=2,
        interest_half_life_days=30.0,
        position=2.25,
        learned="{}",
    )


def test_one_version_is_active_at_a_time(connection: Connection) -> None:
    first, second = add(connection, ["a"]), add(connection, ["b"])
    for version in (first, second):
        activate_model(connection, version)
    model = read_active_model(connection)
    assert model is not None
    assert model.version == second
    assert known(connection, first, "a", "b") == [True, False]
    assert known(connection, second, "a", "b") == [False, True]


def test_a_version_whose_vectors_have_another_size_counts_as_none(connection: Connection) -> None:
    activate_model(connection, add(connection, ["a"], size=3))
    assert read_active_model(connection) is None


@pytest.mark.parametrize("other", ["format - 1", "format + 1", "NULL"])
def test_a_version_of_another_releases_format_counts_as_none(connection: Connection, other: str) -> None:
    activate_model(connection, add(connection, ["a"]))
    assert read_active_model(connection) is not None
    connection.execute(f"UPDATE recs_models SET format = {other}".encode())
    assert read_active_model(connection) is None


def test_what_content_vectors_were_projected_with_is_read_as_it_was_written(connection: Connection) -> None:
    rng = np.random.default_rng(1)
    made = learn_text_projection(rng.standard_normal((90, 70)), size=TEXT_SIZE)
    found = read_text_projection(connection, add(connection, ["a"], projection=made))
    assert found is not None
    np.testing.assert_array_equal(found.centre, made.centre)
    np.testing.assert_array_equal(found.axes, made.axes)
    assert read_text_projection(connection, add(connection, ["a"])) is None
    assert read_text_projection(connection, 99) is None


def test_content_vectors_of_some_are_those_of_one_size(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO content (content_id, embedding)"
        " VALUES ('a', '[1,2,3]'), ('b', '[4,5]'), ('none', NULL), ('d', '[6,7,8]')"
    )
    found = read_content_vectors_of(connection, ["a", "b", "none", "unknown"], size=3)
    assert [(content_id, vector.tolist()) for content_id, vector in found] == [("a", [1, 2, 3])]


def test_what_is_learned_of_the_ranking_is_added_to_a_version_until_it_is_active(connection: Connection) -> None:
    assert read_unfinished_model(connection) is None
    abandoned, version = add(connection, ["a"]), add(connection, ["b"])
    assert read_unfinished_model(connection) == UnfinishedModel(version, NOW, 30.0, learned=None)
    write_learned(connection, version, position=2.25, learned='{"first": 1}')
    assert read_unfinished_model(connection) == UnfinishedModel(version, NOW, 30.0, learned='{"first": 1}')
    activate_model(connection, version)
    assert read_unfinished_model(connection) is None
    write_learned(connection, version, position=3.25, learned='{"late": 2}')
    model = read_active_model(connection)
    assert model is not None
    assert (model.version, model.position, model.learned) == (version, 2.25, '{"first": 1}')
    assert abandoned < version


def test_a_version_is_finished_once_and_after_none_that_is_later(connection: Connection) -> None:
    first, second, third = (add(connection, ["a"]) for _ in range(3))
    assert claim_activation(connection, second)
    activate_model(connection, second)
    assert [claim_activation(connection, version) for version in (first, second, third, third + 1)] == [
        False,
        False,
        True,
        False,
    ]


def test_versions_that_are_neither_active_nor_young_are_deleted(connection: Connection) -> None:
    old, active, young = (add(connection, ["a"], built_at=NOW - hours * HOUR) for hours in (3, 2, 0))
    activate_model(connection, active)
    delete_old_models(connection, before=NOW - HOUR)
    assert [known(connection, version, "a") for version in (old, active, young)] == [[False], [True], [True]]


def test_counting_ends_at_the_limit(connection: Connection) -> None:
    for _ in range(3):
        act(connection, "ann", "a")
    assert [count_actions(connection, limit=limit) for limit in (2, 3, 9)] == [2, 3, 3]


def test_users_to_update_are_those_who_acted_and_those_of_another_version_the_longest_waiting_first(
    connection: Connection,
) -> None:
    embed(connection, "long ago", now=NOW - 9 * HOUR)
    embed(connection, "lately", "idle", now=NOW - HOUR)
    embed(connection, "other version", version=7, now=NOW - 5 * HOUR)
    act(connection, "idle", "a", ago=3 * HOUR)
    for user_id in ("lately", "long ago", "new"):
        act(connection, user_id, "a")
    assert users_to_update(connection) == ["new", "long ago", "other version", "lately"]


def test_a_user_is_up_to_date_once_his_embedding_is_written_so_long_after_his_last_action_that_it_holds_it(
    connection: Connection,
) -> None:
    embed(connection, "held", "committed meanwhile", now=NOW - HOUR / 2)
    act(connection, "held", "a", ago=1.5 * HOUR)
    act(connection, "committed meanwhile", "a", ago=HOUR)
    assert users_to_update(connection, overlap=0.9 * HOUR) == ["committed meanwhile"]


def test_embeddings_are_written_replaced_and_deleted(connection: Connection) -> None:
    assert count_embeddings(connection) == (0, None)
    embed(connection, "ann", "bob", now=NOW - HOUR)
    embed(connection, "ann", version=2)
    embed(connection)
    assert count_embeddings(connection) == (2, NOW.timestamp())
    rows = connection.execute("SELECT user_id, embedding, updated_at, model_version FROM user_embeddings").fetchall()
    assert sorted((user_id, vector.to_numpy()[0], *rest) for user_id, vector, *rest in rows) == [
        ("ann", 0.0, NOW, 2),
        ("bob", 1.0, NOW - HOUR, 1),
    ]
    delete_user_embeddings(connection, ["ann", "nobody"])
    assert count_embeddings(connection) == (1, (NOW - HOUR).timestamp())


@pytest.mark.parametrize("values", [["first"], ["first", "second"]], ids=["written", "replaced"])
def test_state_is_kept_by_name(connection: Connection, values: list[str]) -> None:
    for value in values:
        write_state(connection, "name", value)
    assert read_state(connection, "name") == values[-1]
    assert read_state(connection, "another") is None
