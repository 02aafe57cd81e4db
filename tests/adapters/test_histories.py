from datetime import UTC, datetime, timedelta

from lib.adapters.database import Connection
from lib.adapters.histories import read_histories

NOW = datetime(2030, 1, 1, 0, 0, 0, 123_456, tzinfo=UTC)
USERS = ["ann", "nobody", "bob", "Zoe, née O'Hara"]

Done = tuple[str, str, str, float]  # user, content, action, unix seconds


def act(connection: Connection, user_id: str, content_id: str, action: str = "view", *, hours_ago: float = 0) -> Done:
    at = NOW - timedelta(hours=hours_ago)
    connection.execute(
        "INSERT INTO user_actions (event_id, user_id, content_id, action, occurred_at)"
        " VALUES (gen_random_uuid(), %s, %s, %s, %s)",
        [user_id, content_id, action, at],
    )
    return user_id, content_id, action, at.timestamp()


def read(connection: Connection, *, length: int = 200) -> list[Done]:
    found = read_histories(connection, user_ids=USERS, length=length)
    users = [USERS[place] for place in found.users]
    return sorted(zip(users, found.content_ids, found.actions, found.times.tolist(), strict=True))


def test_everybodys_actions_are_his_own(connection: Connection) -> None:
    done = [
        act(connection, "ann", "a"),
        act(connection, "ann", "a", "like", hours_ago=7),
        act(connection, "bob", 'odd, "{}" \\ id', "dislike", hours_ago=30 * 365 * 24),
        act(connection, "Zoe, née O'Hara", "帖子", "share", hours_ago=80 * 365 * 24),  # before Postgres's own epoch
    ]
    act(connection, "somebody else", "a")
    assert read(connection) == sorted(done)


def test_of_each_the_last_are_read(connection: Connection) -> None:
    done = [act(connection, "ann", f"item {number}", hours_ago=number % 5) for number in range(5)]
    other = act(connection, "bob", "a", hours_ago=9)
    assert read(connection, length=2) == sorted([done[0], done[1], other])


def test_of_those_at_the_same_time_the_same_ones_are_read_whatever_order_they_came_in(connection: Connection) -> None:
    for content_id in ("b", "c", "a", "d"):
        act(connection, "ann", content_id)
    act(connection, "bob", "d", "view")
    act(connection, "bob", "d", "like")
    assert [done[:3] for done in read(connection, length=2)] == [
        ("ann", "a", "view"),
        ("ann", "b", "view"),
        ("bob", "d", "like"),
        ("bob", "d", "view"),
    ]
    assert [done[:3] for done in read(connection, length=1)] == [("ann", "a", "view"), ("bob", "d", "like")]


def test_where_nobody_has_acted_there_is_nothing(connection: Connection) -> None:
    found = read_histories(connection, user_ids=USERS, length=200)
    assert (len(found.users), found.content_ids, found.actions, len(found.times)) == (0, [], [], 0)
    assert len(read_histories(connection, user_ids=[], length=200).users) == 0
