"""What is a candidate for everybody: the popular at each half-life, the new, and what nobody has met."""

import math

import pytest

from lib.adapters import candidate_pool as pool_module
from lib.adapters.candidate_pool import CandidatePool, candidates_for_everybody
from lib.adapters.database import Connection
from lib.adapters.item_store import CatalogueRow
from lib.core import exploration
from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.ranker import site as site_module
from tests.adapters.test_catalogue import HOUR, NOW, add_content, add_popularity, at

YEAR = 365 * 24 * HOUR


def row(
    content_id: str,
    *,
    reads: float | None = None,
    as_of: float = NOW - YEAR,
    first_seen: float | None = NOW - YEAR,
    published_at: float | None = None,
) -> CatalogueRow:
    if reads is None:
        return CatalogueRow(content_id, published_at, None, None, first_seen)
    return CatalogueRow(content_id, published_at, as_of, [reads] * len(HALF_LIVES_HOURS), first_seen)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of each kind."""
    monkeypatch.setattr(site_module, "_PER_HALF_LIFE", 2)
    monkeypatch.setattr(site_module, "_NEWEST", 2)
    monkeypatch.setattr(exploration, "FEWEST_NEW", 2)
    monkeypatch.setattr(exploration, "MOST_NEW", 3)


def test_the_popular_of_every_half_life_and_the_newest_are_candidates() -> None:
    catalogue = [
        row("always", reads=90.0),
        row("lately", reads=3.0, as_of=NOW),
        *[row(f"neither {number}", reads=1.0) for number in range(5)],
        row("newer", reads=0.1, first_seen=NOW - 2 * HOUR),
        row("newest", reads=0.1, first_seen=NOW - HOUR),
    ]
    assert candidates_for_everybody(catalogue, NOW, new_since=NOW - YEAR) == ["always", "lately", "newer", "newest"]


@pytest.mark.parametrize("first_seen", [None, math.inf], ids=["unknown to the model", "met by nobody at its building"])
def test_what_was_met_after_the_model_was_built_is_as_new_as_its_latest_action(first_seen: float | None) -> None:
    catalogue = [
        *[row(f"popular {number}", reads=9.0, as_of=NOW) for number in range(3)],
        row("long met", reads=0.1, first_seen=NOW - HOUR),
        row("met", reads=0.1, as_of=NOW - YEAR / 2, first_seen=first_seen),
        row("just met", reads=0.1, as_of=NOW - YEAR / 3, first_seen=first_seen),
    ]
    assert candidates_for_everybody(catalogue, NOW, new_since=NOW - YEAR) == [
        "popular 0",
        "popular 1",
        "long met",
        "just met",
    ]


@pytest.mark.parametrize(
    ("since", "new"),
    [(NOW - HOUR / 2, ["b", "c"]), (NOW - 20 * HOUR, ["b", "c", "a"]), (NOW - YEAR, ["b", "c", "a"])],
    ids=["two in any case", "more that are recent", "three at most"],
)
def test_of_what_nobody_has_met_the_newest_come_last(since: float, new: list[str]) -> None:
    catalogue = [
        row("a", first_seen=None, published_at=NOW - 9 * HOUR),
        row("b", first_seen=math.inf, published_at=NOW),
        row("c", first_seen=None, published_at=NOW - HOUR),
        row("d", first_seen=None),
        row("e", published_at=NOW - 30 * HOUR, first_seen=None),
        row("met", reads=1.0),
    ]
    assert candidates_for_everybody(catalogue, NOW, new_since=since) == ["met", *new]


def test_what_was_only_disliked_is_not_new() -> None:
    catalogue = [row("disliked", published_at=NOW), row("new", first_seen=None, published_at=NOW - HOUR)]
    assert candidates_for_everybody(catalogue, NOW, new_since=NOW - YEAR) == ["disliked", "new"]
    several = [row(f"popular {number}", reads=1.0, as_of=NOW, first_seen=NOW) for number in range(2)]
    assert "disliked" not in candidates_for_everybody([*catalogue, *several], NOW, new_since=NOW)


def test_of_nothing_there_is_nothing() -> None:
    assert candidates_for_everybody([], NOW, new_since=NOW) == []


def read(pool: CandidatePool, connection: Connection, *, language: str | None = None, version: int = 1) -> list[str]:
    return pool.read(connection, version, language=language, now=NOW, new_since=NOW)


def test_the_candidates_of_a_small_catalogue_are_read_each_time(connection: Connection) -> None:
    pool = CandidatePool()
    assert read(pool, connection) == []
    add_content(connection, "a")
    assert read(pool, connection) == ["a"]


def test_those_of_a_large_one_are_kept_for_a_while(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "SMALL", 0)
    pool, seconds = CandidatePool(), [0.0]
    monkeypatch.setattr("time.monotonic", lambda: seconds[0])
    add_content(connection, "a", published_at=at(NOW))
    assert read(pool, connection) == ["a"]
    add_content(connection, "b", published_at=at(NOW - HOUR))
    assert read(pool, connection) == ["a"]
    seconds[0] = pool_module.KEPT_SECONDS
    assert read(pool, connection) == ["a", "b"]


def test_those_that_are_kept_are_of_one_version_and_one_language(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "SMALL", 0)
    pool = CandidatePool()
    add_content(connection, "a", language="en")
    assert read(pool, connection) == ["a"]
    add_content(connection, "b", language="de")
    add_popularity(connection, "b", 1.0)
    assert read(pool, connection, language="de") == ["b"]
    assert read(pool, connection, language="fr") == []
    assert read(pool, connection) == ["a"]
    assert read(pool, connection, version=2) == ["b", "a"]
