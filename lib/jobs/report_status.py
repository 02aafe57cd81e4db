"""What /api/status shows: what waits, what the jobs did, how fresh the results are, what is tuned how.

A service that is away takes its own part of the answer with it and no other.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from lib.adapters.embedding_store import Model, count_embeddings, read_active_model
from lib.adapters.services import Services
from lib.core.attention import notices
from lib.core.counts import HOUR_SECONDS, Counts, hit_rate, job_counts, last_hours
from lib.core.half_lives import half_life_at
from lib.core.ranker.kinds import shares_of_kinds
from lib.core.schedules import JOBS
from lib.errors import RecommenderError
from lib.jobs.report_shards import report_shards
from lib.jobs.tuning import interest_half_life_days, popularity_position
from lib.settings import Settings
from lib.time_limit import seconds_left, time_limit

LATEST_LETTERS = 10
MOST_SECONDS = 60.0
LETTER_LENGTH = 500  # characters of a dead letter that are shown
COUNTED_BY_THE_HOUR = ("applied", "duplicates", "rejected", "cache_hits", "cache_misses")

Section = dict[str, Any]


def report_status(services: Services, now: datetime) -> Section:
    """The document of /api/status. A part that could not be read is null, and `errors` says why."""
    status: Section = {"generated_at": now.astimezone(UTC).isoformat()}
    errors: list[str] = []
    for parts_before, (read, names) in enumerate(PARTS):
        try:
            # A service that hangs leaves the other parts their share of the time.
            with time_limit(seconds_left(MOST_SECONDS) / (len(PARTS) - parts_before)):
                status |= read(services, now)
        except RecommenderError as error:
            errors.append(error.message.map(services.settings.redact))
            status |= dict.fromkeys(names)
    status["errors"] = errors
    found = notices(status, now=now, interval_seconds=services.settings.actions_interval_seconds)
    return {**status, "attention": [asdict(notice) for notice in found]}


def _queue(services: Services, now: datetime) -> Section:
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


def _jobs(services: Services, now: datetime) -> Section:
    hours = last_hours(now.timestamp())
    by_hour, totals = services.reports.counts(hours)
    return {
        "jobs": {name: _job(services, name) for name in JOBS},
        "last_day": {
            "hours": [_hour(hour, counts) for hour, counts in zip(hours, by_hour, strict=True)],
            "cache_hit_rate": _rounded(hit_rate(by_hour)),
        },
        "totals": _counted(totals),
    }


def _job(services: Services, name: str) -> Section:
    """The last run that did something in the job's own fields; an idle tick changes `last_run` alone."""
    last_run, runs = services.reports.last_run(name), services.reports.runs(name)
    if last_run is None:
        return {"last_run": None, "outcome": "never ran", "duration_ms": None, "runs": []}
    latest = runs[0] if runs else {"outcome": "ok", "duration_ms": None, "summary": {}}
    return {
        "last_run": iso(last_run),
        "outcome": latest["outcome"],
        "duration_ms": latest["duration_ms"],
        **latest["summary"],
        "runs": [{**run, "at": iso(run["at"])} for run in runs],
    }


def _hour(hour: int, counts: Counts) -> Section:
    return {"hour": iso(hour * HOUR_SECONDS), **_counted(counts)}


def _counted(counts: Counts) -> Section:
    """With every job and a zero for what did not happen."""
    return {
        **{name: counts.get(name, 0) for name in COUNTED_BY_THE_HOUR},
        "jobs": {name: job_counts(counts, name) for name in JOBS},
    }


def _database(services: Services, now: datetime) -> Section:
    with services.database.transaction() as connection:
        users, updated_at = count_embeddings(connection)
        model = read_active_model(connection)
        fan_out = report_shards(connection, now)
    shown = None
    if model is not None:
        shown = {
            "version": model.version,
            "built_at": model.built_at.astimezone(UTC).isoformat(),
            "items": model.items,
            "skipped": model.skipped,
            **_learned(model),
        }
    return {
        "user_embeddings": {"users": users, "updated_at": iso(updated_at)},
        "model": shown,
        "tuning": _tuning(services.settings, model),
        "fan_out": fan_out,
    }


def _learned(model: Model) -> Section:
    """What was learned of the ranking; `gain` is the ranker's lead over popularity in NDCG@20 on the latest slice."""
    trained = json.loads(model.learned)["trained"]
    ranker = {"serves": trained["model"] is not None} | {name: trained[name] for name in ("gain", "slices", "users")}
    return {
        "popularity_half_life_hours": _hours(model.position),
        "ranker": ranker | {"weights": _weights(trained["model"])},
    }


def _weights(ranker: Section | None) -> dict[str, float] | None:
    """What the ranker goes by: kind of feature -> share. Interactions with the kind of reader are left out."""
    if ranker is None:
        return None
    n_features = len(ranker["mean"])
    return shares_of_kinds(ranker["names"][:n_features], ranker["weights"][:n_features])


def _tuning(settings: Settings, model: Model | None) -> Section:
    """What is in force now, and whether the environment, the replay of the log, or nobody chose it."""
    was_replayed = model is not None and json.loads(model.learned)["trained"]["slices"]
    chosen_by = "setting" if settings.popularity_position is not None else "replay" if was_replayed else "default"
    return {
        "popularity_half_life_hours": _hours(popularity_position(settings, model)),
        "popularity_half_life_chosen_by": chosen_by,
        "interest_half_life_days": round(interest_half_life_days(settings, model), 2),
        "history_length": settings.history_length,
        "action_weights": dict(settings.action_weights),
    }


def _hours(position: float) -> float | None:
    """None: popularity never decays."""
    hours = half_life_at(position)
    return round(hours, 1) if hours < math.inf else None


def _cache(services: Services, now: datetime) -> Section:
    cold_start = services.cache.cold_start()
    return {
        "cache": {
            "cold_start_generated_at": cold_start["generated_at"] if cold_start else None,
            "cold_start_contents": len(cold_start["items"]) if cold_start else 0,
            "trending_topics": services.cache.trending_topics()[:LATEST_LETTERS],
            "ttl_seconds": services.settings.cache_ttl_seconds,
        }
    }


PARTS: Sequence[tuple[Callable[[Services, datetime], Section], tuple[str, ...]]] = (
    (_queue, ("pending", "pending_bytes", "in_flight", "set_aside", "dead_letters")),
    (_jobs, ("jobs", "last_day", "totals")),
    (_database, ("user_embeddings", "model", "tuning", "fan_out")),
    (_cache, ("cache",)),
)


def iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
