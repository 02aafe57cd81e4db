import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from pgvector import Vector
from psycopg.pq import TransactionStatus

from lib.adapters import database as database_module
from lib.adapters.database import QUERIES, Connection, Database, array_literal
from lib.errors import DatabaseForbids, DatabaseRefuses, PostgresUnavailable, RecommenderError, SchemaMissing
from tests.adapters.roles import administer, limited_role
from tests.conftest import MakeDatabase, Servers
from tests.support import count_round_trips, eventually

LIBRARY = Path(database_module.__file__).parents[1]


@pytest.fixture
def url(make_database: MakeDatabase) -> str:
    """An empty database with one table of the test's own."""
    url = make_database()
    administer(url, "CREATE TABLE notes (note text)")
    return url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url, max_connections=2)
    yield database
    database.close()


def write(database: Database, note: str) -> None:
    with database.transaction() as connection:
        connection.execute("INSERT INTO notes VALUES (%s)", [note])


def notes(database: Database) -> list[str]:
    with database.transaction() as connection:
        return [note for (note,) in connection.execute("SELECT note FROM notes ORDER BY note")]


def process_id(connection: Connection) -> int:
    return connection.info.backend_pid


def test_a_transaction_is_committed_at_its_end(database: Database) -> None:
    write(database, "kept")
    assert notes(database) == ["kept"]


def test_an_error_rolls_back_and_comes_out_as_it_is(database: Database) -> None:
    def fail_after_writing() -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO notes VALUES ('lost')")
            raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        fail_after_writing()
    assert notes(database) == []


def test_the_connection_is_kept_between_transactions(database: Database) -> None:
    with database.transaction() as connection:
        first = process_id(connection)
    with database.transaction() as connection:
        assert process_id(connection) == first


def test_a_kept_connection_that_died_is_replaced_silently(database: Database, url: str) -> None:
    with database.transaction() as connection:
        died = process_id(connection)
    administer(url, f"SELECT pg_terminate_backend({died}, 5000)")
    write(database, "kept")
    with database.transaction() as connection:
        assert process_id(connection) != died
    assert notes(database) == ["kept"]


def test_a_connection_that_dies_in_a_transaction_is_said_and_the_next_one_works(database: Database, url: str) -> None:
    died = pytest.raises(PostgresUnavailable, match="doesn't answer")
    with died, database.transaction() as connection:
        administer(url, f"SELECT pg_terminate_backend({process_id(connection)}, 5000)")
        connection.execute("SELECT 1")
    write(database, "kept")
    assert notes(database) == ["kept"]


READ_NOTES = b"SELECT note FROM notes ORDER BY note"


def read_process_id(database: Database) -> int:
    [found] = database.read_texts(b"SELECT pg_backend_pid()", {})
    return int(found)


STRANGE = ["it's \\ 100 %", "%(note)s", "%(other)s", "$1", "; DROP TABLE notes", "'); --", "ü 中 🎬", "a\nb\\n", ""]


@pytest.mark.parametrize("note", STRANGE)
def test_a_read_answers_texts_as_they_are_and_keeps_its_connection(database: Database, note: str) -> None:
    write(database, note)
    given = {"note": note, "other": "' OR true --"}
    found = b"SELECT note FROM notes WHERE note = %(note)s AND note <> %(other)s"
    assert database.read_texts(found, given) == [note]
    assert database.read_texts(b"SELECT note FROM notes WHERE note = %(other)s AND note <> %(note)s", given) == []
    assert database.read_texts(b"SELECT unnest(%(texts)s::text[])", {"texts": array_literal(STRANGE)}) == STRANGE
    kept = read_process_id(database)
    with database.transaction() as connection:
        assert process_id(connection) == kept


def test_a_text_that_postgres_cannot_hold_is_refused_and_cuts_nothing_off(database: Database) -> None:
    with pytest.raises(DatabaseRefuses):
        database.read_texts(b"SELECT unnest(%(texts)s::text[])", {"texts": array_literal(["a\0b"])})


def test_a_read_leaves_no_transaction_open(database: Database) -> None:
    database.read_texts(READ_NOTES, {})
    [kept] = database._idle
    assert kept.info.transaction_status is TransactionStatus.IDLE


def test_a_read_is_one_round_trip_and_a_transaction_needs_one_to_begin_and_one_to_end(database: Database) -> None:
    read_process_id(database)
    assert count_round_trips(database, lambda: database.read_texts(READ_NOTES, {})) == 1
    assert count_round_trips(database, lambda: write(database, "kept")) == 1 + 1 + 1


def test_a_connection_that_is_to_read_vectors_needs_one_round_trip_more_and_once(
    make_database: MakeDatabase, schema_template: str
) -> None:
    with closing(Database(make_database(schema_template), max_connections=1)) as ours:

        def read_a_vector() -> None:
            with ours.transaction(vectors=True) as connection:
                assert connection.execute("SELECT '[1,2]'::vector").fetchone() == (Vector([1, 2]),)

        read_process_id(ours)
        assert [count_round_trips(ours, read_a_vector) for _ in range(2)] == [4, 3]


def test_a_read_finds_its_kept_connection_dead_and_asks_on_a_new_one(database: Database, url: str) -> None:
    write(database, "kept")
    died = read_process_id(database)
    administer(url, f"SELECT pg_terminate_backend({died}, 5000)")
    assert database.read_texts(READ_NOTES, {}) == ["kept"]
    assert read_process_id(database) != died


def test_a_read_that_takes_too_long_is_ended_by_the_server_and_not_tried_again(database: Database, url: str) -> None:
    administer(url, "CREATE SEQUENCE tries")
    kept = read_process_id(database)
    with pytest.raises(PostgresUnavailable, match="statement timeout"):
        database.read_texts(b"SELECT nextval('tries') || pg_sleep(60)::text", {}, seconds=0.1)
    assert database.read_texts(b"SELECT last_value FROM tries", {}) == ["1"]
    assert read_process_id(database) != kept, "what failed is closed"


def test_what_bounds_a_read_bounds_no_later_statement_on_its_connection(database: Database) -> None:
    database.read_texts(b"SELECT 1", {}, seconds=3)
    with database.transaction() as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("20s",)
    with psycopg.connect(database._url, autocommit=True) as another:
        [untouched] = another.execute("SHOW statement_timeout").fetchall()
    [kept] = database._idle
    assert kept.execute("SHOW statement_timeout").fetchall() == [untouched]


def test_a_read_of_what_is_not_there_says_so_and_the_next_one_works(database: Database) -> None:
    with pytest.raises(SchemaMissing, match="absent"):
        database.read_texts(b"SELECT FROM absent", {})
    with pytest.raises(psycopg.errors.SyntaxError):
        database.read_texts(b"SELEC 1", {})
    assert [database.read_texts(READ_NOTES, {}) for _ in range(3)] == [[]] * 3


def test_there_are_never_more_connections_than_allowed(database: Database) -> None:
    together = threading.Barrier(2)  # two transactions meet; with fewer connections they could not

    def meet(_: int) -> int:
        with database.transaction() as connection:
            together.wait(timeout=10)
            return process_id(connection)

    with ThreadPoolExecutor(6) as threads:
        assert len(set(threads.map(meet, range(6)))) == 2


def test_a_process_whose_connections_are_all_busy_says_so(url: str) -> None:
    database = Database(url, max_connections=1)
    with database.transaction(), pytest.raises(PostgresUnavailable, match="busy"), database.transaction(seconds=0.01):
        pass
    database.close()


def test_whoever_waits_for_a_busy_connection_waits_on_while_others_get_their_answers(url: str) -> None:
    """A queue is no outage: twenty reads one after the other take longer than each of them may."""
    with closing(Database(url, max_connections=1)) as database, ThreadPoolExecutor(20) as threads:
        wait = b"SELECT 'answered' || pg_sleep(0.05)::text"
        asked = [threads.submit(database.read_texts, wait, {}, seconds=0.4) for _ in range(20)]
        assert [each.result() for each in asked] == [["answered"]] * 20


def test_a_statement_that_takes_too_long_is_cancelled(database: Database) -> None:
    slow = pytest.raises(PostgresUnavailable, match="statement timeout")
    with slow, database.transaction(seconds=0.05) as connection:
        connection.execute("SELECT pg_sleep(60)")
    with database.transaction() as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("20s",), "the next has its own time"


def test_waiting_for_a_lock_is_bounded_too(database: Database) -> None:
    with database.transaction() as holder:
        holder.execute("LOCK TABLE notes")
        waiting = pytest.raises(PostgresUnavailable, match="statement timeout")
        with waiting, database.transaction(seconds=0.05) as connection:
            connection.execute("LOCK TABLE notes")


def test_a_process_that_is_frozen_inside_a_transaction_does_not_hold_its_locks(
    database: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "IDLE_SECONDS", 0.05)
    frozen = pytest.raises(PostgresUnavailable)
    with psycopg.connect(url, autocommit=True) as other, frozen, database.transaction() as connection:
        connection.execute("LOCK TABLE notes")
        locks = "SELECT count(*) FROM pg_locks WHERE relation = 'notes'::regclass AND granted"
        eventually(lambda: other.execute(locks).fetchone() == (0,))
        connection.execute("SELECT 1")
    write(database, "kept")


def error_of(url: str, statement: str = "SELECT 1") -> RecommenderError:
    """What a transaction with this statement ends in."""
    database = Database(url, max_connections=1)
    try:
        with pytest.raises(RecommenderError) as caught, database.transaction() as connection:
            connection.execute(statement.encode())
    finally:
        database.close()
    return caught.value


def test_a_wrong_password_is_said_without_saying_it(servers: Servers) -> None:
    error = error_of(servers.postgres.url.replace(servers.postgres.password, "wrong-secret"))
    assert isinstance(error, PostgresUnavailable)
    assert "password authentication failed" in error.message
    assert "wrong-secret" not in error.message
    assert "DATABASE_URL" in error.fix


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://ann:top-secret@127.0.0.1:9/site?pgbouncer=true", id="an option of another library"),
        pytest.param("postgresql://ann:top%zzsecret@127.0.0.1:9/site", id="an escape that is none"),
        pytest.param("postgresql://ann:top-secret@127.0.0.1:port/site", id="a port that is none"),
        pytest.param("postgresql://ann:top-secret@[127.0.0.1/site", id="a bracket that is open"),
        pytest.param("top-secret", id="no URL"),
    ],
)
def test_a_url_that_cannot_be_read_is_said_without_saying_the_password(url: str) -> None:
    error = error_of(url)
    assert isinstance(error, PostgresUnavailable)
    assert "secret" not in f"{error.message} {error.fix}"
    assert error.__cause__ is None or "secret" not in str(error.__cause__)


def test_a_server_that_is_not_there_is_said() -> None:
    error = error_of("postgresql://ann:top-secret@127.0.0.1:9/site")
    assert isinstance(error, PostgresUnavailable)
    assert "refused" in error.message
    assert "top-secret" not in error.message


@pytest.mark.parametrize("statement", ["SELECT FROM absent", "SELECT absent FROM pg_class", "SELECT absent()"])
def test_what_the_schema_lacks_is_said(servers: Servers, statement: str) -> None:
    error = error_of(servers.postgres.url, statement)
    assert isinstance(error, SchemaMissing)
    assert "absent" in error.message
    assert error.fix == "Open /api/init once."


def test_vectors_without_pgvector_are_said(database: Database) -> None:
    with pytest.raises(SchemaMissing, match="pgvector is missing"), database.transaction(vectors=True):
        pass


def test_a_read_only_database_is_said(url: str) -> None:
    administer(url, f"ALTER DATABASE {urlsplit(url).path[1:]} SET default_transaction_read_only = on")
    error = error_of(url, "INSERT INTO notes VALUES ('x')")
    assert isinstance(error, PostgresUnavailable)
    assert "read-only" in error.message


def test_a_right_that_the_role_lacks_is_said(servers: Servers) -> None:
    with limited_role(servers.postgres.url) as url:
        error = error_of(url, "SELECT FROM pg_authid")
    assert isinstance(error, DatabaseForbids)
    assert "permission denied for table pg_authid" in error.message


def test_a_defect_of_ours_is_not_taken_for_an_outage(database: Database) -> None:
    with pytest.raises(psycopg.errors.SyntaxError), database.transaction() as connection:
        connection.execute("SELEC 1")


FRAGMENTS = {
    *("counted_pairs", "delete_doomed", "first_seen", "fitting_part", "fitting_still", "hash_key", "popularity_now"),
    *("recommendable", "split", "this_shard", "user_hash"),
}


def test_every_query_is_used_and_every_used_query_exists() -> None:
    sources = "\n".join(path.read_text() for path in LIBRARY.rglob("*.py"))
    used = {name for name in QUERIES if f'QUERIES["{name}"]' in sources}
    assert used | FRAGMENTS == QUERIES.keys()
    assert sources.count("QUERIES[") == sources.count('QUERIES["')
