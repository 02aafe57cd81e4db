from datetime import UTC, datetime, timedelta

import pytest

from lib.adapters import training_data as module
from lib.adapters.database import Connection
from lib.adapters.training_data import (
    ContentSize,
    read_content_sample,
    read_content_size,
    read_content_vectors,
    read_newest_contents,
    read_training_actions,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)

Row = tuple[str, str, str, int]  # user, content, action, hours ago


@pytest.fixture(autouse=True)
def a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what is read comes in several parts."""
    monkeypatch.setattr(module, "_ACTIONS_AT_ONCE", 2)
    monkeypatch.setattr(module, "_CELLS_AT_ONCE", 2)


def act(connection: Connection, *rows: Row) -> None:
    for user_id, content_id, action, hours in rows:
        at = NOW - timedelta(hours=hours)
        connection.execute(
            "INSERT INTO user_actions (event_id, user_id, content_id, action, occurred_at, received_at)"
            " VALUES (gen_random_uuid(), %s, %s, %s, %s, %s)",
            [user_id, content_id, action, at, at],
        )


def read(connection: Connection, *, limit: int) -> list[tuple[int, str, str, float]]:
    """(number of the user, content, action, hours ago) of each action, the latest first."""
    actions = read_training_actions(connection, limit=limit)
    rows = [
        (
            int(actions.users[k]),
            actions.content_ids[actions.contents[k]],
            actions.kind_names[actions.kinds[k]],
            (NOW.timestamp() - actions.times[k]) / 3_600,
        )
        for k in range(len(actions.times))
    ]
    return sorted(rows, key=lambda row: row[-1])


def test_actions_are_read_with_users_by_the_order_of_their_ids(connection: Connection) -> None:
    act(connection, ("cyd", "b", "like", 1), ("ann", "a", "view", 2), ("bob", "b", "hide", 3), ("cyd", "c", "view", 4))
    assert read(connection, limit=9) == [
        (2, "b", "like", 1),
        (0, "a", "view", 2),
        (1, "b", "hide", 3),
        (2, "c", "view", 4),
    ]
    actions = read_training_actions(connection, limit=9)
    assert (actions.n_users, actions.content_ids) == (3, ["a", "b", "c"])


def test_training_takes_the_latest_actions_of_every_kind(connection: Connection) -> None:
    act(
        connection,
        *[("ann", f"item {hours}", action, hours) for hours, action in enumerate(["view", "hide", "like"], 1)],
    )
    assert read(connection, limit=2) == [(0, "item 1", "view", 1), (0, "item 2", "hide", 2)]


def test_an_empty_log_is_read_as_no_actions(connection: Connection) -> None:
    actions = read_training_actions(connection, limit=9)
    assert (len(actions.users), len(actions.contents), len(actions.kinds), len(actions.times)) == (0, 0, 0, 0)
    assert (actions.n_users, actions.content_ids, actions.kind_names) == (0, [], [])


def add_vectors(connection: Connection, **vectors: str | None) -> None:
    for content_id, vector in vectors.items():
        connection.execute("INSERT INTO content (content_id, embedding) VALUES (%s, %s)", [content_id, vector])


def test_the_commonest_size_of_content_vectors_is_told_from_the_others(connection: Connection) -> None:
    assert read_content_size(connection) == ContentSize(0, 0, 0)
    add_vectors(connection, a="[1,2,3]", b="[1,2]", c="[3,4]", d="[1]", none=None)
    assert read_content_size(connection) == ContentSize(size=2, count=2, others=2)


def test_content_vectors_of_one_size_are_read_of_the_contents_that_are_asked_for(connection: Connection) -> None:
    add_vectors(connection, c="[3,4]", a="[1,2,3]", b="[0.5,-1]", none=None, d="[7,8]", other="[1,1]")
    parts = read_content_vectors(connection, size=2, content_ids=["a", "b", "c", "d", "none", "unknown"])
    found = {id_: vector.tolist() for ids, vectors in parts for id_, vector in zip(ids, vectors, strict=True)}
    assert found == {"b": [0.5, -1], "c": [3, 4], "d": [7, 8]}


def test_a_sample_of_content_vectors_is_spread_over_all_of_them(connection: Connection) -> None:
    add_vectors(connection, **{f"item{number:02}": f"[{number}]" for number in range(90)}, other="[1,2]")
    parts = read_content_sample(connection, size=1, one_in=3)
    found = [content_id for ids, _ in parts for content_id in ids]
    assert found == sorted(found)
    assert 20 <= len(found) <= 40
    assert min(found) < "item30"
    assert max(found) > "item60"
    everything = list(read_content_sample(connection, size=1, one_in=1))
    assert sum(len(ids) for ids, _ in everything) == 90


def test_the_newest_contents_are_those_that_were_published_last(connection: Connection) -> None:
    add_vectors(connection, a="[1]", b="[1]", c="[1]", d="[1,2]", undated="[1]")
    for content_id, hours in {"a": 3, "b": 1, "c": 2, "d": 0}.items():
        connection.execute(
            "UPDATE content SET published_at = %s WHERE content_id = %s", [NOW - timedelta(hours=hours), content_id]
        )
    connection.execute("UPDATE content SET updated_at = %s WHERE content_id = 'undated'", [NOW - timedelta(hours=9)])
    assert read_newest_contents(connection, size=1, limit=3) == ["b", "c", "a"]
    assert read_newest_contents(connection, size=1, limit=9)[3:] == ["undated"]
