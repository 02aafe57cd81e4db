"""What the page of /api/status draws and says beyond the document itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lib.core.schedules import JOBS
from lib.text import Text
from lib.web.plots import bars
from lib.web.times import duration

# What a ranker goes by, in words (lib/core/ranker/kinds.py).
KINDS = {
    "popularity": Text("how popular content is"),
    "freshness": Text("how new it is"),
    "readers_alike": Text("what readers like him read"),
    "similar_reads": Text("what goes with what he read"),
    "similar_text": Text("how alike the app's own vectors are"),
    "other": Text("other features"),
}


@dataclass(frozen=True)
class Plot:
    """The hours of a day, the current one last. `largest` says in words how much the highest bar is."""

    name: str
    title: Text
    values: Sequence[float]
    largest: str
    description: Text
    kind: str = ""


def status_values(document: Mapping[str, Any]) -> dict[str, object]:
    """What the template needs."""
    ranker = (document["model"] or {}).get("ranker") or {}
    return {
        "status": document,
        "titles": {name: job.title for name, job in JOBS.items()},
        "plots": plots(document),
        "kinds": first_kinds(ranker.get("weights") or {}),
        "bars": bars,
        "duration": duration,
    }


def plots(status: Mapping[str, Any]) -> dict[str, Plot]:
    """By name: applied, failed, and of each job its longest runs. None where Redis could not be read."""
    if status["last_day"] is None:
        return {}
    hours = status["last_day"]["hours"]
    applied = [hour["applied"] for hour in hours]
    failed = [sum(job["failed"] for job in hour["jobs"].values()) for hour in hours]
    drawn = [
        Plot("applied", Text("Actions applied an hour"), applied, f"{max(applied):,}", _in_words(hours, applied)),
        Plot("failed", Text("Failed runs an hour"), failed, f"{max(failed):,}", _in_words(hours, failed), "bad"),
    ]
    for name in JOBS:
        longest = [hour["jobs"][name]["longest_ms"] for hour in hours]
        title, words = Text("Longest run of each hour"), _longest_in_words(hours, longest)
        drawn.append(Plot(name, title, longest, duration(max(longest)), words))
    return {plot.name: plot for plot in drawn}


def first_kinds(weights: Mapping[str, float], most: int = 3) -> list[tuple[Text, int]]:
    """The kinds of features that weigh most, with their per cent."""
    ordered = sorted(weights.items(), key=lambda pair: -pair[1])
    return [(KINDS[kind], round(100 * share)) for kind, share in ordered[:most] if share >= 0.005]


def _in_words(hours: Sequence[Mapping[str, Any]], values: Sequence[int]) -> Text:
    if not any(values):
        return Text("None in the last 24 hours.")
    return Text(
        "{n:,} in the last 24 hours; the most, {most:,}, in the hour from {hour} UTC.",
        n=sum(values),
        most=max(values),
        hour=_clock(hours[values.index(max(values))]),
    )


def _longest_in_words(hours: Sequence[Mapping[str, Any]], values: Sequence[int]) -> Text:
    if not any(values):
        return Text("No run in the last 24 hours did anything.")
    hour = _clock(hours[values.index(max(values))])
    return Text("The longest took {duration}, in the hour from {hour} UTC.", duration=duration(max(values)), hour=hour)


def _clock(hour: Mapping[str, Any]) -> str:
    return str(hour["hour"])[11:16]
