"""When scripts/dev starts nothing, or less than everything."""

import socket
from pathlib import Path

import httpx
import psycopg
import pytest

from local.qstash.server import QStashServer
from tests.conftest import MakeDatabase
from tests.end_to_end.checkout import FAST_TICKS, Checkout, Dev, Variables

STATUS_REFUSED = 2


class RealServices:
    """A database without a schema, an empty Redis and a QStash without schedules."""

    def __init__(self, database_url: str, redis: tuple[str, str], qstash: QStashServer) -> None:
        self._database_url = database_url
        self._redis_url, self._redis_token = redis
        self._qstash = qstash

    @property
    def variables(self) -> Variables:
        """As Vercel's integrations name them."""
        redis = {"KV_REST_API_URL": self._redis_url, "KV_REST_API_TOKEN": self._redis_token}
        return {**self._qstash.environment(), **redis, "POSTGRES_URL": self._database_url}

    def are_untouched(self) -> bool:
        return (self.schedules(), self._redis_keys(), self.has_schema()) == (0, 0, False)

    def schedules(self) -> int:
        headers = {"Authorization": f"Bearer {self._qstash.token}"}
        return len(httpx.get(f"{self._qstash.url}/v2/schedules", headers=headers).json())

    def has_schema(self) -> bool:
        with psycopg.connect(self._database_url) as connection:
            row = connection.execute("SELECT to_regclass('user_actions') IS NOT NULL").fetchone()
        return row == (True,)

    def _redis_keys(self) -> int:
        headers = {"Authorization": f"Bearer {self._redis_token}"}
        return int(httpx.post(self._redis_url, json=["DBSIZE"], headers=headers).json()["result"])


@pytest.fixture
def real(make_database: MakeDatabase, redis_credentials: tuple[str, str], qstash: QStashServer) -> RealServices:
    return RealServices(make_database(), redis_credentials, qstash)


def write_variables(file: Path, variables: Variables) -> None:
    file.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))


@pytest.mark.parametrize("arguments", [["--fresh"], ["--replay", "{folder}"]], ids=lambda arguments: arguments[0])
@pytest.mark.parametrize("file", [".env", ".env.local"])
def test_real_services_are_neither_emptied_nor_fed(
    checkout: Checkout, real: RealServices, file: str, arguments: list[str]
) -> None:
    for name in ("ratings.dat", "movies.dat", "vectors.npz"):
        (checkout.folder / name).touch()
    write_variables(checkout.folder / file, real.variables)

    dev = checkout.run(*[argument.format(folder=checkout.folder) for argument in arguments])

    assert dev.process.wait(15) == STATUS_REFUSED
    assert "names real postgres and qstash and redis" in dev.output
    assert real.are_untouched()
    assert not (checkout.folder / ".local").exists()


@pytest.mark.parametrize("service", ["QSTASH_TOKEN", "KV_REST_API_URL", "POSTGRES_URL"])
def test_one_real_service_is_enough_to_refuse(checkout: Checkout, real: RealServices, service: str) -> None:
    write_variables(checkout.folder / ".env.local", {service: real.variables[service]})
    dev = checkout.run("--fresh")
    assert dev.process.wait(15) == STATUS_REFUSED
    assert real.are_untouched()


def test_init_is_called_on_real_services_only_when_asked_for(checkout: Checkout, real: RealServices) -> None:
    write_variables(checkout.folder / ".env.local", real.variables)

    dev = checkout.run(variables=FAST_TICKS).wait_until_ready()
    assert dev.get("/api/actions").status_code == 404
    assert real.are_untouched()
    assert not (checkout.folder / ".local" / "postgres").exists()
    assert dev.variables["DATABASE_URL"] == real.variables["POSTGRES_URL"]
    assert dev.variables["UPSTASH_REDIS_REST_TOKEN"] == real.variables["KV_REST_API_TOKEN"]
    dev.end()

    dev = checkout.run("--init", variables=FAST_TICKS).wait_until_ready()
    assert real.schedules() == 4
    assert real.has_schema()
    assert dev.rows("SELECT count(*) FROM content") == [(0,)], "sample content was fed"
    dev.end()


def test_a_second_one_in_the_same_folder_harms_nothing(dev: Dev) -> None:
    variables, schedules = dev.variables, dev.get("/api/init").json()["schedules"]

    second = Checkout(dev.folder).run("--fresh")

    assert second.process.wait(15) == 1
    assert "runs in this folder already" in second.output
    assert dev.variables == variables
    assert [schedule["id"] for schedule in dev.get("/api/init").json()["schedules"]] == [s["id"] for s in schedules]
    assert dev.rows("SELECT 1") == [(1,)]


def test_a_taken_port_is_one_clear_sentence_and_starts_nothing(checkout: Checkout) -> None:
    stale = checkout.folder / ".local" / "env"
    stale.parent.mkdir()
    stale.write_text("DATABASE_URL='postgresql://of-an-earlier-run'")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        dev = checkout.run("--fresh", port=port)
        assert dev.process.wait(15) == 1
    assert f"Port {port} is taken by another program" in dev.output
    assert "Traceback" not in dev.output
    assert not (checkout.folder / ".local" / "postgres").exists()
    assert not stale.exists()


def test_a_folder_that_cannot_be_replayed_is_refused_before_anything_is_erased(checkout: Checkout) -> None:
    dev = checkout.run("--fresh", "--replay", str(checkout.folder / "nowhere"))
    assert dev.process.wait(15) == STATUS_REFUSED
    assert "holds no ratings.dat and no movies.dat and no vectors.npz" in dev.output
    assert not (checkout.folder / ".local").exists()


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_cannot_be_is_refused(checkout: Checkout, port: int) -> None:
    dev = checkout.run(port=port)
    assert dev.process.wait(15) == STATUS_REFUSED
    assert "--port must be a number from 1 to 65535" in dev.output
