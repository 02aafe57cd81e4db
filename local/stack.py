"""The embedded services and the functions, started together and stopped in order."""

import os
import secrets
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.embedded import Server, ServerError, write_private
from local.environment import Named, function_environment
from local.launch import PUBLISHED, Prepare, local_server
from local.qstash.server import QStashServer
from local.redis_rest import RedisRest
from local.servers import Postgres, Valkey
from local.tether import Tethered

START_SECONDS = 30.0


@dataclass(frozen=True)
class Stack:
    """What runs: the functions' environment, where they answer, and their process."""

    environment: dict[str, str]
    url: str
    functions: Tethered

    def wait(self) -> None:
        """Returns never; raises ServerError where the functions end by themselves."""
        status = self.functions.wait()
        raise ServerError(f"The functions have ended with exit status {status}.")


@contextmanager
def running_stack(
    folder: Path,
    named: Named,
    *,
    port: int,
    fresh: bool = False,
    shell: Mapping[str, str] = os.environ,
    prepare: Prepare = local_server,
) -> Iterator[Stack]:
    """Everything that scripts/dev serves, with its data in `folder`; `fresh` begins with none."""
    if _is_taken(port):
        raise ServerError(f"Port {port} is taken by another program: end that one, or choose another with --port N.")
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        embedded = _start_services(stack, folder, named, fresh=fresh)
        environment = function_environment(shell, named, embedded, port=port)
        environment.setdefault("ADMIN_API_KEY", secrets.token_urlsafe(24))
        functions = _start_functions(stack, folder, environment, port, prepare)
        yield Stack(environment, f"http://localhost:{port}", functions)


def write_environment(file: Path, environment: Mapping[str, str]) -> None:
    """A dotenv file for another shell, readable for its owner alone. In single quotes a `$` means nothing."""
    values = {name: environment[name].replace("'", "\\'") for name in PUBLISHED if name in environment}
    write_private(file, "".join(f"{name}='{value}'\n" for name, value in values.items()))


def _is_taken(port: int) -> bool:
    """Asked by name, as a browser does: somebody else may have the port on ::1 alone."""
    try:
        socket.create_connection(("localhost", port), timeout=5).close()
    except OSError:
        return False
    return True


def _start_services(stack: ExitStack, folder: Path, named: Named, *, fresh: bool) -> dict[str, str]:
    postgres = None if "postgres" in named.real else Postgres(folder / "postgres")
    valkey = None if "redis" in named.real else Valkey(folder / "valkey")
    servers: list[Server] = [server for server in (postgres, valkey) if server is not None]
    for server in servers:
        if fresh:
            server.erase()
        stack.callback(server.stop)
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda server: server.start(), servers))
    embedded: dict[str, str] = {}
    if postgres is not None:
        embedded["DATABASE_URL"] = postgres.url
    if valkey is not None:
        token = secrets.token_urlsafe(24)
        rest = stack.enter_context(RedisRest(valkey.address, {token: 0}))
        embedded |= {"UPSTASH_REDIS_REST_URL": rest.url, "UPSTASH_REDIS_REST_TOKEN": token}
    if "qstash" not in named.real:
        qstash = QStashServer()
        qstash.start()
        stack.callback(qstash.stop)
        embedded |= qstash.environment()
    return embedded


def _start_functions(
    stack: ExitStack, folder: Path, environment: Mapping[str, str], port: int, prepare: Prepare
) -> Tethered:
    log = folder / "functions.log"
    launch = prepare(folder / "vercel", environment, port)
    functions = Tethered(
        launch.command, output=log, stop_signal=launch.stop_signal, env=launch.environment, cwd=launch.folder
    )
    stack.callback(functions.stop)
    deadline = time.monotonic() + START_SECONDS
    while not _answers(f"http://127.0.0.1:{port}/"):
        if functions.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            raise ServerError(f"The functions could not be served on port {port}:\n{tail}\nTry another: --port N.")
        time.sleep(0.05)
    return functions


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - a loopback address
    except urllib.error.HTTPError as error:
        error.close()  # any answer will do
        return True
    except OSError:
        return False
    return True
