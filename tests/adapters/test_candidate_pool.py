"""What is a candidate for everybody: the popular at each half-life, the new, and what nobody has met."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from lib.adapters import candidate_pool as pool_module
from lib.adapters.candidate_pool import candidates_for_everybody, read_new_ones, read_pool
from lib.adapters.contender_store import add_contenders, begin_choice, end_choice, read_met
from lib.adapters.database import Connection
from lib.core import exploration
from lib.core.contenders import Met, choose
from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.pools import ALL, UNKNOWN
from lib.core.ranker import site as site_module
from lib.core.ranker.site import pool_sizes
from tests.adapters.test_catalogue import HOUR, NOW, add_content, add_popularity, at

YEAR = 365 * 24 * HOUR

Row = tuple[str, float, float, float]


def row(content_id: str, *, reads: float = 0.0, as_of: float = NOW - YEAR, first_seen: float = NOW - YEAR) -> Row:
    return content_id, reads, as_of, first_seen


def disliked(content_id: str) -> Row:
    return row(content_id, as_of=-math.inf)


def candidates(*rows: Row) -> list[str]:
    """The candidates for everybody among these, which are in the order of ids."""
    content_ids, reads, as_of, first_seen = (list(column) for column in zip(*sorted(rows), strict=True))
    sums = np.outer(reads, np.ones(len(HALF_LIVES_HOURS)))
    n = len(rows)
    met = Met(content_ids, [None] * n, np.ones(n, bool), np.array(as_of), sums, np.array(first_seen))
    return candidates_for_everybody(met, NOW)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of each kind, and of what nobody has met three at most."""
    monkeypatch.setattr(site_module, "_PER_HALF_LIFE", 2)
    monkeypatch.setattr(site_module, "_NEWEST", 2)
    monkeypatch.setattr(exploration, "FEWEST_NEW", 2)
    monkeypatch.setattr(exploration, "MOST_NEW", 3)


def test_the_popular_of_every_half_life_and_the_newest_are_candidates() -> None:
    found = candidates(
        row("always", reads=90.0),
        row("lately", reads=3.0, as_of=NOW),
        *[row(f"neither {number}", reads=1.0) for number in range(5)],
        row("newer", reads=0.1, first_seen=NOW - 2 * HOUR),
        row("newest", reads=0.1, first_seen=NOW - HOUR),
    )
    assert found == ["always", "lately", "newer", "newest"]


def test_the_newest_are_those_that_were_met_last() -> None:
    found = candidates(
        *[row(f"popular {number}", reads=9.0, as_of=NOW) for number in range(3)],
        row("long met", reads=0.1, first_seen=NOW - HOUR),
        row("met", reads=0.1, as_of=NOW - HOUR, first_seen=NOW - 3 * HOUR),
        row("just met", reads=0.1, as_of=NOW - HOUR, first_seen=NOW - 2 * HOUR),
        row("nobody knows when", reads=0.1, as_of=NOW, first_seen=-math.inf),
    )
    assert found == ["just met", "long met", "popular 0", "popular 1"]


def test_what_was_only_disliked_is_among_the_popular_where_there_is_nothing_else_alone() -> None:
    assert candidates(disliked("disliked")) == ["disliked"]
    several = [row(f"popular {number}", reads=1.0, as_of=NOW, first_seen=NOW) for number in range(2)]
    assert "disliked" not in candidates(disliked("disliked"), *several)


def add_item(connection: Connection, content_id: str, first_seen: float, *, version: int = 1) -> None:
    """What a model knows of it."""
    statistics = [first_seen, *[0.0] * 9]
    connection.execute(
        "INSERT INTO recs_items SELECT %s, count(*), %s, %s, '', '', '' FROM recs_items",
        [version, content_id, statistics],
    )


def unmet(
    connection: Connection, *, version: int | None = 1, language: str | None = None, since: float = NOW
) -> list[str]:
    return read_new_ones(connection, version, language=language, since=since)


def test_of_what_nobody_has_met_there_are_the_newest_in_this_order(connection: Connection) -> None:
    add_content(connection, "a", published_at=at(NOW - 9 * HOUR))
    add_content(connection, "b", published_at=at(NOW))
    add_content(connection, "c", updated_at=at(NOW - HOUR))
    add_content(connection, "met", "gone", published_at=at(NOW + HOUR))
    add_popularity(connection, "met", 1.0)
    connection.execute("UPDATE content SET available = false WHERE content_id = 'gone'")
    add_item(connection, "b", math.inf)
    assert unmet(connection) == ["b", "c"]


@pytest.mark.parametrize(
    ("since", "new"),
    [(NOW - HOUR / 2, ["b", "c"]), (NOW - 20 * HOUR, ["b", "c", "a"]), (NOW - YEAR, ["b", "c", "a"])],
    ids=["two in any case", "more that are recent", "three at most"],
)
def test_of_what_nobody_has_met_there_are_more_where_more_is_recent(
    connection: Connection, since: float, new: list[str]
) -> None:
    for content_id, hours in {"a": 9, "b": 0, "c": 1, "d": 30}.items():
        add_content(connection, content_id, published_at=at(NOW - hours * HOUR))
    assert unmet(connection, since=since) == new


def test_of_equally_new_content_the_lower_id_comes_first(connection: Connection) -> None:
    add_content(connection, "c", "b", "a", published_at=at(NOW))
    assert unmet(connection) == ["a", "b", "c"]


def test_what_was_only_disliked_is_new_until_a_model_knows_it(connection: Connection) -> None:
    add_content(connection, "disliked", "new", published_at=at(NOW))
    add_item(connection, "disliked", NOW - HOUR, version=1)
    assert unmet(connection, version=None) == unmet(connection, version=2) == ["disliked", "new"]
    assert unmet(connection, version=1) == ["new"]


def test_unmet_content_is_looked_for_in_the_language_and_not_without_end(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_content(connection, "en1", "en2", "en3", language="en", published_at=at(NOW))
    add_content(connection, "de1", "de2", language="de", published_at=at(NOW - HOUR))
    assert unmet(connection, language="de") == ["de1", "de2"]
    assert unmet(connection, language="fi") == []
    monkeypatch.setattr(pool_module, "LOOKED_AT", 2)
    for content_id in ("en1", "en2"):
        add_popularity(connection, content_id, 1.0)
    assert unmet(connection) == []
    assert unmet(connection, language="de") == ["de1", "de2"]


def test_the_pool_of_nothing_is_empty(connection: Connection) -> None:
    assert read_pool(connection, None, language=None, now=NOW, new_since=NOW) == []


def test_what_nobody_has_met_comes_last_in_the_pool(connection: Connection) -> None:
    add_content(connection, "a", "z", published_at=at(NOW))
    add_popularity(connection, "z", 1.0)
    assert read_pool(connection, None, language=None, now=NOW, new_since=NOW) == ["z", "a"]


VERSION = 1


@pytest.fixture
def chosen(connection: Connection) -> Connection:
    """Twelve contents in two languages, the higher numbers the more popular; the contenders of that, four of each."""
    for number in range(12):
        content_id = f"item {number:02}"
        add_content(connection, content_id, language=("en", "de")[number % 2])
        add_popularity(connection, content_id, 1.0 + number)
        add_item(connection, content_id, NOW - (20 - number) * HOUR)
    choose_now(connection)
    return connection


def choose_now(connection: Connection, *, version: int | None = VERSION) -> int:
    generation = begin_choice(connection)
    end_choice(
        connection,
        choose(read_met(connection, version, language=None), pool_sizes()),
        generation=generation,
        version=version,
    )
    return generation


def contending(connection: Connection, pool: str = ALL) -> set[str]:
    rows = connection.execute("SELECT content_id FROM recs_contenders WHERE pool = %s", [pool])
    return {content_id for (content_id,) in rows}


@pytest.fixture
def looks_at_all(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The languages of the reads that have looked at the whole catalogue."""
    languages: list[str | None] = []

    def read(connection: Connection, version: int | None, *, language: str | None) -> Iterator[Met]:
        languages.append(language)
        return read_met(connection, version, language=language)

    monkeypatch.setattr(pool_module, "read_met", read)
    return languages


def pool(connection: Connection, *, language: str | None = None, version: int | None = VERSION) -> list[str]:
    return read_pool(connection, version, language=language, now=NOW, new_since=NOW)


def test_once_contenders_are_chosen_nothing_else_is_looked_at(
    chosen: Connection, looks_at_all: list[str | None]
) -> None:
    assert contending(chosen) == {f"item {number:02}" for number in (8, 9, 10, 11)}
    assert pool(chosen) == ["item 10", "item 11"]
    assert pool(chosen, language="en") == ["item 08", "item 10"]
    assert looks_at_all == []


@pytest.mark.parametrize("statement", ["DELETE FROM content", "UPDATE content SET available = false"])
def test_while_enough_contenders_are_left_what_goes_makes_place_for_the_next(
    chosen: Connection, looks_at_all: list[str | None], statement: str
) -> None:
    chosen.execute(f"{statement} WHERE content_id IN ('item 11', 'item 09')".encode())
    assert pool(chosen) == ["item 08", "item 10"]
    assert looks_at_all == []


@pytest.mark.parametrize("statement", ["DELETE FROM content", "UPDATE content SET available = false"])
def test_when_too_many_contenders_are_gone_the_whole_catalogue_is_looked_at(
    chosen: Connection, looks_at_all: list[str | None], statement: str
) -> None:
    chosen.execute(f"{statement} WHERE content_id > 'item 08'".encode())
    assert pool(chosen) == ["item 07", "item 08"]
    assert looks_at_all == [None]


def test_contenders_that_have_lost_what_they_had_are_none(chosen: Connection, looks_at_all: list[str | None]) -> None:
    """As when users are forgotten."""
    chosen.execute("UPDATE recs_popularity SET sums = array_fill(0.5::float8, ARRAY[7]) WHERE content_id > 'item 08'")
    assert pool(chosen) == ["item 07", "item 08", "item 10", "item 11"]
    assert looks_at_all == [None]


@pytest.mark.parametrize(("version", "language"), [(2, None), (None, None), (2, "fi")])
def test_what_contenders_were_not_chosen_for_looks_at_the_whole_catalogue(
    chosen: Connection, looks_at_all: list[str | None], version: int | None, language: str | None
) -> None:
    pool(chosen, version=version, language=language)
    assert looks_at_all == [language]


def test_of_a_language_that_nothing_had_at_the_choice_there_is_what_was_met_since(
    chosen: Connection, looks_at_all: list[str | None]
) -> None:
    assert pool(chosen, language="fi") == []
    add_content(chosen, "uusi", language="fi")
    add_popularity(chosen, "uusi", 1.0)
    add_contenders(chosen, 1, [(UNKNOWN, "uusi")])
    assert pool(chosen, language="fi") == ["uusi"]
    assert looks_at_all == []


def test_before_the_first_choice_the_whole_catalogue_is_looked_at(
    connection: Connection, looks_at_all: list[str | None]
) -> None:
    add_content(connection, "a")
    add_popularity(connection, "a", 1.0)
    assert pool(connection) == ["a"]
    assert looks_at_all == [None]


def test_a_choice_replaces_the_one_before(chosen: Connection, looks_at_all: list[str | None]) -> None:
    chosen.execute("UPDATE recs_popularity SET sums = array_fill(50::float8, ARRAY[7]) WHERE content_id = 'item 03'")
    choose_now(chosen)
    assert contending(chosen) == {"item 03", "item 08", "item 09", "item 10", "item 11"}
    assert pool(chosen) == ["item 03", "item 10", "item 11"]
    assert looks_at_all == []


def test_what_the_model_does_not_know_is_as_new_as_the_drain_that_met_it(connection: Connection) -> None:
    add_content(connection, "known", "met", "of before")
    for content_id in ("known", "met", "of before"):
        add_popularity(connection, content_id, 1.0)
    add_item(connection, "known", NOW - 5 * HOUR)
    connection.execute("UPDATE recs_popularity SET as_of = as_of + 60 WHERE content_id = 'met'")
    connection.execute("UPDATE recs_popularity SET first_at = NULL WHERE content_id = 'of before'")
    [met] = read_met(connection, VERSION, language=None)
    found = dict(zip(met.content_ids, met.first_seen.tolist(), strict=True))
    assert found == {"known": NOW - 5 * HOUR, "met": NOW, "of before": -math.inf}


def test_of_two_choices_at_once_the_one_that_began_last_stays(chosen: Connection) -> None:
    first, second = begin_choice(chosen), begin_choice(chosen)
    everything = list(read_met(chosen, VERSION, language=None))
    for generation, n in ((second, 1), (first, 3)):
        end_choice(chosen, choose(everything, [n] * len(pool_sizes())), generation=generation, version=VERSION)
    assert contending(chosen) == {"item 10", "item 11"}


def test_what_is_added_while_a_choice_is_on_its_way_outlives_it(chosen: Connection) -> None:
    generation = begin_choice(chosen)
    everything = list(read_met(chosen, VERSION, language=None))
    add_contenders(chosen, generation, [(ALL, "item 00"), (ALL, "item 11")])
    end_choice(chosen, choose(everything, pool_sizes()), generation=generation, version=VERSION)
    assert contending(chosen) == {f"item {number:02}" for number in (0, 8, 9, 10, 11)}


def test_while_content_is_wholly_empty_contenders_are_what_the_log_knows(
    connection: Connection, looks_at_all: list[str | None]
) -> None:
    add_popularity(connection, "known", 1.0)
    choose_now(connection)
    assert pool(connection) == ["known"]
    add_content(connection, "filled")
    assert pool(connection) == ["filled"]
    assert looks_at_all == []
