"""The status as Prometheus reads it: text exposition format 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/. A part of the status that is null has no samples, and
recs_readable says so. Counters begin again at 0 where nothing was counted for 30 days, as counters may.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# A key of the status by which each part is known to be there.
PARTS = {"queue": "pending", "jobs": "jobs", "embeddings": "user_embeddings", "cache": "cache"}

Status = Mapping[str, Any]
Value = float | str | None  # str: a time in ISO 8601; None: no sample
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Metric:
    """`samples`: suffix of the name, labels, value."""

    name: str
    kind: str
    help: str
    samples: Sequence[tuple[str, Labels, Value]]


def exposition(status: Status) -> str:
    """Every metric that has a sample."""
    return "".join(_text(metric) for metric in _metrics(status))


def _metrics(status: Status) -> Iterator[Metric]:
    readable = [("", {"part": part}, float(status[key] is not None)) for part, key in PARTS.items()]
    yield Metric("recs_readable", "gauge", "Whether this part of the status could be read.", readable)
    if status["pending"] is not None:
        yield from _queue(status)
    if status["jobs"] is not None:
        yield from _jobs(status["jobs"])
        yield from _totals(status["totals"])
    if status["user_embeddings"] is not None:
        yield from _shards(status["fan_out"])
        yield from _embeddings(status)
    if status["cache"] is not None:
        yield from _cache(status["cache"])


def _queue(status: Status) -> Iterator[Metric]:
    yield _gauge("recs_pending_actions", "Actions that wait in the list.", status["pending"])
    yield _gauge("recs_pending_bytes", "How large that list is, estimated.", status["pending_bytes"])
    yield _gauge("recs_in_flight_actions", "Actions that a drain has claimed and not finished.", status["in_flight"])
    yield _gauge("recs_dead_letters", "Actions that could not be applied.", status["dead_letters"]["count"])
    yield _gauge("recs_set_aside_batches", "Batches that failed again and again.", len(status["set_aside"]))


def _jobs(jobs: Mapping[str, Any]) -> Iterator[Metric]:
    name = "recs_job_last_run_timestamp_seconds"
    yield _by_job(name, "When the job ran last.", {name: job["last_run"] for name, job in jobs.items()})
    succeeded = {name: float(job["outcome"] == "ok") for name, job in jobs.items() if job["last_run"] is not None}
    yield _by_job("recs_job_last_run_success", "Whether the last run that did something ended well.", succeeded)


def _shards(runs: Mapping[str, Any]) -> Iterator[Metric]:
    """Of the latest runs that were too much for one call."""
    numbers = {
        "recs_run_shards": ("shards", "Shards of the job's latest run."),
        "recs_run_shards_done": ("shards_done", "Those of them that are done."),
        "recs_run_users": ("users", "Users of the job's latest run."),
        "recs_run_users_done": ("users_done", "Those of them that are done."),
    }
    for name, (key, help_) in numbers.items():
        yield _by_job(name, help_, {job: float(run[key]) for job, run in runs.items()})
    straggling = {job: float(run["stragglers"]["count"]) for job, run in runs.items()}
    yield _by_job("recs_run_shards_straggling", "Shards that nobody seems to be working on.", straggling)


def _totals(totals: Mapping[str, Any]) -> Iterator[Metric]:
    actions = {"applied": "applied", "duplicate": "duplicates", "rejected": "rejected"}
    applied = [("", {"result": result}, float(totals[name])) for result, name in actions.items()]
    yield Metric("recs_actions_total", "counter", "Actions that were drained, by what became of them.", applied)
    reads = [("", {"result": result}, float(totals[name])) for result, name in CACHE_RESULTS.items()]
    yield Metric("recs_cache_reads_total", "counter", "Reads of users' cached lists by /api/recommend.", reads)
    jobs: Mapping[str, Mapping[str, int]] = totals["jobs"]
    failures = {name: float(counts["failed"]) for name, counts in jobs.items()}
    yield _by_job("recs_job_failures_total", "Runs that failed.", failures, kind="counter")
    durations = [
        sample
        for name, counts in jobs.items()
        for sample in (("_sum", {"job": name}, counts["ms"] / 1000), ("_count", {"job": name}, float(counts["runs"])))
    ]
    yield Metric("recs_job_duration_seconds", "summary", "How long runs took that did something or failed.", durations)


CACHE_RESULTS = {"hit": "cache_hits", "miss": "cache_misses"}


def _embeddings(status: Status) -> Iterator[Metric]:
    embeddings, model, tuning = status["user_embeddings"], status["model"], status["tuning"]
    yield _gauge("recs_user_embeddings", "Users who have an embedding.", embeddings["users"])
    name = "recs_user_embeddings_updated_timestamp_seconds"
    yield _gauge(name, "When an embedding was written last.", embeddings["updated_at"])
    hours = tuning["popularity_half_life_hours"]
    seconds = math.inf if hours is None else hours * 3600
    yield _gauge("recs_popularity_half_life_seconds", "After which an action counts half for popularity.", seconds)
    if model is not None:
        yield _gauge("recs_model_built_timestamp_seconds", "When the model in force was learned.", model["built_at"])
        yield _gauge("recs_model_items", "Contents that the model in force knows.", model["items"])
        serves = float(bool(model["ranker"] and model["ranker"]["serves"]))
        yield _gauge("recs_ranker_serves", "Whether lists are ranked by what replaying the log taught.", serves)


def _cache(cache: Mapping[str, Any]) -> Iterator[Metric]:
    yield _gauge("recs_cold_start_contents", "Contents on the list for strangers.", cache["cold_start_contents"])
    name = "recs_cold_start_generated_timestamp_seconds"
    yield _gauge(name, "When that list was made.", cache["cold_start_generated_at"])
    yield _gauge("recs_trending_topics", "Topics that are trending, 10 at most.", len(cache["trending_topics"]))


def _gauge(name: str, help_: str, value: Value) -> Metric:
    return Metric(name, "gauge", help_, [("", {}, value)])


def _by_job(name: str, help_: str, values: Mapping[str, Value], *, kind: str = "gauge") -> Metric:
    return Metric(name, kind, help_, [("", {"job": job}, value) for job, value in values.items()])


def _text(metric: Metric) -> str:
    lines = [
        f"{metric.name}{suffix}{_labels(labels)} {_number(value)}\n"
        for suffix, labels, value in metric.samples
        if value is not None
    ]
    about = f"# HELP {metric.name} {_escape(metric.help)}\n# TYPE {metric.name} {metric.kind}\n"
    return about + "".join(lines) if lines else ""


def _labels(labels: Labels) -> str:
    pairs = [f'{name}="{_escape(value, quotes=True)}"' for name, value in labels.items()]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escape(text: str, *, quotes: bool = False) -> str:
    """As the format says; only a label's value has quotes around it."""
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text


def _number(value: float | str) -> str:
    if isinstance(value, str):
        value = datetime.fromisoformat(value).timestamp()
    return "+Inf" if value == math.inf else f"{value:.15g}"
