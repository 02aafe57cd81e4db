"""The settings that a script works with: the environment, then .env.local and .env of the current folder."""

import os
from collections.abc import Mapping
from pathlib import Path

from lib.settings import Settings, parse_settings
from local.environment import read_files


def read_configuration(folder: Path | None = None, shell: Mapping[str, str] = os.environ) -> Settings:
    """A variable that is set in the shell wins over the files."""
    named = read_files(folder or Path.cwd())
    return parse_settings(named.values | {name: value for name, value in shell.items() if value.strip()})
