"""Nothing grows that is not meant to: after any number of rounds of everything there is as much as after a few."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lib.adapters import action_queue
from lib.adapters.services import Services
from lib.jobs.forget_user import forget_user
from lib.jobs.prune_actions import prune_old_actions
from lib.jobs.refresh_cold_start import refresh_cold_start
from lib.jobs.run import Deadline, run_and_report
from lib.jobs.warm_cache import warm_cache
from lib.settings import Settings
from tests.jobs.site import Site, action, assert_popularity_follows_from_the_log

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
USERS = [f"user {number}" for number in range(6)]
CONTENTS = [f"item {number}" for number in range(5)]
AFTER_THE_RETENTION = timedelta(days=366)

Size = tuple[Counter[str], dict[str, int]]


@pytest.fixture
def site(site: Site, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """It keeps few dead letters, and sets a batch aside that failed once."""
    monkeypatch.setattr(action_queue, "MAX_TRIES", 1)
    services = Services(dataclasses.replace(settings, dead_letters_max=4))
    site = dataclasses.replace(site, services=services)
    site.add_content(*CONTENTS, topics=["tea"])
    yield site
    services.close()


def documented_keys() -> dict[str, str]:
    """Each key of the table in docs/operations.md, and what it says of its TTL."""
    _, _, table = OPERATIONS.read_text().partition("## Redis: every key")
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| ([^|]+) \|", table, flags=re.MULTILINE)
    assert len(rows) > 10
    return dict(rows)


def pattern_of(key: str) -> str:
    """The row of the table that this key belongs to."""
    patterns = [
        pattern
        for pattern in documented_keys()
        if re.fullmatch("".join(".+" if part.startswith("{") else re.escape(part) for part in split(pattern)), key)
    ]
    assert len(patterns) == 1, f"{key} is in docs/operations.md {len(patterns)} times"
    return patterns[0]


def split(pattern: str) -> list[str]:
    return re.split(r"(\{\w+\})", pattern)


def keys_of(site: Site) -> list[str]:
    found: list[str] = site.redis.execute("KEYS", "*")
    return found


def do_everything(site: Site) -> None:
    """A round of what happens in a day; at its end something is pending, in flight, set aside, and cannot be read."""
    services, now, deadline = site.services, datetime.now(UTC), Deadline.after(60)
    queue, dead_letters = services.queue, services.dead_letters
    site.query("UPDATE recs_models SET built_at = built_at - interval '25 hours'")
    site.act(*[action(user_id, content_id) for user_id in USERS for content_id in CONTENTS[:4]], *"123456")
    site.act(action(USERS[1], CONTENTS[4], "hide"))
    site.embed()
    run_and_report("warm_cache", warm_cache, services, deadline)
    run_and_report("refresh_cold_start", refresh_cold_start, services, deadline)
    for user_id in [*USERS, "stranger"]:
        site.recommend(user_id)
    forget_user(services, USERS[0], deadline)
    dead_letters.put_back(dead_letters.all()[:1])
    site.drain()
    dead_letters.drop(dead_letters.all()[:1])
    for put_back in (True, False):
        site.push(action(USERS[2], CONTENTS[0]))
        queue.release(queue.claim().batch_id, error="failed: KeyError")
        assert not queue.claim().batch_id
        [batch] = dead_letters.set_aside()
        if put_back:
            dead_letters.put_back_batch(batch.batch_id)
            site.drain()
    site.push(action(USERS[3], CONTENTS[0]), action(USERS[4], CONTENTS[0]))
    queue.claim()
    site.push(action(USERS[3], CONTENTS[1]))
    services.cache.check_writable()
    services.pings.begin("a-nonce")
    assert_popularity_follows_from_the_log(site)
    assert (services.reports.last_run("process_user_actions") or 0) >= int(now.timestamp())


def clear_up(site: Site) -> None:
    """What somebody does about it, and what time does."""
    for batch in site.services.dead_letters.set_aside():
        site.services.dead_letters.drop_batch(batch.batch_id)
    for batch_id in site.services.queue.batches_in_flight():
        site.services.queue.release(batch_id)
    site.drain()
    prune_old_actions(site.services, datetime.now(UTC) + AFTER_THE_RETENTION, Deadline.after(60))


def size_of(site: Site) -> Size:
    """How many keys of each kind and how many rows of each table there are."""
    tables = [name for (name,) in site.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert {"user_actions", "user_embeddings", "recs_popularity", "recs_forgotten", "recs_models"} < set(tables)
    rows = {name: int(site.query(f"SELECT count(*) FROM {name}")[0][0]) for name in tables}
    return Counter(pattern_of(key) for key in keys_of(site)), rows


def test_after_many_rounds_there_is_as_much_as_after_two(site: Site) -> None:
    full, empty = list[Size](), list[Size]()
    for _ in range(5):
        do_everything(site)
        full.append(size_of(site))
        clear_up(site)
        empty.append(size_of(site))
    assert full[2:] == [full[1]] * 3
    assert empty[2:] == [empty[1]] * 3
    _, rows = empty[-1]
    assert {name: rows[name] for name in ("user_actions", "user_embeddings", "recs_popularity", "recs_forgotten")} == {
        "user_actions": 0,
        "user_embeddings": 0,
        "recs_popularity": 0,
        "recs_forgotten": 0,
    }
    assert rows["recs_models"] == 2, "the one in force, and the one before it, which somebody may still read"


def test_every_key_is_documented_with_whether_it_goes_by_itself_and_every_documented_key_occurs(site: Site) -> None:
    do_everything(site)
    documented, set_aside = documented_keys(), {batch.batch_id for batch in site.services.dead_letters.set_aside()}
    occurring = set()
    for key in keys_of(site):
        pattern, ttl = pattern_of(key), site.redis.execute("TTL", key)
        occurring.add(pattern)
        if pattern == "recs:progress:{id}":
            assert (ttl == -1) is (key.rpartition(":")[2] in set_aside), key
        else:
            assert (ttl == -1) is documented[pattern].startswith("none"), key
    assert occurring == documented.keys()


def test_what_stays_for_good_is_only_what_waits_for_somebody() -> None:
    for_good = {pattern for pattern, ttl in documented_keys().items() if ttl.startswith("none")}
    assert for_good == {
        "pending_user_actions",
        "recs:leases",
        "recs:batch:{id}",
        "recs:set_aside",
        "recs:dead_letters",
        "recs:dead_letters:bytes",
    }


def test_where_nothing_is_in_flight_or_dead_no_key_of_these_is_left(site: Site) -> None:
    do_everything(site)
    clear_up(site)
    site.services.dead_letters.drop(site.services.dead_letters.all())
    assert [key for key in keys_of(site) if site.redis.execute("TTL", key) == -1] == []


def test_content_whose_last_counted_action_was_pruned_is_not_popular_any_more(site: Site) -> None:
    site.act(action("ann", "a", id="old"), action("bob", "a", "hide"), action("ann", "b", id="old too"))
    site.act(action("bob", "b"), action("cleo", "c"))
    site.query("UPDATE user_actions SET received_at = now() - interval '1000 days' WHERE event_id LIKE 'old%'")
    assert prune_old_actions(site.services, datetime.now(UTC), Deadline.after(60)) == 2
    assert {content_id for (content_id,) in site.query("SELECT content_id FROM recs_popularity")} == {"b", "c"}
    assert_popularity_follows_from_the_log(site)
