"""No request waits longer than it has time: the limit itself, and Postgres under it (HTTP: test_bounded_http.py)."""

import contextvars
import math
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest

from lib.adapters.database import Database
from lib.errors import OutOfTime, PostgresUnavailable, ServiceUnavailable
from lib.time_limit import seconds_left, time_limit
from tests.conftest import MakeDatabase
from tests.support import eventually

MARGIN_SECONDS = 1.0  # by which a busy machine may be late; what hangs is later by far


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What runs inside has this limit and keeps to it."""
    started = time.monotonic()
    with time_limit(seconds):
        yield
    assert time.monotonic() - started < seconds + MARGIN_SECONDS


def test_without_a_limit_there_is_as_much_time_as_is_asked_for() -> None:
    assert seconds_left(7.0) == 7.0
    assert seconds_left(math.inf) == math.inf


def test_a_limit_gives_what_is_left_of_it_and_no_more_than_is_asked_for() -> None:
    with time_limit(60.0):
        assert 59.0 < seconds_left(100.0) <= 60.0
        assert seconds_left(7.0) == 7.0


def test_of_limits_within_each_other_the_one_that_ends_first_holds() -> None:
    with time_limit(60.0):
        with time_limit(5.0):
            assert 4.0 < seconds_left(100.0) <= 5.0
        assert 59.0 < seconds_left(100.0) <= 60.0, "the outer one holds again"
        with time_limit(100.0):
            assert 59.0 < seconds_left(100.0) <= 60.0
    assert seconds_left(100.0) == 100.0


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_where_nothing_is_left_that_is_an_error_and_the_limit_ends_with_its_block(seconds: float) -> None:
    with time_limit(seconds), pytest.raises(OutOfTime):
        seconds_left(7.0)
    assert seconds_left(7.0) == 7.0


def test_a_limit_ends_with_its_block_though_an_error_ends_that() -> None:
    with pytest.raises(KeyError), time_limit(5.0):
        raise KeyError
    assert seconds_left(7.0) == 7.0


def test_other_threads_have_no_limit_and_this_one_is_not_touched_by_theirs() -> None:
    def limit_here() -> float:
        before = seconds_left(100.0)
        with time_limit(1.0):
            return before

    with time_limit(5.0), ThreadPoolExecutor() as threads:
        assert threads.submit(limit_here).result() == 100.0
        assert contextvars.copy_context().run(seconds_left, 100.0) <= 5.0
        assert seconds_left(100.0) > 1.0


def test_a_spent_limit_is_an_outage_to_whoever_asks() -> None:
    assert issubclass(OutOfTime, ServiceUnavailable), "503, and QStash tries again"
    assert OutOfTime().message == "The time that this call may take is spent."


class Proxy:
    """Stands before a server on this machine. `freeze()`: it takes connections and bytes, and answers nothing."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._frozen, self._ended = threading.Event(), threading.Event()
        self._partner: dict[socket.socket, socket.socket] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._forward)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for each in (*self._partner, self._listener):
            each.close()

    def freeze(self) -> None:
        self._frozen.set()

    def thaw(self) -> None:
        self._frozen.clear()

    def _forward(self) -> None:
        while not self._ended.is_set():
            ready, _, _ = select.select([self._listener, *self._partner], [], [], 0.01)
            if self._frozen.is_set():
                self._ended.wait(0.01)
                continue
            for each in ready:
                if each is self._listener:
                    ours, theirs = self._listener.accept()[0], socket.create_connection(self._target)
                    self._partner |= {ours: theirs, theirs: ours}
                elif each in self._partner:
                    self._pass_on(each)

    def _pass_on(self, source: socket.socket) -> None:
        target = self._partner[source]
        try:
            if data := source.recv(65_536):
                target.sendall(data)
                return
        except OSError:
            pass
        for each in (source, target):
            del self._partner[each]
            each.close()


@pytest.fixture
def url(make_database: MakeDatabase) -> str:
    return make_database()


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    with Proxy(urlsplit(url).port or 0) as proxy:
        yield proxy


def through(url: str, *proxies: Proxy) -> str:
    place = urlsplit(url)
    hosts = ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxies)
    return f"postgresql://{place.username}:{place.password}@{hosts}{place.path}"


@pytest.fixture
def database(url: str, proxy: Proxy) -> Iterator[Database]:
    """Through the proxy."""
    database = Database(through(url, proxy), max_connections=2)
    yield database
    proxy.thaw()
    database.close()


def process_id(database: Database) -> int:
    with database.transaction() as connection:
        [[found]] = connection.execute("SELECT pg_backend_pid()").fetchall()
    return int(found)


def count_sessions(url: str) -> int:
    """Of the product's connections to this database."""
    sessions = (
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'recommendations'"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(sessions.encode()).rowcount


def test_a_statement_on_a_server_that_freezes_ends_with_the_limit(database: Database, proxy: Proxy) -> None:
    def freeze_in_a_transaction() -> None:
        with database.transaction() as connection:
            connection.execute("SELECT 1")
            proxy.freeze()
            connection.execute("SELECT 1")

    with within(0.4), pytest.raises(PostgresUnavailable):
        freeze_in_a_transaction()


def test_a_statement_ends_with_its_own_time_though_the_request_has_more(database: Database, proxy: Proxy) -> None:
    def freeze_in_a_transaction() -> None:
        with database.transaction(seconds=0.4) as connection:
            connection.execute("SELECT 1")
            proxy.freeze()
            connection.execute("SELECT 1")

    started = time.monotonic()
    with time_limit(60.0), pytest.raises(PostgresUnavailable):
        freeze_in_a_transaction()
    assert time.monotonic() - started < 0.4 + MARGIN_SECONDS


def test_a_commit_on_a_server_that_freezes_ends_with_the_limit(database: Database, proxy: Proxy) -> None:
    def freeze_before_the_commit() -> None:
        with database.transaction() as connection:
            connection.execute("SELECT 1")
            proxy.freeze()

    with within(0.4), pytest.raises(PostgresUnavailable):
        freeze_before_the_commit()


def test_a_kept_connection_to_a_server_that_froze_ends_with_the_limit(database: Database, proxy: Proxy) -> None:
    process_id(database)
    proxy.freeze()
    with within(0.4), pytest.raises(ServiceUnavailable):
        process_id(database)


def test_a_read_on_a_kept_connection_to_a_server_that_froze_ends_with_the_limit(
    database: Database, proxy: Proxy
) -> None:
    process_id(database)
    proxy.freeze()
    with within(0.4), pytest.raises(ServiceUnavailable):
        database.read_texts(b"SELECT 1", {})


def test_a_new_connection_to_a_frozen_server_ends_with_the_limit(database: Database, proxy: Proxy) -> None:
    proxy.freeze()
    with within(0.4), pytest.raises(ServiceUnavailable):
        process_id(database)


def test_a_server_with_several_addresses_that_are_all_frozen_ends_with_the_limit(url: str, proxy: Proxy) -> None:
    """As a name of a cloud's pooler has them: each is tried in turn."""
    with ExitStack() as others:
        proxies = [proxy, *[others.enter_context(Proxy(proxy.port)) for _ in range(2)]]
        for each in proxies:
            each.freeze()
        database = Database(through(url, *proxies), max_connections=1)
        with within(0.4), pytest.raises(ServiceUnavailable):
            process_id(database)
        database.close()


def test_a_connection_on_which_a_statement_hung_is_not_used_again(database: Database, proxy: Proxy, url: str) -> None:
    hung = process_id(database)
    proxy.freeze()
    with time_limit(0.2), pytest.raises(ServiceUnavailable):
        process_id(database)
    proxy.thaw()
    assert process_id(database) != hung
    eventually(lambda: count_sessions(url) == 1)


def test_a_connection_on_which_a_statement_failed_is_closed(database: Database, url: str) -> None:
    """After a failover the old primary answers still, and takes no writes: the next connection may do better."""

    def fail() -> None:
        with database.transaction() as connection:
            connection.execute("SET TRANSACTION READ ONLY")
            connection.execute("CREATE TABLE notes (note text)")

    failed = process_id(database)
    with pytest.raises(PostgresUnavailable, match="takes no writes"):
        fail()
    eventually(lambda: count_sessions(url) == 0)
    assert process_id(database) != failed


def spent_before(database: Database) -> None:
    with time_limit(0.0), database.transaction():
        pass


def spent_within(database: Database) -> None:
    with database.transaction() as connection, time_limit(0.0):
        connection.execute("SELECT 1")


def spent_around(database: Database) -> None:
    with time_limit(0.1), database.transaction() as connection:
        connection.execute("SELECT 1")
        eventually(is_spent)
        connection.execute("SELECT 1")


def spent_at_the_commit(database: Database) -> None:
    with time_limit(0.1), database.transaction() as connection:
        connection.execute("SELECT 1")
        eventually(is_spent)


def spent_by_the_server(database: Database) -> None:
    with time_limit(0.1), database.transaction() as connection:
        connection.execute("SELECT pg_sleep(60)")


def is_spent() -> bool:
    try:
        seconds_left(1.0)
    except OutOfTime:
        return True
    return False


@pytest.mark.parametrize("spend", [spent_before, spent_within, spent_around, spent_at_the_commit, spent_by_the_server])
def test_where_the_limit_is_spent_no_connection_is_lost(
    database: Database, url: str, spend: Callable[[Database], None]
) -> None:
    for _ in range(4):
        with pytest.raises(ServiceUnavailable):
            spend(database)
    together = threading.Barrier(2)

    def meet(_: int) -> None:
        with database.transaction() as connection:
            connection.execute("SELECT 1")
            together.wait(timeout=10)

    with ThreadPoolExecutor() as threads:
        list(threads.map(meet, range(2)))
    eventually(lambda: count_sessions(url) <= 2)
    database.close()
    eventually(lambda: count_sessions(url) == 0)


def test_what_was_written_when_the_limit_was_spent_is_rolled_back(database: Database, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE notes (note text)")

    def write_and_spend() -> None:
        with time_limit(0.1), database.transaction() as connection:
            connection.execute("INSERT INTO notes VALUES ('lost')")
            eventually(is_spent)

    with pytest.raises(OutOfTime):
        write_and_spend()
    with database.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (0,)


def test_waiting_for_a_free_connection_ends_with_the_limit(url: str) -> None:
    database = Database(url, max_connections=1)
    with database.transaction(), within(0.2), pytest.raises(PostgresUnavailable, match="busy"):
        process_id(database)
    database.close()
