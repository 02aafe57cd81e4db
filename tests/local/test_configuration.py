"""What a script is configured with: the shell first, then .env.local, then .env."""

from pathlib import Path

import pytest

from local.configuration import read_configuration


def write(folder: Path, *, env: str = "", env_local: str = "") -> None:
    (folder / ".env").write_text(env)
    (folder / ".env.local").write_text(env_local)


def test_the_shell_wins_over_env_local_and_that_over_env(tmp_path: Path) -> None:
    write(
        tmp_path,
        env="QSTASH_TOKEN=env\nADMIN_API_KEY=env\nUPSTASH_REDIS_REST_TOKEN=env\n",
        env_local="QSTASH_TOKEN=local\nADMIN_API_KEY=local\n",
    )
    settings = read_configuration(tmp_path, {"QSTASH_TOKEN": "shell"})
    assert (settings.qstash_token, settings.admin_api_key, settings.redis_token) == ("shell", "local", "env")


@pytest.mark.parametrize("value", ["", "  "], ids=["empty", "blank"])
def test_an_empty_variable_of_the_shell_leaves_what_the_files_say(tmp_path: Path, value: str) -> None:
    write(tmp_path, env="QSTASH_TOKEN=env\n")
    assert read_configuration(tmp_path, {"QSTASH_TOKEN": value}).qstash_token == "env"


@pytest.mark.parametrize("in_file", ["DATABASE_URL", "POSTGRES_URL"])
@pytest.mark.parametrize("in_shell", ["DATABASE_URL", "POSTGRES_URL"])
def test_the_shell_wins_by_either_name_of_a_variable(tmp_path: Path, in_shell: str, in_file: str) -> None:
    write(tmp_path, env_local=f"{in_file}=postgresql://file/db\n")
    settings = read_configuration(tmp_path, {in_shell: "postgresql://shell/db"})
    assert settings.database_url == "postgresql://shell/db"


def test_the_files_are_those_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, env_local="QSTASH_TOKEN=local\n")
    monkeypatch.chdir(tmp_path)
    assert read_configuration(shell={}).qstash_token == "local"


def test_without_files_and_shell_every_required_variable_is_missed_by_name(tmp_path: Path) -> None:
    missed = {problem.variable for problem in read_configuration(tmp_path, {}).problems}
    assert {"QSTASH_TOKEN", "UPSTASH_REDIS_REST_URL", "DATABASE_URL", "NEXT_PUBLIC_APP_URL"} <= missed
