"""Which services scripts/dev uses, and what the functions are told."""

from pathlib import Path

import pytest

from local.environment import Named, function_environment, read_files, stay_on_this_machine

NOTHING = Named({}, frozenset())
EMBEDDED = {"DATABASE_URL": "postgresql://embedded/db", "UPSTASH_REDIS_REST_URL": "http://127.0.0.1:1"}


def files(folder: Path, *, env: str = "", env_local: str = "") -> Named:
    (folder / ".env").write_text(env)
    (folder / ".env.local").write_text(env_local)
    return read_files(folder)


def told(shell: dict[str, str], named: Named = NOTHING) -> dict[str, str]:
    return function_environment(shell, named, EMBEDDED, port=3210)


def test_a_folder_without_files_names_nothing(tmp_path: Path) -> None:
    assert read_files(tmp_path) == NOTHING


def test_env_local_wins_over_env_and_each_adds_what_the_other_lacks(tmp_path: Path) -> None:
    named = files(tmp_path, env="A=env\nB=env\n", env_local="A=local\nC=local\n")
    assert named.values == {"A": "local", "B": "env", "C": "local"}


def test_an_empty_value_in_env_local_leaves_that_of_env(tmp_path: Path) -> None:
    assert files(tmp_path, env="A=env\n", env_local="A=\n").values == {"A": "env"}


@pytest.mark.parametrize(
    ("line", "service"),
    [
        pytest.param("UPSTASH_REDIS_REST_URL=https://a", "redis", id="redis"),
        pytest.param("KV_REST_API_TOKEN=t", "redis", id="redis-of-vercel"),
        pytest.param("DATABASE_URL=postgresql://a/b", "postgres", id="postgres"),
        pytest.param("POSTGRES_URL=postgresql://a/b", "postgres", id="postgres-of-vercel"),
        pytest.param("QSTASH_URL=http://127.0.0.1:8080", "qstash", id="the-official-qstash-server"),
        pytest.param("QSTASH_TOKEN=t", "qstash", id="qstash"),
    ],
)
def test_one_variable_of_a_service_names_the_service(tmp_path: Path, line: str, service: str) -> None:
    assert files(tmp_path, env_local=line).real == {service}


@pytest.mark.parametrize("value", ["", '""', "'  '"], ids=["empty", "quotes", "blanks"])
def test_a_variable_without_a_value_names_nothing(tmp_path: Path, value: str) -> None:
    assert files(tmp_path, env_local=f"DATABASE_URL={value}\n") == NOTHING


def test_the_example_file_as_it_comes_names_no_service(tmp_path: Path) -> None:
    example = Path(__file__).resolve().parents[2] / ".env.example"
    assert files(tmp_path, env_local=example.read_text()).real == frozenset()


def test_a_second_name_is_told_by_its_first_name_too(tmp_path: Path) -> None:
    environment = told({}, files(tmp_path, env_local="POSTGRES_URL=postgresql://a/b\nKV_REST_API_URL=https://kv\n"))
    assert environment["DATABASE_URL"] == "postgresql://a/b"
    assert environment["UPSTASH_REDIS_REST_URL"] == "https://kv"


def test_a_first_name_wins_over_a_second_one(tmp_path: Path) -> None:
    named = files(tmp_path, env_local="POSTGRES_URL=postgresql://second/b\nDATABASE_URL=postgresql://first/b\n")
    assert told({}, named)["DATABASE_URL"] == "postgresql://first/b"


@pytest.mark.parametrize("name", ["DATABASE_URL", "POSTGRES_URL", "KV_REST_API_URL", "QSTASH_TOKEN"])
def test_a_service_in_the_shell_is_ignored(name: str) -> None:
    assert "of-another-project" not in told({name: "of-another-project"}).values()
    assert told({name: "of-another-project"})["DATABASE_URL"] == EMBEDDED["DATABASE_URL"]


def test_a_tunable_in_the_shell_reaches_the_functions() -> None:
    assert told({"ACTIONS_INTERVAL_SECONDS": "1"})["ACTIONS_INTERVAL_SECONDS"] == "1"


def test_the_files_win_over_the_shell_and_over_the_embedded_services(tmp_path: Path) -> None:
    named = files(tmp_path, env_local="DATABASE_URL=postgresql://real/db\nRETENTION_DAYS=9\n")
    environment = told({"RETENTION_DAYS": "5"}, named)
    assert (environment["DATABASE_URL"], environment["RETENTION_DAYS"]) == ("postgresql://real/db", "9")
    assert environment["UPSTASH_REDIS_REST_URL"] == EMBEDDED["UPSTASH_REDIS_REST_URL"]


def test_the_app_is_at_the_port_unless_a_file_says_otherwise(tmp_path: Path) -> None:
    shell = {"NEXT_PUBLIC_APP_URL": "https://another.example.com"}
    assert told(shell)["NEXT_PUBLIC_APP_URL"] == "http://localhost:3210"
    named = files(tmp_path, env="NEXT_PUBLIC_APP_URL=https://abc.ngrok.app\n")
    assert told(shell, named)["NEXT_PUBLIC_APP_URL"] == "https://abc.ngrok.app"


def test_what_vercel_env_pull_writes_makes_this_no_deployment(tmp_path: Path) -> None:
    named = files(tmp_path, env_local="VERCEL_ENV=production\nALLOW_UNSIGNED_LOCAL=0\n")
    environment = told({"VERCEL_PROJECT_PRODUCTION_URL": "shop.example.com"}, named)
    assert environment["ALLOW_UNSIGNED_LOCAL"] == "1"
    assert not {"VERCEL_ENV", "VERCEL_PROJECT_PRODUCTION_URL"} & environment.keys()


def test_what_the_shell_says_of_postgres_and_proxies_stays_out() -> None:
    environment = {"PGHOST": "elsewhere", "PGSERVICE": "x", "NO_PROXY": "intranet", "HTTP_PROXY": "http://proxy"}
    stay_on_this_machine(environment)
    assert environment == {
        "HTTP_PROXY": "http://proxy",
        "NO_PROXY": "intranet,localhost,127.0.0.1",
        "no_proxy": "intranet,localhost,127.0.0.1",
    }
