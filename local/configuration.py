"""The settings that a script works with: the environment, then .env.local and .env of the current folder."""

import os
from collections.abc import Mapping
from pathlib import Path

from lib.settings import Settings, parse_settings
from local.environment import FIRST_NAMES, read_files


def read_configuration(folder: Path | None = None, shell: Mapping[str, str] = os.environ) -> Settings:
    """A variable that is set in the shell, by either of its names, wins over the files."""
    named = read_files(folder or Path.cwd())
    values = {name: value for name, value in shell.items() if value.strip()}
    values = {FIRST_NAMES[name]: value for name, value in values.items() if name in FIRST_NAMES} | values
    return parse_settings(named.values | values)
