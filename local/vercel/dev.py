"""`vercel dev` on this project: what scripts/dev --vercel serves the functions with.

The program gives its functions no variable of the shell and reads .env but not .env.local. So it runs in a folder of
its own, where links lead to the project and .env holds what scripts/dev gives to the functions.
"""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path

from lib.setting_values import TUNABLES
from local.embedded import write_private
from local.functions import ROOT
from local.launch import PUBLISHED, Launch
from local.vercel.cli import environment as cli_environment
from local.vercel.cli import install

LINKED = ("api", "lib", "public", "requirements.txt", "vercel.dev.json", ".python-version")
ARGUMENTS = ("dev", "--local", "--yes", "--local-config", "vercel.dev.json")
ANY_PORTS = ("--queue-port", "0", "--runtime-cache-port", "0", "--schedules-port", "0")
GIVEN = (*PUBLISHED, "VERCEL_AUTOMATION_BYPASS_SECRET", *TUNABLES)
BUILD_SECONDS = 180.0  # of one function; they are built side by side


def vercel_dev(folder: Path, environment: Mapping[str, str], port: int) -> Launch:
    """Prepares `folder`, and says how the program is started there. Raises ServerError where it can't be installed."""
    program = install()
    folder.mkdir(exist_ok=True)
    for name in LINKED:
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT / name)
    write_private(folder / ".env", as_dotenv({name: environment[name] for name in GIVEN if name in environment}))
    ours = ["--global-config", "configuration", "--listen", f"127.0.0.1:{port}"]
    command = [str(program), *ARGUMENTS, *ANY_PORTS, *ours]
    return Launch(command, cli_environment(environment), folder, stop_signal="INT")


def as_dotenv(values: Mapping[str, str]) -> str:
    """As npm's dotenv reads it: it knows no escapes, but three kinds of quotes, two of which keep all else."""
    return "".join(f"{name}={_quoted(value)}\n" for name, value in values.items())


def _quoted(value: str) -> str:
    quote = next((quote for quote in "'`" if quote not in value), '"')
    return f"{quote}{value}{quote}"


def build_functions(url: str, paths: Iterable[str]) -> None:
    """Asks for each function once, so that none is built while somebody waits. HEAD is refused by all of them."""
    threads = [threading.Thread(target=_ask, args=(url + path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _ask(url: str) -> None:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - a loopback address
    try:
        urllib.request.urlopen(request, timeout=BUILD_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
