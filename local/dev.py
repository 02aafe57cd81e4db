"""scripts/dev: everything on this machine, from the services to the functions, with traffic to watch."""

import argparse
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from functools import partial
from pathlib import Path

import httpx

from lib.settings import parse_settings
from lib.web.dispatcher import find_routes
from local.embedded import ServerError
from local.environment import Named, read_files, stay_on_this_machine
from local.functions import ROOT
from local.launch import local_server
from local.movietweetings import missing_files
from local.replay import replay
from local.sample import SampleTraffic
from local.stack import Stack, running_stack, write_environment
from local.vercel.dev import build_functions, vercel_dev

FOLDER = ROOT / ".local"
LOG_FILE = ROOT / "logs" / "app.log"  # of the local server; `vercel dev` writes its own
INIT_SECONDS = 60.0
LATE_SECONDS = 15.0  # that the first tick may come after its time


def main() -> int:
    options = _parse()
    named = read_files(ROOT)
    if named.real and (options.fresh or options.replay):
        print(
            f"--fresh and --replay are for embedded services, but .env.local or .env names real {_listed(named)}.",
            file=sys.stderr,
        )
        return 2
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a shell's background job ignores SIGINT otherwise
        signal.signal(number, signal.default_int_handler)
    stay_on_this_machine(os.environ)
    try:
        with _only_one():
            environment_file = FOLDER / "env"
            environment_file.unlink(missing_ok=True)
            print("Starting the services and the functions ...", flush=True)
            prepare = vercel_dev if options.vercel else partial(local_server, log_file=LOG_FILE)
            with running_stack(FOLDER, named, port=options.port, fresh=options.fresh, prepare=prepare) as stack:
                _serve(stack, options, named, environment_file)
    except KeyboardInterrupt:
        print("\nStopped; the data is kept in .local/.")
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    except httpx.HTTPError as error:
        print(f"The functions don't answer ({error!r}): see {FOLDER / 'functions.log'}.", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _only_one() -> Iterator[None]:
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "dev.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServerError("scripts/dev runs in this folder already: stop that one first.") from None
        yield


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/dev", description=__doc__)
    parser.add_argument("--port", type=int, default=3000, help="of the functions (default 3000)")
    parser.add_argument("--no-sample", action="store_true", help="feed no sample traffic")
    parser.add_argument("--fresh", action="store_true", help="begin with empty data")
    parser.add_argument("--init", action="store_true", help="call /api/init though .env.local names real services")
    parser.add_argument("--vercel", action="store_true", help="serve the functions with `vercel dev`")
    parser.add_argument("--replay", type=Path, metavar="PATH", help="push the ratings of a MovieTweetings folder")
    options = parser.parse_args()
    if not 0 < options.port < 65536:
        parser.error("--port must be a number from 1 to 65535")
    if options.replay and (missing := missing_files(options.replay)):
        parser.error(f"--replay: {options.replay} holds no {' and no '.join(missing)}")
    return options


def _serve(stack: Stack, options: argparse.Namespace, named: Named, environment_file: Path) -> None:
    url = stack.url
    if named.real:
        print(f"Real services from .env.local or .env: {_listed(named)}. Nothing is fed.")
    if options.vercel:
        print("`vercel dev` builds each function; that takes about half a minute ...", flush=True)
        build_functions(url, find_routes(ROOT / "api"))
    if not named.real or options.init:
        _initialize(url)
    if not named.real:
        _wait_for_first_tick(stack)
    write_environment(environment_file, stack.environment)
    print(f"ready {url}")
    print(f"  {url}/api/init      configuration and schedules")
    print(f"  {url}/api/status    what waits, what the jobs did")
    print(f"  {stack.environment.get('QSTASH_URL', 'https://console.upstash.com/qstash')}/      messages of QStash")
    log_file = FOLDER / "functions.log" if options.vercel else LOG_FILE
    print(f"  variables for another shell: {environment_file}; log: {log_file}", flush=True)
    if options.replay:
        replay(options.replay, stack)
    is_fed = not (named.real or options.replay or options.no_sample)
    with SampleTraffic(stack.environment) if is_fed else nullcontext():
        stack.wait()


def _initialize(url: str) -> None:
    """What a person does once after deploying; every call ends in the same state."""
    answer = httpx.get(f"{url}/api/init", timeout=INIT_SECONDS).json()
    for check in answer.get("checks", []):
        if check["status"] == "error":
            print(f"❌ {check['message']} {check['fix']}")


def _wait_for_first_tick(stack: Stack) -> None:
    started, interval = time.time(), parse_settings(stack.environment).actions_interval_seconds
    if interval >= 60:
        print(f"Waiting for the first tick; they come every {interval} s ...", flush=True)
    while time.time() < started + interval + LATE_SECONDS:
        jobs = httpx.get(f"{stack.url}/api/status", timeout=INIT_SECONDS).json().get("jobs") or {}
        if _ran_since(jobs.get("process_user_actions", {}).get("last_run"), started):
            return
        time.sleep(0.1)
    raise ServerError(f"No tick arrived within {interval + LATE_SECONDS:.0f} s: see {FOLDER / 'functions.log'}.")


def _ran_since(last_run: str | None, started: float) -> bool:
    return last_run is not None and datetime.fromisoformat(last_run).timestamp() >= int(started)


def _listed(named: Named) -> str:
    return " and ".join(sorted(named.real))
