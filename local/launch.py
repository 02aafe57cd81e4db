"""How the functions are served: a command, where and with what it runs."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.functions import ROOT

PUBLISHED = (  # in .local/env, by their first names
    "QSTASH_TOKEN",
    "QSTASH_CURRENT_SIGNING_KEY",
    "QSTASH_NEXT_SIGNING_KEY",
    "QSTASH_URL",
    "NEXT_PUBLIC_APP_URL",
    "UPSTASH_REDIS_REST_URL",
    "UPSTASH_REDIS_REST_TOKEN",
    "DATABASE_URL",
    "ADMIN_API_KEY",
    "ALLOW_UNSIGNED_LOCAL",
)


@dataclass(frozen=True)
class Launch:
    command: Sequence[str | Path]
    environment: dict[str, str]
    folder: Path
    stop_signal: str = "TERM"


Prepare = Callable[[Path, Mapping[str, str], int], Launch]  # a folder of its own, the functions' environment, the port


def local_server(folder: Path, environment: Mapping[str, str], port: int, *, log_file: Path | None = None) -> Launch:
    """The one that needs nothing but Python."""
    command = [sys.executable, "-m", "local.functions", "--port", str(port)]
    return Launch([*command, "--log-file", log_file] if log_file else command, dict(environment), ROOT)
