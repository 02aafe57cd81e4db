"""Starts the servers, the functions and the meters of a stage."""

import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import psycopg

from lib.adapters.redis_client import RedisClient
from lib.adapters.schema import migrate
from lib.adapters.services import Services
from lib.settings import parse_settings
from local.embedded import ServerError
from local.functions import ROOT
from local.qstash.server import QStashServer
from local.redis_rest import RedisRest
from local.servers import Postgres, Valkey
from local.simulate.measuring.meters import Meter, MeteredHandler, PostgresProxy
from local.simulate.measuring.stage import Reads, Stage
from local.tether import Tethered

START_SECONDS = 30.0


@contextmanager
def running_stage(**variables: str) -> Iterator[Stage]:
    """Fresh servers and empty data. `variables` are of the functions' environment."""
    token, key = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    meter, port = Meter(), _free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recs-simulate-")))
        postgres = stack.enter_context(Postgres(folder / "postgres"))
        _write_no_page_images(postgres)
        valkey = stack.enter_context(Valkey(folder / "valkey"))
        handler = partial(MeteredHandler, meter)
        rest = stack.enter_context(RedisRest(valkey.address, {token: 0}, handler=handler))
        proxy = stack.enter_context(PostgresProxy(postgres.host, postgres.port, meter))
        qstash = stack.enter_context(QStashServer(parallelism=100))
        url = f"http://localhost:{port}"
        environment = {
            **qstash.environment(),
            "NEXT_PUBLIC_APP_URL": url,
            "UPSTASH_REDIS_REST_URL": rest.url,
            "UPSTASH_REDIS_REST_TOKEN": token,
            "DATABASE_URL": f"{postgres.url.replace(f':{postgres.port}/', f':{proxy.port}/')}?sslmode=disable",
            "ADMIN_API_KEY": key,
            "OPENBLAS_NUM_THREADS": "1",
        } | variables
        settings = parse_settings(environment)
        past = replace(settings, database_url=postgres.url)
        services = stack.enter_context(closing(Services(past)))
        migrate(services.database)
        functions = _start_functions(stack, folder, environment, url, port)
        reads = stack.enter_context(closing(Reads(url, key)))
        redis = stack.enter_context(closing(RedisClient(rest.url, token)))
        yield Stage(services, redis, postgres, qstash, url, meter, functions, reads)


def _write_no_page_images(postgres: Postgres) -> None:
    """As at Neon. What they come to where a disk needs them depends on the checkpoints, and not on the work."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET full_page_writes = off")
        connection.execute("SELECT pg_reload_conf()")


def _start_functions(stack: ExitStack, folder: Path, environment: Mapping[str, str], url: str, port: int) -> Tethered:
    log = folder / "functions.log"
    command = [sys.executable, "-m", "local.functions", "--port", str(port)]
    functions = Tethered(command, output=log, env={**os.environ, **environment}, cwd=ROOT)
    stack.callback(functions.stop)
    deadline = time.monotonic() + START_SECONDS
    while not _answers(url):
        if functions.poll() is not None or time.monotonic() > deadline:
            raise ServerError(f"The functions could not be served:\n{log.read_text(errors='replace')[-1000:]}")
        time.sleep(0.05)
    return functions


def _answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=5)
    except httpx.HTTPError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])
