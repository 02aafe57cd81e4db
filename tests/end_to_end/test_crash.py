"""`kill -9` of everything while the list is being drained."""

import random
import time
import uuid

from lib.settings import Settings
from local.soak.verify import popularity_error
from tests.end_to_end.checkout import FAST_TICKS, Checkout, Dev
from tests.support import eventually

ACTIONS = 20_000
PUSHED_AGAIN = 500
ACTION_WEIGHTS = Settings().action_weights
# Small batches make for many points at which the end may come; a short lease for a short wait after it.
VARIABLES = FAST_TICKS | {"CLAIM_MAX_ELEMENTS": "100", "CLAIM_LEASE_SECONDS": "5"}

Action = dict[str, object]


def some_actions() -> list[Action]:
    """Users who come back to the same contents, in no order of time."""
    chance, now = random.Random(7), time.time()  # noqa: S311 - no secrets
    return [
        {
            "id": str(uuid.uuid4()),
            "user_id": f"user-{chance.randrange(300)}",
            "content_id": f"content-{chance.randrange(100)}",
            "action": chance.choice(sorted(ACTION_WEIGHTS)),
            "timestamp": now - chance.random() * 3 * 86_400,
        }
        for _ in range(ACTIONS)
    ]


def count(dev: Dev, condition: str = "true") -> int:
    [(actions,)] = dev.rows(f"SELECT count(*) FROM user_actions WHERE {condition}")
    assert isinstance(actions, int)
    return actions


def kill_everything_at(actions: int, dev: Dev, checkout: Checkout) -> float:
    """Once the log holds so many; the time of the kill."""
    eventually(lambda: count(dev) >= actions, timeout=30)
    checkout.kill_everything()
    return time.time()


def is_drained(dev: Dev) -> bool:
    status = dev.get("/api/status").json()
    return bool(status["pending"] == 0 and status["in_flight"] == 0)


def read_popularity_error(dev: Dev) -> float:
    counted = "','".join(name for name, weight in ACTION_WEIGHTS.items() if weight > 0)
    log = dev.rows(
        "SELECT user_id, content_id, extract(epoch FROM occurred_at)::float8 FROM user_actions"
        f" WHERE action IN ('{counted}')"
    )
    return popularity_error(dev.rows("SELECT content_id, as_of, sums FROM recs_popularity"), log)


def test_after_two_kills_of_everything_each_event_is_there_once(checkout: Checkout) -> None:
    actions = some_actions()
    dev = checkout.run("--no-sample", variables=VARIABLES).wait_until_ready()
    dev.push([*actions, *actions[:PUSHED_AGAIN]])
    kill_everything_at(1_000, dev, checkout)
    dev = checkout.run("--no-sample", variables=VARIABLES).wait_until_ready()
    killed = kill_everything_at(5_000, dev, checkout)

    dev = checkout.run("--no-sample", variables=VARIABLES).wait_until_ready()
    eventually(lambda: is_drained(dev), timeout=60)

    assert count(dev, f"received_at > to_timestamp({killed})") > 0, "it was drained before the kill"
    ids = [event_id for (event_id,) in dev.rows("SELECT event_id FROM user_actions")]
    assert sorted(map(str, ids)) == sorted(str(action["id"]) for action in actions)
    assert dev.get("/api/status").json()["dead_letters"]["count"] == 0
    assert read_popularity_error(dev) < 1e-6
    dev.end()
