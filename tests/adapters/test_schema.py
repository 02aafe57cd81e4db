import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import ANY
from urllib.parse import urlsplit

import pytest

from lib.adapters.database import Database
from lib.adapters.embedding_store import read_active_model
from lib.adapters.schema import SCHEMA_SQL, column_problems, grants, is_current, migrate, server_versions
from lib.core.defaults import EMBEDDING_SIZE
from lib.errors import DatabaseForbids, PostgresUnavailable
from tests.adapters.roles import administer, limited_role
from tests.conftest import MakeDatabase, Servers


@pytest.fixture
def url(make_database: MakeDatabase) -> str:
    """A database without our schema."""
    return make_database()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url, max_connections=2)
    yield database
    database.close()


def problems_of(database: Database) -> Sequence[tuple[str, str]]:
    with database.transaction() as connection:
        return column_problems(connection)


def test_an_empty_database_is_brought_up_to_date_once(database: Database) -> None:
    with database.transaction() as connection:
        assert not is_current(connection)
    assert [migrate(database), migrate(database)] == [True, False]
    with database.transaction() as connection:
        assert is_current(connection)
        assert server_versions(connection)[1]
    assert problems_of(database) == []


def test_what_an_earlier_migration_left_is_kept_when_it_runs_again(database: Database, url: str) -> None:
    migrate(database)
    administer(url, "INSERT INTO content (content_id) VALUES ('a'); UPDATE recs_state SET value = '0'")
    assert migrate(database)
    with database.transaction() as connection:
        assert connection.execute("SELECT content_id, available, topics FROM content").fetchall() == [("a", True, [])]


def test_the_second_schema_is_migrated_and_keeps_what_it_holds(database: Database, url: str) -> None:
    administer(url, (Path(__file__).parent / "schema_2.sql").read_text())
    administer(
        url,
        f"""
        INSERT INTO user_actions VALUES ('e', 'ann', 'a', 'view', NULL, now(), now());
        INSERT INTO content (content_id, embedding) VALUES ('a', '[1,2]');
        INSERT INTO recs_popularity VALUES ('a', 0, ARRAY[1, 2, 3, 4, 5, 6, 7]);
        INSERT INTO recs_models (built_at, active, size, actions, items, skipped)
            VALUES (now(), true, {EMBEDDING_SIZE}, 7, 1, 0);
        INSERT INTO recs_item_vectors VALUES (1, 'a', '[3,4]');
        INSERT INTO user_embeddings VALUES ('ann', '[3,4]', now(), 1);
        """,
    )
    popularity = "(SELECT content_id, as_of, sums FROM recs_popularity)"
    tables = ("user_actions", "content", popularity, "recs_item_vectors", "user_embeddings", "recs_forgotten")
    before = [contents_of(database, table) for table in tables]
    [key] = contents_of(database, "recs_state WHERE name = 'hash_key'")
    assert migrate(database)
    assert not migrate(database)
    assert [contents_of(database, table) for table in tables] == before
    assert contents_of(database, "recs_state WHERE name = 'hash_key'") == [key]
    with database.transaction() as connection:
        assert is_current(connection)
        assert read_active_model(connection) is None  # until it is built anew
    assert [row[:3] for row in contents_of(database, "recs_models")] == [(1, ANY, True)]
    assert contents_of(database, "recs_items") == []
    assert problems_of(database) == []
    indexes = {row[2] for row in contents_of(database, "pg_indexes WHERE tablename = 'user_actions'")}
    assert indexes == {"user_actions_pkey", "user_actions_histories", "user_actions_by_receipt"}


def test_the_third_schema_is_migrated_and_keeps_its_rows_for_a_release_that_reads_them(
    database: Database, url: str
) -> None:
    migrate(database)
    administer(
        url,
        f"""
        ALTER TABLE recs_models DROP COLUMN format, DROP COLUMN text_projection;
        ALTER TABLE recs_items DROP COLUMN circle;
        UPDATE recs_state SET value = '3' WHERE name = 'schema';
        INSERT INTO recs_models (built_at, active, size, actions, items, skipped, half_life_position, learned)
            VALUES (now(), true, {EMBEDDING_SIZE}, 7, 1, 0, 2.5, '{{}}');
        INSERT INTO recs_items VALUES (1, 0, 'a', ARRAY[1], 'v', 'n', 'm');
        """,
    )
    assert migrate(database)
    with database.transaction() as connection:
        assert is_current(connection)
        assert read_active_model(connection) is None
    assert contents_of(database, "recs_items") == [(1, 0, "a", [1.0], b"v", b"n", b"m", None)]


def contents_of(database: Database, table: str) -> list[tuple[Any, ...]]:
    with database.transaction() as connection:
        return connection.execute(f"SELECT * FROM {table}".encode()).fetchall()


def test_migrations_at_once_take_turns(url: str) -> None:
    databases = [Database(url, max_connections=1) for _ in range(4)]
    with ThreadPoolExecutor() as threads:
        outcomes = list(threads.map(migrate, databases))
    assert True in outcomes
    assert problems_of(databases[0]) == []
    for database in databases:
        database.close()


def test_all_relations_are_missing_before_the_first_migration(database: Database) -> None:
    missing = "it is missing"
    assert problems_of(database) == [("content", missing), ("user_actions", missing), ("user_embeddings", missing)]


def test_content_may_be_a_view_over_the_apps_own_table(database: Database, url: str) -> None:
    administer(
        url,
        """
        CREATE EXTENSION vector;
        CREATE TABLE posts (id bigint PRIMARY KEY, vec vector(3), tags varchar(20)[], live boolean, at timestamptz);
        CREATE VIEW content AS SELECT id::text AS content_id, vec AS embedding, tags AS topics, live AS available,
                                      'en'::varchar AS language, at AS published_at, at AS updated_at FROM posts;
        """,
    )
    assert migrate(database)
    assert problems_of(database) == []


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        pytest.param(
            "CREATE TABLE content (content_id text, title text)",
            "it has no column embedding; it has no column topics; it has no column language; "
            "it has no column published_at; it has no column available; it has no column updated_at",
            id="a table of the app's own",
        ),
        pytest.param(
            """CREATE VIEW content AS SELECT 1 AS content_id, '{1}'::real[] AS embedding, '{}'::text[] AS topics,
               'en' AS language, now()::timestamp AS published_at, true AS available, now() AS updated_at""",
            "content_id is integer; embedding is real[]; published_at is timestamp without time zone",
            id="a view with other types",
        ),
    ],
)
def test_content_of_a_wrong_shape_is_said_column_by_column(
    database: Database, url: str, definition: str, problem: str
) -> None:
    administer(url, definition)
    migrate(database)
    assert problems_of(database) == [("content", problem)]


def test_a_role_that_may_make_no_tables_is_told(url: str) -> None:
    with limited_role(url) as limited_url:
        database = Database(limited_url, max_connections=1)
        with pytest.raises(DatabaseForbids, match="permission denied"):
            migrate(database)
        database.close()


def test_with_the_grants_a_role_may_use_the_tables_of_an_owner(database: Database, url: str) -> None:
    migrate(database)
    with limited_role(url) as limited_url:
        limited = Database(limited_url, max_connections=1)
        with limited.transaction() as connection:
            administer(url, grants(connection))
        assert migrate(limited) is False
        assert problems_of(limited) == []
        with limited.transaction() as connection:
            for table in re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", SCHEMA_SQL):
                connection.execute(f"SELECT FROM {table}".encode())
        limited.close()


def test_a_postgres_without_pgvector_is_said(servers: Servers, database: Database, url: str) -> None:
    no_extensions = servers.postgres.data / "no-extensions"
    administer(url, f"ALTER DATABASE {urlsplit(url).path[1:]} SET extension_control_path = '{no_extensions}'")
    with pytest.raises(PostgresUnavailable, match='lacks something: extension "vector" is not available') as caught:
        migrate(database)
    assert "pgvector" in caught.value.fix
    with database.transaction() as connection:
        assert server_versions(connection)[1:] == (None, None)
        assert not is_current(connection)


def test_a_database_that_only_lacks_the_extension_says_which_one_could_be_installed(database: Database) -> None:
    with database.transaction() as connection:
        version, installed, available = server_versions(connection)
    assert version
    assert installed is None
    assert available
