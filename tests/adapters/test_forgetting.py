"""The tombstones of forgotten users: what they hold, and what they keep out of the log."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from lib.adapters.action_log import (
    LogChange,
    delete_forgotten,
    forget_actions,
    insert_actions,
    lock_forgetting,
    put_forgotten,
    share_forgetting,
)
from lib.adapters.database import Connection, Database
from lib.adapters.popularity_store import delete_unpopular
from lib.adapters.schema import migrate
from lib.core.actions import Action
from lib.errors import PostgresUnavailable
from tests.conftest import MakeDatabase

COUNTED = ["view"]
MOMENT = timedelta(milliseconds=1)


def an_action(event_id: str, user_id: str, content_id: str = "a", *, at: datetime, name: str = "view") -> Action:
    return Action(event_id, user_id, content_id, name, None, at)


def insert(connection: Connection, *actions: Action) -> LogChange:
    return insert_actions(connection, actions, counted=COUNTED)


def users_in_the_log(connection: Connection) -> set[str]:
    return {user_id for (user_id,) in connection.execute("SELECT user_id FROM user_actions")}


def forgotten_at(connection: Connection) -> datetime:
    [(moment,)] = connection.execute("SELECT forgotten_at FROM recs_forgotten").fetchall()
    assert isinstance(moment, datetime)
    return moment


def test_what_happened_up_to_that_moment_stays_out_and_what_comes_after_it_goes_in(connection: Connection) -> None:
    put_forgotten(connection, "ann")
    moment = forgotten_at(connection)
    change = insert(
        connection,
        an_action("before", "ann", at=moment - MOMENT),
        an_action("then", "ann", at=moment),
        an_action("after", "ann", at=moment + MOMENT),
        an_action("another's", "bob", at=moment - MOMENT),
    )
    assert (change.events, change.forgotten, change.content_ids) == (2, 2, ["a", "a"])
    events = {event_id for (event_id,) in connection.execute("SELECT event_id FROM user_actions")}
    assert events == {"after", "another's"}


def test_the_moment_is_that_of_the_statement_not_of_the_transaction(connection: Connection) -> None:
    """A transaction may have waited for its locks meanwhile."""
    connection.execute("SELECT pg_sleep(0.02)")
    put_forgotten(connection, "ann")
    [(began,)] = connection.execute("SELECT now()").fetchall()
    assert forgotten_at(connection) >= began + timedelta(milliseconds=20)


def test_forgetting_again_moves_the_moment(connection: Connection) -> None:
    put_forgotten(connection, "ann")
    first = forgotten_at(connection)
    put_forgotten(connection, "ann")
    assert forgotten_at(connection) > first


def test_no_id_can_be_read_from_the_tables(connection: Connection) -> None:
    ids = ["annabel", 'an "id"', "o'neil", "100%s", "用户", "🙂", "\\x616e6e", "x" * 256]
    for user_id in ids:
        put_forgotten(connection, user_id)
        assert insert(connection, an_action("x", user_id, at=datetime(2024, 1, 1, tzinfo=UTC))).forgotten == 1
    hashes = [bytes(row[0]) for row in connection.execute("SELECT user_hash FROM recs_forgotten")]
    state = str(connection.execute("SELECT name, value FROM recs_state").fetchall())
    assert len(set(hashes)) == len(ids)
    assert {len(user_hash) for user_hash in hashes} == {32}
    for user_id in ids:
        assert hashlib.sha256(user_id.encode()).digest() not in hashes
        assert user_id.encode() not in b"".join(hashes)
        assert user_id not in state


@pytest.fixture
def databases(make_database: MakeDatabase) -> Iterator[list[Database]]:
    """Two, each migrated by itself."""
    made = [Database(make_database(), max_connections=1) for _ in range(2)]
    for database in made:
        migrate(database)
    yield made
    for database in made:
        database.close()


def hash_of_ann(database: Database) -> bytes:
    with database.transaction() as connection:
        put_forgotten(connection, "ann")
        [(user_hash,)] = connection.execute("SELECT user_hash FROM recs_forgotten").fetchall()
        return bytes(user_hash)


def test_two_databases_hash_the_same_id_differently_and_each_the_same_way_again(databases: list[Database]) -> None:
    first, second = databases
    assert hash_of_ann(first) != hash_of_ann(second)
    with first.transaction() as connection:
        connection.execute("UPDATE recs_state SET value = '1' WHERE name = 'schema'")
    assert migrate(first)
    assert hash_of_ann(first) == hash_of_ann(first), "a migration keeps the key"


def test_who_was_forgotten_before_then_is_forgotten_too(connection: Connection) -> None:
    put_forgotten(connection, "ann")
    moment = forgotten_at(connection)
    delete_forgotten(connection, before=moment)
    assert forgotten_at(connection) == moment
    delete_forgotten(connection, before=moment + MOMENT)
    assert insert(connection, an_action("x", "ann", at=moment)).forgotten == 0


def test_the_events_of_one_user_go_in_steps_and_each_says_what_it_took(connection: Connection) -> None:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    insert(
        connection,
        *[an_action(f"ann {number}", "ann", "a", at=at + number * MOMENT) for number in range(4)],
        an_action("hidden", "ann", "b", at=at, name="hide"),
        an_action("bob", "bob", at=at),
    )
    steps = [forget_actions(connection, user_id="ann", limit=2, counted=COUNTED) for _ in range(4)]
    assert [step.events for step in steps] == [2, 2, 1, 0]
    assert {step.forgotten for step in steps} == {0}
    assert users_in_the_log(connection) == {"bob"}


def test_only_content_that_nobodys_counted_action_is_left_of_loses_its_popularity(connection: Connection) -> None:
    for content_id, count in (("a", 0.0), ("b", 1e-9), ("c", 1.0), ("d", 0.999999), ("e", 0.0)):
        connection.execute("INSERT INTO recs_popularity VALUES (%s, 0, ARRAY[0, %s::float8])", [content_id, count])
    delete_unpopular(connection, ["a", "b", "c", "d"])
    assert [row for (row,) in connection.execute("SELECT content_id FROM recs_popularity ORDER BY 1")] == [
        "c",
        "d",
        "e",
    ]


@pytest.fixture
def database(make_database: MakeDatabase) -> Iterator[Database]:
    database = Database(make_database(), max_connections=2)
    yield database
    database.close()


def test_those_who_write_embeddings_do_not_wait_for_each_other_but_whoever_forgets_waits(database: Database) -> None:
    with database.transaction() as writer:
        share_forgetting(writer)
        with database.transaction(seconds=0.1) as other:
            share_forgetting(other)
        waits = pytest.raises(PostgresUnavailable, match="statement timeout")
        with waits, database.transaction(seconds=0.1) as forgetter:
            lock_forgetting(forgetter)
    with database.transaction(seconds=0.1) as forgetter:
        lock_forgetting(forgetter)
