"""Redis: whether it takes writes, keeps what it is given, and has room."""

from collections.abc import Iterator

from lib.adapters.action_queue import PENDING_KEY
from lib.adapters.services import Services
from lib.jobs.checks.check import Check
from lib.text import Text

PENDING_WARNING_MB = 50  # half of what Upstash lets a record grow to


def check_redis(services: Services) -> Iterator[Check]:
    services.cache.check_writable()
    yield Check("redis", "ok", Text("Redis answers and takes writes."))
    policy = services.cache.eviction_policy()
    if policy not in (None, "noeviction"):
        message = Text(
            "Eviction is on ({policy}): a full Redis drops pending actions without a word.", policy=str(policy)
        )
        fix = Text("Switch Eviction off on the database's page at https://console.upstash.com/redis.")
        yield Check("eviction", "warning", message, fix)
    megabytes = services.queue.estimate_pending_bytes() / 1e6
    if megabytes > PENDING_WARNING_MB:
        message = Text(
            "The list {key} holds about {size:.0f} MB; Upstash takes no more pushes at 100 MB.",
            key=PENDING_KEY,
            size=megabytes,
        )
        yield Check("pending actions", "warning", message, Text("See in /api/status why it isn't drained."))
