"""What was done, and what is found at the end."""

from collections import Counter
from dataclasses import dataclass, field

import httpx

from local.qstash.server import QStashServer
from local.soak.producer import Pushed
from local.soak.stage import Stage
from local.soak.verify import lost_and_twice, read, read_cached_lists, read_popularity_error, stale_lists

TOLERANCE = 1e-6  # of a popularity sum
IN_FLIGHT = ("recs:leases", "recs:batch:", "recs:progress:", "recs:set_aside")  # keys that must be gone


@dataclass
class Report:
    """Every figure under `wrong` should be nothing."""

    kills: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    actions: int = 0
    distinct: int = 0
    repeated: int = 0
    claimed_again: int = 0
    set_aside: int = 0
    cached_lists: int = 0
    ticks: int = 0
    wrong: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return "; ".join(
            [
                f"{self.kills.total()} kills at {len(self.kills)} points in {self.seconds:.0f} s",
                f"{self.claimed_again} claims of a batch that somebody had before",
                f"{self.set_aside} batches set aside and put back",
                f"{self.distinct} distinct actions pushed, with {self.repeated} repetitions",
                f"{self.actions} in the log",
                f"{self.cached_lists} cached lists and {self.ticks} published ticks looked at",
            ]
        )

    @property
    def is_right(self) -> bool:
        return not any(self.wrong.values())


def look(stage: Stage, pushed: Pushed, report: Report) -> None:
    """Counts what is there, and what shouldn't be."""
    database, services = stage.services.database, stage.services
    log = read(database, "SELECT event_id, value, user_id, content_id FROM user_actions")
    with_id = [event_id for event_id, value, *_ in log if value is None]
    values = [value for _, value, *_ in log if value is not None]
    raws = [letter.raw for letter in services.dead_letters.all()]
    cached = read_cached_lists(services.cache, sorted({user_id for _, _, user_id, _ in log}))
    ticks = _ticks(stage.qstash)
    report.actions, report.distinct, report.repeated = len(log), pushed.distinct, pushed.repeated
    report.cached_lists, report.ticks = len(cached), len(ticks)
    (lost, twice), (lost_values, twice_values), (lost_letters, twice_letters) = (
        lost_and_twice(pushed.ids, with_id),
        lost_and_twice(pushed.values, values),
        lost_and_twice(pushed.unreadable, raws),
    )
    error = read_popularity_error(database, counted=stage.settings.positive_actions)
    report.wrong = {
        "lost": lost + lost_values,
        "applied twice": twice + twice_values,
        "dead letters lost": lost_letters,
        "dead letters kept twice": twice_letters,
        "popularity off": error if error > TOLERANCE else 0,
        "stale cached lists": len(stale_lists(cached, [row[2:] for row in log])),
        "keys left in flight": sum(key.startswith(IN_FLIGHT) for key in stage.redis_keys()),
        "ticks published twice": len(ticks) - len(set(ticks)),
    }


def _ticks(qstash: QStashServer) -> list[int]:
    """The time of every message that was published."""
    times: list[int] = []
    cursor = ""
    while True:
        answer = httpx.get(
            f"{qstash.url}/v2/events",
            params={"cursor": cursor} if cursor else {},
            headers={"Authorization": f"Bearer {qstash.token}"},
        ).json()
        times += [event["nextDeliveryTime"] for event in answer["events"] if event["state"] == "CREATED"]
        if not (cursor := answer.get("cursor", "")):
            return times
