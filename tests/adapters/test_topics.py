"""What Postgres counts for trending topics, beside the same counted in plain Python."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from lib.adapters.database import Connection
from lib.adapters.topics import count_acted, read_contents_read, read_topic_counts
from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.popularity import decayed_sums
from tests.core.test_trending import random_log
from tests.core.topic_log import Content, Read, count_readers, count_topics

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def add_contents(connection: Connection, contents: Mapping[str, Content]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO content (content_id, topics, language) VALUES (%s, %s, %s)",
            [(content_id, list(topics), language) for content_id, (topics, language) in contents.items()],
        )


def add_reads(connection: Connection, reads: Iterable[Read], action: str = "view") -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO user_actions (event_id, user_id, content_id, action, occurred_at, received_at)"
            " VALUES (gen_random_uuid(), %s, %s, %s, %s, %s)",
            [(user_id, content_id, action, *[NOW - timedelta(days=age)] * 2) for user_id, content_id, age in reads],
        )


def add_popularity(connection: Connection, reads: Iterable[Read]) -> None:
    """As the drain keeps it: each user's first read of a content."""
    first: dict[tuple[str, str], float] = {}
    for user_id, content_id, age in reads:
        first[user_id, content_id] = max(age, first.get((user_id, content_id), age))
    content_ids = sorted({content_id for _, content_id in first})
    times = NOW.timestamp() - 86_400 * np.array(list(first.values()))
    groups = np.array([content_ids.index(content_id) for _, content_id in first])
    as_of, sums = decayed_sums(times, np.ones(len(times)), groups, len(content_ids))
    with connection.cursor() as cursor:
        rows = zip(content_ids, as_of.tolist(), sums.tolist(), strict=True)
        cursor.executemany("INSERT INTO recs_popularity VALUES (%s, %s, %s)", list(rows))


@pytest.mark.parametrize("seed", range(3))
def test_postgres_counts_the_users_of_topics_as_the_definition_has_it(connection: Connection, seed: int) -> None:
    log, contents = random_log(seed)
    add_contents(connection, contents)
    add_reads(connection, log)
    found = sorted(read_topic_counts(connection, now=NOW, counted=["view"]), key=repr)
    wanted = sorted(count_topics(log, contents), key=repr)
    assert [count[:3] for count in found] == [count[:3] for count in wanted]
    np.testing.assert_allclose([count[3:] for count in found], [count[3:] for count in wanted], atol=1e-4)


def test_postgres_has_the_readers_that_contents_brought_from_popularity(connection: Connection) -> None:
    log, contents = random_log(7)
    add_contents(connection, contents)
    add_popularity(connection, log)
    found = {row.content_id: row for row in read_contents_read(connection, now=NOW)}
    wanted = {row.content_id: row for row in count_readers(log, contents)}
    assert {key: row[:3] for key, row in found.items()} == {key: row[:3] for key, row in wanted.items()}
    readers = {key: row.readers for key, row in found.items()}
    assert readers == pytest.approx({key: row.readers for key, row in wanted.items()})


def test_what_is_hidden_old_of_another_kind_or_of_no_topic_is_not_counted(connection: Connection) -> None:
    add_contents(connection, {"shown": Content(["tea", "author:ann", ""]), "plain": Content([])})
    connection.execute("INSERT INTO content (content_id, topics) VALUES ('null', '{NULL,milk}')")
    connection.execute("INSERT INTO content (content_id, topics, available) VALUES ('hidden', '{tea}', false)")
    sums = [1.0] * len(HALF_LIVES_HOURS)
    for content_id in ("shown", "plain", "null", "hidden"):
        add_reads(connection, [Read("ann", content_id, 0.5), Read("bob", content_id, 14.5)])
        add_reads(connection, [Read("eve", content_id, 0.5)], "hide")
        values = [content_id, NOW.timestamp(), sums]
        connection.execute("INSERT INTO recs_popularity VALUES (%s, %s, %s)", values)
    counts = read_topic_counts(connection, now=NOW, counted=["view"])
    assert sorted((count.topic, count.users, count.n_topics) for count in counts) == [("milk", 1, 2), ("tea", 1, 2)]
    contents = {row.content_id: row.topics for row in read_contents_read(connection, now=NOW)}
    assert contents == {"shown": ["tea", "author:ann", ""], "null": ["milk"]}


def test_a_read_that_a_clock_ahead_of_ours_has_made_is_of_now(connection: Connection) -> None:
    add_contents(connection, {"a": Content(["tea"])})
    add_reads(connection, [Read("ann", "a", -200 / 86_400)])
    [count] = read_topic_counts(connection, now=NOW, counted=["view"])
    assert (count.users, count.recent, count.baseline) == (1, 1.0, 0.0)


def test_of_a_sample_all_that_its_users_did_is_counted_and_a_smaller_one_is_part_of_it(connection: Connection) -> None:
    add_contents(connection, {"a": Content(["tea"]), "b": Content(["milk"])})
    add_reads(connection, [Read(f"user {user}", content_id, 0.5) for user in range(400) for content_id in "ab"])
    add_reads(connection, [Read("ann", "a", 20.0)])
    assert count_acted(connection, now=NOW, counted=["view"]) == 800
    assert count_acted(connection, now=NOW, counted=["like"]) == 0
    users = {}
    for sample in (1, 2, 4):
        tea, milk = read_topic_counts(connection, now=NOW, counted=["view"], sample=sample)
        assert tea.users == milk.users
        users[sample] = tea.users
    assert users[1] == 400
    assert 150 < users[2] < 250
    assert 70 < users[4] < 130
