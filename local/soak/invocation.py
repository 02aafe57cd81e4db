"""python -m local.soak.invocation: one tick in a process of its own, as on the platform.

Reads the settings as a line of JSON; writes what the tick answered, how long it took, and the process's peak memory.
"""

import json
import logging
import resource
import sys
import time

from lib.adapters.services import Services
from lib.core.schedules import BATCH_PROCESS_PATH
from lib.settings import Settings
from lib.web.edge import signed_application
from lib.web.endpoints import batch_process
from local.soak.nursery import tick_environ

BYTES_A_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


def main() -> None:
    logging.disable()
    settings = Settings(**json.loads(sys.stdin.readline()))
    application = signed_application(BATCH_PROCESS_PATH, batch_process, services=Services(settings))
    began = time.monotonic()
    [body] = application(tick_environ(settings, publishes=False), lambda *_: None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_A_UNIT
    answer = {"summary": json.loads(body), "seconds": time.monotonic() - began, "peak_mb": peak / 1e6}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
