"""The file that tells another shell where everything is."""

import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values

from local.stack import write_environment

VALUES = {
    "plain": "postgresql://me:p%40ss@127.0.0.1:5432/shop?sslmode=require",
    "a dollar": "pa$$word$HOME$(id)",
    "a double quote": 'to"ken',
    "a hash": "to ken #1",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "env"


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_is_the_same_for_dotenv_and_for_a_shell(file: Path, value: str) -> None:
    write_environment(file, {"DATABASE_URL": value})
    assert dotenv_values(file) == {"DATABASE_URL": value}
    told = subprocess.check_output(["sh", "-c", '. "$1"; printf %s "$DATABASE_URL"', "sh", file], text=True)
    assert told == value


def test_a_single_quote_is_read_back_by_dotenv(file: Path) -> None:
    write_environment(file, {"ADMIN_API_KEY": "it's mine"})
    assert dotenv_values(file) == {"ADMIN_API_KEY": "it's mine"}


def test_only_the_projects_own_variables_are_told(file: Path) -> None:
    write_environment(file, {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x", "QSTASH_TOKEN": "token"})
    assert dotenv_values(file) == {"QSTASH_TOKEN": "token"}


def test_nobody_else_can_read_it_whatever_was_there_before(file: Path) -> None:
    file.write_text("DATABASE_URL='of an earlier run'")
    file.chmod(0o644)
    write_environment(file, {"QSTASH_TOKEN": "token"})
    assert file.stat().st_mode & 0o777 == 0o600
