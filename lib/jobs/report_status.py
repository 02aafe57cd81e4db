"""What /api/status shows: what waits, what the jobs did, how fresh the results are.

A service that is away takes its own part of the answer with it and no other.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from lib.adapters.embedding_store import Model, count_embeddings, read_active_model
from lib.adapters.services import Services
from lib.core.half_lives import half_life_at
from lib.core.schedules import JOBS
from lib.errors import RecommenderError
from lib.time_limit import seconds_left, time_limit

LATEST_LETTERS = 10
MOST_SECONDS = 60.0
LETTER_LENGTH = 500  # characters of a dead letter that are shown

Section = dict[str, Any]


def report_status(services: Services, now: datetime) -> Section:
    """The document of /api/status. A part that could not be read is null, and `errors` says why."""
    status: Section = {"generated_at": now.astimezone(UTC).isoformat()}
    errors: list[str] = []
    for parts_before, (read, names) in enumerate(PARTS):
        try:
            # A service that hangs leaves the other parts their share of the time.
            with time_limit(seconds_left(MOST_SECONDS) / (len(PARTS) - parts_before)):
                status |= read(services)
        except RecommenderError as error:
            errors.append(services.settings.redact(error.message))
            status |= dict.fromkeys(names)
    return {**status, "errors": errors}


def _queue(services: Services) -> Section:
    letters = [
        {"id": letter.id, "raw": letter.raw[:LETTER_LENGTH], "reason": letter.reason, "at": iso(letter.at)}
        for letter in services.dead_letters.latest(LATEST_LETTERS)
    ]
    batches = [{**asdict(batch), "at": iso(batch.at)} for batch in services.dead_letters.set_aside()]
    return {
        "pending": services.queue.count_pending(),
        "pending_bytes": services.queue.estimate_pending_bytes(),
        "in_flight": services.queue.count_in_flight(),
        "set_aside": batches,
        "dead_letters": {"count": services.dead_letters.count(), "latest": letters},
    }


def _jobs(services: Services) -> Section:
    return {"jobs": {name: _job(services, name) for name in JOBS}}


def _job(services: Services, name: str) -> Section:
    report = services.reports.read(name)
    if not report:
        return {"last_run": None, "outcome": "never ran", "duration_ms": None}
    return {**report, "last_run": iso(report["last_run"])}


def _embeddings(services: Services) -> Section:
    with services.database.transaction() as connection:
        users, updated_at = count_embeddings(connection)
        model = read_active_model(connection)
    shown = None
    if model is not None:
        shown = {
            "version": model.version,
            "built_at": model.built_at.astimezone(UTC).isoformat(),
            "items": model.items,
            "skipped": model.skipped,
            **_tuning(model),
        }
    return {"user_embeddings": {"users": users, "updated_at": iso(updated_at)}, "model": shown}


def _tuning(model: Model) -> Section:
    """What was learned of the ranking; `gain` is the ranker's lead over popularity in NDCG@20 on the latest slice."""
    trained = json.loads(model.learned)["trained"]
    hours = half_life_at(model.position)
    ranker = {"serves": trained["model"] is not None} | {name: trained[name] for name in ("gain", "slices", "users")}
    return {"popularity_half_life_hours": round(hours, 1) if hours < math.inf else None, "ranker": ranker}


def _cache(services: Services) -> Section:
    cold_start = services.cache.cold_start()
    return {
        "cache": {
            "cold_start_generated_at": cold_start["generated_at"] if cold_start else None,
            "cold_start_contents": len(cold_start["items"]) if cold_start else 0,
            "trending_topics": services.cache.trending_topics()[:LATEST_LETTERS],
            "ttl_seconds": services.settings.cache_ttl_seconds,
        }
    }


PARTS: tuple[tuple[Callable[[Services], Section], tuple[str, ...]], ...] = (
    (_queue, ("pending", "pending_bytes", "in_flight", "set_aside", "dead_letters")),
    (_jobs, ("jobs",)),
    (_embeddings, ("user_embeddings", "model")),
    (_cache, ("cache",)),
)


def iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
