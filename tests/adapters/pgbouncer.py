"""A real PgBouncer in transaction mode before a Postgres of the tests' own."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import psycopg

from local.embedded import HOST, write_private
from local.servers import UNPRIVILEGED_USER, Postgres
from local.tether import Tethered
from tests.support import eventually

FIRST_WITH_PREPARED_STATEMENTS = (1, 21)


def find_pgbouncer() -> str | None:
    """The program; Debian puts it where only root's shell looks."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin")


class PgBouncer:
    """Keeps its port over a stop and a start, as a pooler that is restarted does.

    What else `settings` name goes into its section [pgbouncer].
    """

    def __init__(self, program: str, folder: Path, postgres: Postgres, **settings: object) -> None:
        self._program = program
        self._postgres = postgres
        self._log = folder / "log"
        self._configuration = folder / "pgbouncer.ini"
        self._users = folder / "users"
        self._user = UNPRIVILEGED_USER if os.geteuid() == 0 else None  # it refuses to run as root
        self._settings = settings
        self._process: Tethered | None = None
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port: int = probe.getsockname()[1]
        folder.chmod(0o711)
        for path, text in ((self._users, f'"postgres" "{postgres.password}"\n'), (self._configuration, self._ini())):
            write_private(path, text)
            if self._user:
                shutil.chown(path, self._user)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        command: list[str | Path] = [self._program, self._configuration]
        self._process = process = Tethered(command, output=self._log, user=self._user, cwd=Path("/"))
        try:
            eventually(lambda: self._answers(process))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """At once, whatever its clients are doing."""
        if self._process:
            self._process.stop()
            self._process = None

    def url(self, database_url: str) -> str:
        """The same database, through the pooler."""
        parts = urlsplit(database_url)
        return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@{HOST}:{self.port}"))

    def clients(self, database_url: str) -> list[dict[str, Any]]:
        """Whoever is connected to this database through the pooler."""
        return list(self._show("CLIENTS", database_url))

    def servers(self, database_url: str) -> list[dict[str, Any]]:
        """The pooler's own connections to this database."""
        return list(self._show("SERVERS", database_url))

    def count_waiting(self, database_url: str) -> int:
        """How many clients wait for one of those."""
        return sum(pool["cl_waiting"] for pool in self._show("POOLS", database_url))

    def _show(self, what: str, database_url: str) -> Iterator[dict[str, Any]]:
        with closing(self._console()) as console:
            cursor = console.execute(f"SHOW {what}".encode())
            names = [column.name for column in cursor.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in cursor]
        return (row for row in rows if row["database"] == urlsplit(database_url).path[1:])

    def _console(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url(self._postgres.database_url("pgbouncer")), autocommit=True, connect_timeout=5)

    def _answers(self, process: Tethered) -> bool:
        assert process.poll() is None, f"PgBouncer ended while starting:\n{self._log.read_text()}"
        try:
            self._console().close()
        except psycopg.OperationalError:
            return False
        return True

    def _ini(self) -> str:
        settings: dict[str, object] = {
            "listen_addr": HOST,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": self._users,
            "admin_users": "postgres",
            "pool_mode": "transaction",
        }
        if self._version() >= FIRST_WITH_PREPARED_STATEMENTS:
            settings["max_prepared_statements"] = 0  # later ones would hide it where we made some
        lines = [f"{name} = {value}" for name, value in (settings | self._settings).items()]
        return "\n".join(["[databases]", f"* = host={HOST} port={self._postgres.port}", "[pgbouncer]", *lines, ""])

    def _version(self) -> tuple[int, int]:
        told = subprocess.run([self._program, "--version"], capture_output=True, text=True, check=True).stdout
        found = re.search(r"PgBouncer (\d+)\.(\d+)", told)
        assert found, told
        return int(found[1]), int(found[2])
