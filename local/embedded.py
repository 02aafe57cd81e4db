"""What the embedded servers have in common: one data folder, a free port of 127.0.0.1, an end with this process."""

import contextlib
import fcntl
import os
import shutil
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from local.tether import Tethered

HOST = "127.0.0.1"
START_SECONDS = 60.0  # replaying the log of a large, killed server takes a while
LOCK_SECONDS = 10.0  # the servers of a killed parent end within 5
PORT_ATTEMPTS = 5
TAIL_LINES = 15
READY = "eady to accept connections"  # both servers log it, once the port is theirs and the data is loaded
PORT_TAKEN = "Address already in use"


class ServerError(RuntimeError):
    """A local server could not be started; the message says why, with the end of its log."""


class Server(ABC):
    """What both have in common; use as a context manager, or `start` and `stop`.

    `durable=False` gives up the data of a power cut or a kill, for tests that begin with nothing.
    """

    stop_signal: str
    user: str | None = None

    def __init__(self, data: Path, *, durable: bool = True) -> None:
        self.data = data.absolute()
        self.durable = durable
        self.log = self._beside("log")
        self.host = HOST
        self.port = 0
        self.password = ""
        self._process: Tethered | None = None
        self._log_begin = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers; raises ServerError where it doesn't."""
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with _sole_use(self._beside("lock")) as lock:
            self._prepare(lock)
            for _ in range(PORT_ATTEMPTS):
                if self._starts_on(_free_port(), lock):
                    return
        raise ServerError(f"{self.data.name}: found no free port in {PORT_ATTEMPTS} attempts")

    def stop(self) -> None:
        """Stop the server, if it runs; returns when it is gone."""
        if self._process:
            self._process.stop()
            self._process = None

    def erase(self) -> None:
        """Remove the server's data; raises ServerError while a server uses it."""
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with _sole_use(self._beside("lock")):
            shutil.rmtree(self.data, ignore_errors=True)

    @abstractmethod
    def _prepare(self, lock: int) -> None: ...

    @abstractmethod
    def _command(self) -> Sequence[str | Path]: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    def _beside(self, suffix: str) -> Path:
        return self.data.with_name(f"{self.data.name}.{suffix}")

    def _run(self, command: Sequence[str | Path], lock: int) -> Tethered:
        self._log_begin = self.log.stat().st_size if self.log.exists() else 0
        return Tethered(
            command,
            output=self.log,
            stop_signal=self.stop_signal,
            user=self.user,
            env=_environment(),
            cwd=Path("/"),
            keep_open=[lock],
        )

    def _starts_on(self, port: int, lock: int) -> bool:
        """Whether the server came up; false where another process took the port first."""
        self.port = port
        self._process = self._run(self._command(), lock)
        try:
            self._wait(self._process)
        except BaseException as error:
            self.stop()
            if isinstance(error, ServerError) and PORT_TAKEN in self._logged():
                return False
            raise
        return True

    def _wait(self, process: Tethered) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not (READY in self._logged() and self._answers()):
            if process.poll() is not None:
                raise self._error("ended while starting")
            if time.monotonic() > deadline:
                raise self._error(f"did not answer within {START_SECONDS:.0f} s")
            time.sleep(0.02)

    def _logged(self) -> str:
        """What the last command wrote."""
        return self.log.read_bytes()[self._log_begin :].decode(errors="replace")

    def _error(self, what: str) -> ServerError:
        end = "\n".join(self._logged().splitlines()[-TAIL_LINES:])
        return ServerError(f"{self.data.name} {what}. The end of {self.log}:\n{end}")


@contextlib.contextmanager
def _sole_use(path: Path) -> Iterator[int]:
    """A descriptor of the locked file `path`; the server inherits it, so the lock is held until its last process ends.

    Raises ServerError where another server keeps it.
    """
    with path.open("w") as file:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ServerError(f"{path.stem} is in use by another running server ({path} is locked)") from None
                time.sleep(0.05)
        yield file.fileno()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _environment() -> dict[str, str]:
    """Ours, without Postgres's own variables, and with messages in English."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
