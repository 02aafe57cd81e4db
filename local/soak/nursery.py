"""python -m local.soak.nursery: keeps some drains running, each of which dies where it was told to.

It reads one line of JSON: the settings of the drains, how many run at once, and how many deaths to wait for (0: no
end). It writes a line for each death, saying where, and one for each batch that is claimed a second time. It ends after
the last death, or when its standard input closes.

A process of its own, so that it has one thread when it forks: a drain that has everything imported already lives and
dies within a few hundredths of a second.
"""

import io
import itertools
import json
import logging
import os
import random
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lib.adapters import cache, catalogue, database, embedding_store, qstash  # noqa: F401 - imported once, for all
from lib.adapters.action_queue import ActionQueue, Claim
from lib.adapters.services import Services
from lib.core.schedules import BATCH_PROCESS_PATH, PROCESS_ACTIONS
from lib.settings import Settings
from lib.web import claims  # noqa: F401 - likewise
from lib.web.edge import signed_application
from lib.web.endpoints import batch_process
from local.qstash.signing import sign
from local.soak.kill_points import POINTS, arm

ANY_MOMENT = "any moment"  # not at a step of ours, but by the clock
SHORTEST_SECONDS, LONGEST_SECONDS = 0.01, 0.25  # of a life by the clock
MAX_PASSES = 4
LIFETIME_SECONDS = 15.0  # of a drain that never comes to its point: it is ended, and counts for nothing
POLL_SECONDS = 0.005
PUBLISHING_SHARE = 0.2  # of the ticks, as if the minute's schedule had come again


@dataclass(frozen=True)
class Life:
    """Where a drain dies, and by the clock when."""

    point: str
    dies_at: float


def main() -> None:
    task = json.loads(sys.stdin.readline())
    chance = random.Random(task["seed"])  # noqa: S311 - no secrets
    logging.disable()
    points = _points(chance)
    lives: dict[int, Life] = {}
    deaths = 0
    try:
        while not task["kills"] or deaths < task["kills"]:
            while len(lives) < task["drains"]:
                pid, life = _give_birth(Settings(**task["settings"]), next(points), chance)
                lives[pid] = life
            _kill_those_whose_time_has_come(lives)
            for point in _reap(lives):
                _say({"point": point})
                deaths += 1
            if select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
                break
    finally:
        for pid in lives:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _points(chance: random.Random) -> Iterator[str]:
    """Each point as often as every other, in a random order."""
    while True:
        yield from chance.sample([*POINTS, *[ANY_MOMENT] * (len(POINTS) // 2)], len(POINTS) * 3 // 2)


def _give_birth(settings: Settings, point: str, chance: random.Random) -> tuple[int, Life]:
    passes, seed, nursery = chance.randint(1, MAX_PASSES), chance.random(), os.getpid()
    seconds = chance.uniform(SHORTEST_SECONDS, LONGEST_SECONDS) if point == ANY_MOMENT else LIFETIME_SECONDS
    if pid := os.fork():
        return pid, Life(point, time.monotonic() + seconds)
    try:
        if point != ANY_MOMENT:
            arm(point, passes=passes)
        _live(settings, nursery, publishes="publish" in point, chance=random.Random(seed))  # noqa: S311
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _live(settings: Settings, nursery: int, *, publishes: bool, chance: random.Random) -> None:
    """One tick after the other, through the whole function, as QStash calls it."""
    services = Services(settings)
    _announce_second_claims(services.queue)
    application = signed_application(BATCH_PROCESS_PATH, batch_process, services=services)
    while os.getppid() == nursery:
        environ = tick_environ(settings, publishes=publishes or chance.random() < PUBLISHING_SHARE)
        list(application(environ, lambda *_: None))


def _announce_second_claims(queue: ActionQueue) -> None:
    claim = queue.claim

    def announcing() -> Claim:
        claimed = claim()
        if claimed.tries > 1:
            _say({"claimed_again": True})
        return claimed

    queue.claim = announcing  # type: ignore[method-assign]


def _say(event: dict[str, Any]) -> None:
    """A line, at once and whole: many write into the same pipe."""
    os.write(sys.stdout.fileno(), json.dumps(event).encode() + b"\n")


def tick_environ(settings: Settings, *, publishes: bool) -> dict[str, Any]:
    """A tick as QStash delivers it, that of the minute's schedule where it publishes the others."""
    body = json.dumps({**PROCESS_ACTIONS.body, **({"publish_ticks": True} if publishes else {})}).encode()
    url = settings.app_url + BATCH_PROCESS_PATH
    signature = sign(settings.qstash_current_signing_key, url=url, body=body, now=time.time())
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": BATCH_PROCESS_PATH,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "HTTP_UPSTASH_SIGNATURE": signature,
    }


def _kill_those_whose_time_has_come(lives: dict[int, Life]) -> None:
    for pid, life in lives.items():
        if time.monotonic() >= life.dies_at:
            os.kill(pid, signal.SIGKILL)


def _reap(lives: dict[int, Life]) -> Iterator[str]:
    """The points at which drains have died since. One that outlived its point died of nothing that counts."""
    for pid in itertools.takewhile(bool, iter(lambda: _ended(lives), 0)):
        life = lives.pop(pid)
        if life.point == ANY_MOMENT or time.monotonic() < life.dies_at:
            yield life.point


def _ended(lives: dict[int, Life]) -> int:
    """The id of a drain that has ended, or 0. Raises ChildProcessError where one ended otherwise than by SIGKILL."""
    if not lives:
        return 0
    pid, status = os.waitpid(-1, os.WNOHANG)
    if pid and not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
        raise ChildProcessError(f"a drain ended with status {status}, not by SIGKILL")
    return pid


if __name__ == "__main__":
    main()
