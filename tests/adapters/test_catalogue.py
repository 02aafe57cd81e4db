from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from lib.adapters.candidate_pool import read_pool
from lib.adapters.catalogue import (
    decay_parameters,
    read_active_users,
    read_allowed,
    read_popular,
)
from lib.adapters.database import Connection, Database
from lib.adapters.item_store import read_items
from lib.adapters.shard_store import Split
from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.half_lives import position_of
from lib.core.popularity import carry
from lib.core.ranker.half_life import blend_weights
from lib.core.ranker.items import log_popularity
from tests.conftest import MakeDatabase

NOW = 1_700_000_000.0
HOUR = 3600.0
DECAY = decay_parameters(NOW, position_of(36.0))


@pytest.fixture
def database(make_database: MakeDatabase, schema_template: str) -> Iterator[Database]:
    """An empty one with our schema."""
    with closing(Database(make_database(schema_template), max_connections=1)) as database:
        yield database


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def add_content(connection: Connection, *content_ids: str, **columns: Any) -> None:
    names = ", ".join(["content_id", *columns])
    for content_id in content_ids:
        values = [content_id, *columns.values()]
        marks = ", ".join(["%s"] * len(values))
        connection.execute(f"INSERT INTO content ({names}) VALUES ({marks})".encode(), values)


def add_popularity(connection: Connection, content_id: str, sum_: float, *, as_of: float = NOW) -> None:
    sums = [sum_] * len(HALF_LIVES_HOURS)
    row = [content_id, as_of, sums, as_of]
    connection.execute("INSERT INTO recs_popularity (content_id, as_of, sums, first_at) VALUES (%s, %s, %s, %s)", row)


def add_action(
    connection: Connection,
    user_id: str,
    content_id: str,
    action: str = "view",
    *,
    occurred_at: float = NOW,
    received_at: float | None = None,
) -> None:
    received_at = occurred_at if received_at is None else received_at
    values = [user_id, content_id, action, at(occurred_at), at(received_at)]
    connection.execute(
        "INSERT INTO user_actions (event_id, user_id, content_id, action, occurred_at, received_at)"
        " VALUES (gen_random_uuid(), %s, %s, %s, %s, %s)",
        values,
    )


def popular_ids(connection: Connection, *, n: int = 10, language: str | None = None) -> list[str]:
    return [row.content_id for row in read_popular(connection, n=n, language=language, decay=DECAY)]


def shown_ids(connection: Connection, *, language: str | None = None) -> list[str]:
    """What a pool of candidates shows of few contents, in the order of ids."""
    return sorted(read_pool(connection, None, language=language, now=NOW, new_since=NOW))


def available_ids(connection: Connection, *content_ids: str, language: str | None = None) -> list[str]:
    """Those of `content_ids` that the details of items say may be shown."""
    items = read_items(connection, None, content_ids=content_ids, language=language)
    assert items.content_ids == sorted(content_ids)
    return [items.content_ids[index] for index in np.flatnonzero(items.available)]


def test_while_content_is_wholly_empty_what_the_log_knows_may_be_shown(connection: Connection) -> None:
    add_popularity(connection, "known", 1.0)
    assert shown_ids(connection) == ["known"]
    assert available_ids(connection, "known", "unknown") == ["known"]
    assert popular_ids(connection) == ["known"]


@pytest.mark.parametrize("available", [True, False], ids=["available", "not available"])
def test_once_content_has_one_row_only_available_rows_may_be_shown(connection: Connection, available: bool) -> None:
    add_popularity(connection, "known", 1.0)
    add_content(connection, "filled", available=available)
    shown = ["filled"] if available else []
    assert shown_ids(connection) == shown
    assert available_ids(connection, "known", "filled") == shown
    assert popular_ids(connection) == shown


STRANGE = ['"', "\\", '\\"', "{}", "a,b", "NULL", "", " ", "'", "%s %(x)s", "$1", "ü 中 🎬", "a\nb", "--", ";"]


@pytest.mark.parametrize("content_id", STRANGE)
def test_what_is_allowed_is_asked_by_whatever_id_the_app_gave(database: Database, content_id: str) -> None:
    with database.transaction() as connection:
        add_content(connection, content_id)
        add_content(connection, "hidden", available=False)
    assert read_allowed(database, ["hidden", content_id, "absent"], seconds=20.0) == {content_id}
    assert read_allowed(database, [each for each in [*STRANGE, "hidden"] if each != content_id], seconds=20.0) == set()


def test_while_content_is_wholly_empty_what_the_log_knows_is_allowed(database: Database) -> None:
    with database.transaction() as connection:
        add_popularity(connection, "known", 1.0)
    assert read_allowed(database, ["known", "unknown"], seconds=20.0) == {"known"}
    assert read_allowed(database, [], seconds=20.0) == set()
    with database.transaction() as connection:
        add_content(connection, "hidden", available=False)
    assert read_allowed(database, ["known", "unknown", "hidden"], seconds=20.0) == set()


def test_a_language_keeps_what_is_in_another_or_in_none_out(connection: Connection) -> None:
    add_content(connection, "english", language="en")
    add_content(connection, "german", language="de")
    add_content(connection, "wordless")
    everything = ("english", "german", "wordless")
    assert popular_ids(connection, language="de") == shown_ids(connection, language="de") == ["german"]
    assert available_ids(connection, *everything, language="de") == ["german"]
    assert sorted(popular_ids(connection)) == shown_ids(connection) == available_ids(connection, *everything)


def test_the_popular_come_first_then_the_newest_and_the_undated_by_their_update(connection: Connection) -> None:
    add_content(connection, "old", published_at=at(NOW - 9 * HOUR))
    add_content(connection, "new", published_at=at(NOW - HOUR))
    add_content(connection, "undated", updated_at=at(NOW - 5 * HOUR))
    add_content(connection, "popular", published_at=at(NOW - 99 * HOUR))
    add_popularity(connection, "popular", 0.1)
    assert popular_ids(connection) == ["popular", "new", "undated", "old"]
    assert popular_ids(connection, n=2) == ["popular", "new"]


def test_popularity_is_carried_to_now_by_its_half_life(connection: Connection) -> None:
    add_content(connection, "a", "b", "unpopular")
    add_popularity(connection, "a", 8.0, as_of=NOW - 3 * 36 * HOUR)
    add_popularity(connection, "b", 3.0)
    contents = read_popular(connection, n=3, language=None, decay=DECAY)
    popular = {content.content_id: content.popularity for content in contents}
    assert popular == pytest.approx({"b": 3.0, "a": 1.0, "unpopular": 0.0})


@pytest.mark.parametrize("position", [*range(len(HALF_LIVES_HOURS)), 0.25, 2.5, 4.75, 5.5])
def test_popularity_between_two_half_lives_is_that_of_the_mathematics(connection: Connection, position: float) -> None:
    """The ranker's, with which popularity is compared and from which positions are learned."""
    rng = np.random.default_rng(5)
    sums = rng.exponential(5.0, (6, len(HALF_LIVES_HOURS)))
    as_of = NOW - 200 * HOUR * rng.random(6)
    for number in range(6):
        add_content(connection, f"item{number}")
        values = [f"item{number}", as_of[number], sums[number].tolist()]
        connection.execute("INSERT INTO recs_popularity VALUES (%s, %s, %s)", values)
    wanted = np.exp(log_popularity(carry(sums, as_of, NOW)) @ blend_weights(position)) - 0.05
    popular = {
        content.content_id: content.popularity
        for content in read_popular(connection, n=9, language=None, decay=decay_parameters(NOW, position))
    }
    np.testing.assert_allclose([popular[f"item{number}"] for number in range(6)], wanted, atol=1e-9)


@pytest.mark.parametrize("sum_", [1.0, 1e-100, -1e-17])
@pytest.mark.parametrize("position", [0.0, 2.5])
def test_popularity_of_long_ago_is_next_to_nothing_and_no_error(
    connection: Connection, sum_: float, position: float
) -> None:
    add_content(connection, "ancient")
    add_popularity(connection, "ancient", sum_, as_of=NOW - 40 * 365 * 24 * HOUR)
    [content] = read_popular(connection, n=1, language=None, decay=decay_parameters(NOW, position))
    assert content.popularity == pytest.approx(0.0, abs=1e-12)


def test_active_users_are_those_who_acted_since_the_latest_first(connection: Connection) -> None:
    add_action(connection, "ann", "a", occurred_at=NOW - 3 * HOUR)
    add_action(connection, "bob", "a", occurred_at=NOW - HOUR)
    add_action(connection, "ann", "b", occurred_at=NOW - 2 * HOUR)
    add_action(connection, "long gone", "a", occurred_at=NOW - 99 * HOUR)
    add_action(connection, "replayed", "a", occurred_at=NOW - 99 * HOUR, received_at=NOW)
    split = Split("warm_cache", run=1, shard_users=2, begun_at=at(NOW))
    assert read_active_users(connection, split, since=at(NOW - 24 * HOUR)) == ["bob", "ann"]
