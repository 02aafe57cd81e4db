import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from local import embedded
from local.embedded import Server, ServerError
from local.resp import Address, Connection, ServerReplyError
from local.servers import Postgres, Valkey
from local.tether import Tethered
from tests.support import eventually

SERVERS = [Postgres, Valkey]
AS_ROOT = os.geteuid() == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not tmp_path: its parents are closed to the user that Postgres runs as under root."""
    with tempfile.TemporaryDirectory(prefix="recs-servers-") as name:
        yield Path(name)


def postmaster_pid(postgres: Postgres) -> int:
    return int((postgres.data / "postmaster.pid").read_text().splitlines()[0])


def valkey_pid(valkey: Valkey) -> int:
    with Connection(valkey.address) as connection:
        information = connection.call(b"INFO", b"server")
    assert isinstance(information, bytes)
    return int(information.split(b"process_id:")[1].split()[0])


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def count_rows(postgres: Postgres) -> int:
    with psycopg.connect(postgres.url) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert row
    count: int = row[0]
    return count


def fill(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000)")


def test_postgres_comes_with_pgvector_and_room_for_many_connections(folder: Path) -> None:
    with Postgres(folder / "postgres", durable=False) as postgres, psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE EXTENSION vector")
        assert connection.execute("SELECT '[1,2]'::vector <-> '[1,3]'").fetchone() == (1.0,)
        assert connection.execute("SHOW max_connections").fetchone() == ("200",)
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)


def test_postgres_syncs_what_it_commits_unless_told_otherwise(folder: Path) -> None:
    for durable, expected in ((False, "off"), (True, "on")):
        with (
            Postgres(folder / "postgres", durable=durable) as postgres,
            psycopg.connect(postgres.url) as connection,
        ):
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                assert connection.execute(f"SHOW {setting}".encode()).fetchone() == (expected,)


def test_postgres_comes_back_with_its_data_after_kill_9(folder: Path) -> None:
    postgres = Postgres(folder / "postgres")
    with postgres:
        fill(postgres)
        os.kill(postmaster_pid(postgres), signal.SIGKILL)
    with postgres:
        assert count_rows(postgres) == 1000


def test_postgres_starts_though_the_pid_of_a_killed_one_is_now_another_processs(folder: Path) -> None:
    postgres = Postgres(folder / "postgres", durable=False)
    with postgres:
        fill(postgres)
        left_behind = (postgres.data / "postmaster.pid").read_text().splitlines()
    output = folder / "stranger"
    stranger = Tethered(["sh", "-c", "echo $$; exec sleep 60"], output=output, user=postgres.user)
    try:
        left_behind[0] = eventually(lambda: output.read_text().strip())
        (postgres.data / "postmaster.pid").write_text("\n".join(left_behind))
        with postgres:
            assert count_rows(postgres) == 1000
    finally:
        stranger.stop()


def test_postgres_starts_after_an_interrupted_initdb(folder: Path) -> None:
    (folder / "postgres.new" / "base").mkdir(parents=True)
    (folder / "postgres.new" / "PG_VERSION").write_text("18\n")
    (folder / "postgres.password").write_text("of-the-interrupted-one")
    (folder / "postgres").mkdir()
    with Postgres(folder / "postgres", durable=False) as postgres, psycopg.connect(postgres.url):
        assert not (folder / "postgres.new").exists()


def test_postgres_asks_for_its_password_which_only_its_user_can_read(folder: Path) -> None:
    with Postgres(folder / "postgres", durable=False) as postgres:
        kept = folder / "postgres.password"
        assert kept.read_text() == postgres.password
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        wrong = postgres.url.replace(postgres.password, "wrong")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)


def test_valkey_comes_back_with_its_data_after_kill_9(folder: Path) -> None:
    valkey = Valkey(folder / "valkey")
    with valkey:
        with Connection(valkey.address, database=7) as connection:
            connection.send([[b"LPUSH", b"kept", b"%d" % i] for i in range(1000)])
        os.kill(valkey_pid(valkey), signal.SIGKILL)
    with valkey, Connection(valkey.address, database=7) as connection:
        assert connection.call(b"LLEN", b"kept") == 1000


def test_valkey_never_evicts_and_syncs_before_it_answers(folder: Path) -> None:
    with Valkey(folder / "valkey") as valkey, Connection(valkey.address, database=1023) as connection:
        for setting, expected in ((b"maxmemory-policy", b"noeviction"), (b"appendfsync", b"always")):
            assert connection.call(b"CONFIG", b"GET", setting) == [setting, expected]


def test_valkey_asks_for_its_password_which_only_its_user_can_read(folder: Path) -> None:
    with Valkey(folder / "valkey", durable=False) as valkey:
        assert stat.S_IMODE((folder / "valkey.conf").stat().st_mode) == 0o600
        with pytest.raises(ServerReplyError, match="WRONGPASS"):
            Connection(Address(valkey.host, valkey.port, "wrong"))


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_takes_another_port_where_somebody_was_quicker(
    server: type[Server], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        taken = somebody.getsockname()[1]
        ports = iter([taken, embedded._free_port()])
        monkeypatch.setattr(embedded, "_free_port", lambda: next(ports))
        with server(folder / "data", durable=False) as started:
            assert started.port != taken


@pytest.mark.parametrize("server", SERVERS)
def test_the_name_of_a_folder_may_hold_anything_and_be_long(server: type[Server], folder: Path) -> None:
    data = folder / 'an "odd" näme\\' / ("deep" * 30) / "data"
    with server(data, durable=server is Valkey):
        assert any(data.iterdir())


@pytest.mark.parametrize("server", SERVERS)
def test_a_folder_serves_one_server_at_a_time(
    server: type[Server], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "LOCK_SECONDS", 0)
    with (
        server(folder / "data", durable=False),
        pytest.raises(ServerError, match="in use by another running server"),
    ):
        server(folder / "data", durable=False).start()


def test_a_server_that_can_not_start_says_why(folder: Path) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres" / "a-letter").touch()
    (folder / "postgres.password").write_text("any")
    with pytest.raises(ServerError, match=r"(?s)postgres ended while starting.*postgres\.log.*No such file"):
        Postgres(folder / "postgres").start()


def test_the_servers_end_when_their_parent_is_killed(folder: Path) -> None:
    script = f"""
import time
from pathlib import Path
from local.servers import Postgres, Valkey
folder = Path({str(folder)!r})
postgres, valkey = Postgres(folder / "postgres", durable=False), Valkey(folder / "valkey", durable=False)
postgres.start()
valkey.start()
print("up", *valkey.address[:3], flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        up = next(line for line in parent.stdout if line.startswith("up "))
        _, host, port, password = up.split()
        pids = [postmaster_pid(Postgres(folder / "postgres"))]
        with Connection(Address(host, int(port), password)) as connection:
            reply = connection.call(b"INFO", b"server")
        assert isinstance(reply, bytes)
        pids.append(int(reply.split(b"process_id:")[1].split()[0]))
        parent.kill()
    eventually(lambda: all(map(is_gone, pids)), timeout=5)


@pytest.mark.skipif(not AS_ROOT, reason="only root runs Postgres as another user")
def test_under_root_closed_parents_are_opened_for_passing_alone_and_named(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "closed").mkdir(mode=0o700)
    with Postgres(folder / "closed" / "postgres", durable=False):
        assert stat.S_IMODE((folder / "closed").stat().st_mode) == 0o701
    opened = [line for line in capfd.readouterr().err.splitlines() if str(folder / "closed") in line]
    assert len(opened) == 1
    assert "nobody" in opened[0]
    with Postgres(folder / "closed" / "postgres", durable=False):
        assert str(folder) not in capfd.readouterr().err
