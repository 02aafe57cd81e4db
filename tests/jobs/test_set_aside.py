"""What keeps failing: rows that Postgres refuses, and whole batches, which are set aside so that nothing waits."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from lib.adapters import action_queue
from lib.adapters.action_queue import ERROR_LENGTH, MAX_TRIES
from lib.adapters.dead_letters import SetAsideBatch
from lib.adapters.services import Services
from lib.core.actions import Action, parse_element
from lib.errors import DatabaseRefuses, OutOfTime, PostgresUnavailable, RedisUnavailable
from lib.jobs import apply_batch as apply_module
from lib.jobs import process_actions as process_module
from lib.jobs.apply_batch import apply_batch
from lib.jobs.report_status import report_status
from lib.settings import Settings
from lib.web.pages import render
from lib.web.status_page import status_values
from tests.jobs.site import Crash, Site, action, assert_popularity_follows_from_the_log

POISON = "what no drain survives"

Poison = Callable[[BaseException], None]


@pytest.fixture
def site(site: Site, settings: Settings) -> Iterator[Site]:
    """Its leases end at once, and it claims one element at a time."""
    services = Services(dataclasses.replace(settings, claim_lease_seconds=0, claim_max_elements=1))
    yield dataclasses.replace(site, services=services)
    services.close()


@pytest.fixture
def large_claims(site: Site, settings: Settings) -> Iterator[Site]:
    """The same site, which claims all that there is."""
    services = Services(dataclasses.replace(settings, claim_lease_seconds=0))
    yield dataclasses.replace(site, services=services)
    services.close()


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Poison:
    """`poison(error)`: from now on whoever reads a poisoned element ends in this error."""

    def poison(error: BaseException) -> None:
        def read(raw: str, **named: Any) -> Any:
            if raw == POISON:
                raise error
            return parse_element(raw, **named)

        monkeypatch.setattr(apply_module, "parse_element", read)

    return poison


def fail(site: Site, times: int = MAX_TRIES) -> None:
    """Drains so many times, each in vain."""
    for _ in range(times):
        with pytest.raises((Crash, Exception)):
            site.drain()


def set_aside(site: Site) -> list[SetAsideBatch]:
    return site.services.dead_letters.set_aside()


def keys(site: Site) -> set[str]:
    """Every key of ours but those that say what happened."""
    found: list[str] = site.redis.execute("KEYS", "recs:*")
    happened = ("recs:job:", "recs:runs:", "recs:counts:", "recs:totals", "recs:generation:")
    return {key for key in found if not key.startswith(happened)}


ERRORS = {
    "the end of the process": (Crash(), ""),
    "an error that nobody foresaw": (KeyError("x"), "failed: KeyError"),
    "rows that Postgres refuses": (DatabaseRefuses("Postgres refuses a row: x"), "failed: Postgres refuses a row: x"),
}


@pytest.mark.parametrize(("error", "said"), ERRORS.values(), ids=ERRORS.keys())
def test_a_batch_that_fails_five_times_is_set_aside_and_nothing_else_waits_for_it(
    site: Site, poison: Poison, error: BaseException, said: str
) -> None:
    poison(error)
    before = int(datetime.now(UTC).timestamp())
    site.push(action("ann", "a"), POISON, action("bob", "a"))
    fail(site)
    assert set_aside(site) == []
    assert site.count_waiting() == (1, 1)
    assert site.drain()["applied"] == 1
    assert site.count_waiting() == (0, 0)
    assert site.count_events() == 2
    [batch] = set_aside(site)
    assert before <= batch.at <= datetime.now(UTC).timestamp()
    assert (batch.elements, batch.tries, batch.error) == (1, MAX_TRIES, said)
    assert_popularity_follows_from_the_log(site)


def test_the_status_names_what_is_set_aside(large_claims: Site, poison: Poison) -> None:
    poison(KeyError("x"))
    large_claims.push(POISON, action("ann", "a"))
    fail(large_claims)
    large_claims.drain()
    [batch] = set_aside(large_claims)
    status = report_status(large_claims.services, datetime.now(UTC))
    at = datetime.fromtimestamp(batch.at, UTC).isoformat(timespec="seconds")
    row = {"batch_id": batch.batch_id, "elements": 2, "tries": MAX_TRIES, "error": "failed: KeyError", "at": at}
    assert json.loads(json.dumps(status["set_aside"])) == [row]
    assert (status["pending"], status["in_flight"], status["dead_letters"]["count"]) == (0, 0, 0)
    page = render("status.html", "en", **status_values(status))
    assert all(str(value) in page for value in row.values())
    assert "scripts/dead_letters put-back" in page


def test_the_page_says_what_happened_to_a_batch_whose_drains_just_ended(site: Site, poison: Poison) -> None:
    poison(Crash())
    site.push(POISON)
    fail(site)
    site.drain()
    page = render("status.html", "en", **status_values(report_status(site.services, datetime.now(UTC))))
    assert "Its drains ended without a word." in page


def test_an_error_is_kept_short_and_without_secrets(site: Site, poison: Poison, settings: Settings) -> None:
    poison(DatabaseRefuses(f"{settings.redis_token} {'x' * 10_000}"))
    site.push(POISON)
    fail(site)
    site.drain()
    [batch] = set_aside(site)
    assert batch.error.startswith("failed: [secret] xxx")
    assert len(batch.error) == ERROR_LENGTH


def test_a_batch_that_is_put_back_is_applied_once_though_part_of_it_was_applied_before(
    large_claims: Site, poison: Poison, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = large_claims
    monkeypatch.setattr(apply_module, "ACTIONS_AT_ONCE", 2)
    poison(KeyError("x"))
    site.push(*[action("ann", content_id, id=None) for content_id in "aabbc"], POISON)
    fail(site)
    site.drain()
    assert site.count_events() == 4
    [batch] = set_aside(site)
    assert site.services.dead_letters.put_back_batch(batch.batch_id)
    monkeypatch.setattr(apply_module, "parse_element", parse_element)
    site.push(action("bob", "a"))
    summary = site.drain()
    assert [summary[name] for name in ("claimed", "applied", "duplicates", "rejected")] == [7, 2, 4, 1]
    assert site.count_events() == 6
    assert set_aside(site) == []
    assert keys(site) == {"recs:dead_letters", "recs:dead_letters:bytes"}
    assert_popularity_follows_from_the_log(site)


def test_a_batch_that_is_put_back_is_tried_as_often_as_a_new_one(site: Site, poison: Poison) -> None:
    poison(KeyError("x"))
    site.push(POISON)
    fail(site)
    site.drain()
    [batch] = set_aside(site)
    assert site.redis.execute("TTL", f"recs:progress:{batch.batch_id}") == -1
    assert site.services.dead_letters.put_back_batch(batch.batch_id)
    assert site.redis.execute("TTL", f"recs:progress:{batch.batch_id}") > 0
    fail(site)
    assert set_aside(site) == []
    site.drain()
    assert [(again.batch_id, again.tries) for again in set_aside(site)] == [(batch.batch_id, MAX_TRIES)]


def test_a_batch_that_is_dropped_leaves_no_key(site: Site, poison: Poison) -> None:
    poison(KeyError("x"))
    site.push(POISON)
    fail(site)
    site.drain()
    [batch] = set_aside(site)
    assert keys(site) == {"recs:set_aside", f"recs:batch:{batch.batch_id}", f"recs:progress:{batch.batch_id}"}
    assert site.services.dead_letters.drop_batch(batch.batch_id)
    assert keys(site) == set()
    assert totals(site) == (0, 0, 0)


def totals(site: Site) -> tuple[int, ...]:
    """Pending, in flight and set aside."""
    return (*site.count_waiting(), sum(batch.elements for batch in set_aside(site)))


def test_what_is_not_set_aside_can_be_neither_put_back_nor_dropped(site: Site) -> None:
    site.push(action("ann", "a"))
    claim = site.services.queue.claim()
    for batch_id in (claim.batch_id, "unknown"):
        assert not site.services.dead_letters.put_back_batch(batch_id)
        assert not site.services.dead_letters.drop_batch(batch_id)
    assert site.drain()["applied"] == 1
    assert keys(site) == set()


def test_putting_back_twice_puts_back_once(site: Site, poison: Poison) -> None:
    poison(KeyError("x"))
    site.push(POISON)
    fail(site)
    site.drain()
    [batch] = set_aside(site)
    dead_letters = site.services.dead_letters
    assert [dead_letters.put_back_batch(batch.batch_id) for _ in range(2)] == [True, False]
    assert not dead_letters.drop_batch(batch.batch_id)
    assert totals(site) == (0, 1, 0)


def test_where_too_many_fail_they_stay_in_flight_and_nothing_is_lost(
    site: Site, poison: Poison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(action_queue, "MAX_SET_ASIDE", 2)
    poison(KeyError("x"))
    site.push(POISON, POISON, POISON, POISON, action("ann", "a"))
    fail(site, times=4 * MAX_TRIES + 5)
    assert totals(site) == (2, 1, 2)
    site.services.dead_letters.drop_batch(set_aside(site)[0].batch_id)
    fail(site)
    assert totals(site) == (1, 1, 2), "the third took the free place"
    monkeypatch.setattr(apply_module, "parse_element", parse_element)
    summary = site.drain()
    assert (summary["applied"], summary["rejected"]) == (1, 1)
    assert totals(site) == (0, 0, 2)


@pytest.mark.parametrize("error", [PostgresUnavailable(), RedisUnavailable()], ids=["postgres", "redis"])
def test_an_outage_counts_for_no_try_however_long_it_is(site: Site, poison: Poison, error: Exception) -> None:
    poison(error)
    site.push(POISON)
    fail(site, times=3 * MAX_TRIES)
    assert totals(site) == (0, 1, 0)
    poison(KeyError("x"))
    fail(site, times=MAX_TRIES)
    assert totals(site) == (0, 1, 0)
    site.drain()
    assert totals(site) == (0, 0, 1)


@pytest.mark.parametrize(("seconds_of_a_batch", "set_aside_in_the_end"), [(0.0, 1), (60.0, 0)])
def test_a_batch_counts_as_too_slow_only_where_it_had_its_time(
    site: Site, poison: Poison, monkeypatch: pytest.MonkeyPatch, seconds_of_a_batch: float, set_aside_in_the_end: int
) -> None:
    monkeypatch.setattr(process_module, "BATCH_SECONDS", seconds_of_a_batch)
    poison(OutOfTime())
    site.push(POISON)
    fail(site)
    poison(Crash())
    site.push(action("ann", "a"))
    if set_aside_in_the_end:
        assert site.drain()["applied"] == 1
    else:
        fail(site, times=1)
    assert totals(site)[2] == set_aside_in_the_end


def test_a_slow_owner_that_finishes_what_was_set_aside_meanwhile_clears_it(site: Site, poison: Poison) -> None:
    poison(Crash())
    site.push(POISON)
    slow = site.services.queue.claim()
    fail(site, times=MAX_TRIES - 1)
    site.drain()
    assert totals(site) == (0, 0, 1)
    site.services.queue.acknowledge(slow.batch_id, [], at=1.0)
    assert keys(site) == set()
    assert site.drain()["claimed"] == 0


@pytest.mark.parametrize("error", ["", "failed: KeyError"])
@pytest.mark.parametrize("end", ["done", "set aside", "dropped"])
def test_giving_back_a_batch_that_has_come_to_an_end_changes_nothing(
    site: Site, poison: Poison, error: str, end: str
) -> None:
    poison(Crash())
    site.push(POISON)
    slow = site.services.queue.claim()
    if end == "done":
        site.services.queue.acknowledge(slow.batch_id, [], at=1.0)
    else:
        fail(site, times=MAX_TRIES - 1)
        site.drain()
        if end == "dropped":
            site.services.dead_letters.drop_batch(slow.batch_id)
    before, batches = keys(site), set_aside(site)
    site.services.queue.release(slow.batch_id, error=error)
    assert (keys(site), set_aside(site)) == (before, batches)
    assert site.drain()["claimed"] == 0


def constrain(site: Site) -> None:
    site.query("ALTER TABLE user_actions ADD CONSTRAINT no_bad_content CHECK (content_id NOT LIKE 'bad%')")


def relax(site: Site) -> None:
    site.query("ALTER TABLE user_actions DROP CONSTRAINT no_bad_content")


def read(raw: str) -> Action:
    [found] = parse_element(raw, received_at=datetime.now(UTC), fallback_id="its own is missing")
    assert isinstance(found, Action)
    return found


def test_rows_that_a_constraint_refuses_become_dead_letters_and_the_rest_is_applied(large_claims: Site) -> None:
    site = large_claims
    constrain(site)
    bad = [
        action("ann", "bad 1", "dwell", id="x", value=2.5, timestamp="2024-05-06T07:08:09.5+02:00"),
        action("Jörg", "bad ü", "hide", days_ago=3.0),
        action("bob", "bad 3", timestamp=1_700_000_000_123, value=None),
    ]
    good = [action(f"user {number}", f"item {number}") for number in range(50)]
    site.push(*good[:20], *bad, *good[20:], "unreadable")
    summary = site.drain()
    assert [summary[name] for name in ("claimed", "applied", "duplicates", "rejected")] == [54, 50, 0, 4]
    assert site.count_events() == 50
    assert site.count_waiting() == (0, 0)
    letters = [letter for letter in site.dead_letters() if letter["raw"] != "unreadable"]
    assert {read(letter["raw"]) for letter in letters} == {read(raw) for raw in bad}
    assert all("no_bad_content" in letter["reason"] for letter in letters)
    assert_popularity_follows_from_the_log(site)


def test_a_refused_row_that_is_put_back_is_the_same_event_though_it_came_without_an_id(large_claims: Site) -> None:
    site = large_claims
    constrain(site)
    site.push(action("ann", "bad", id=None, timestamp=None))
    before = datetime.now(UTC)
    site.drain()
    letters = site.services.dead_letters.all()
    relax(site)
    assert site.services.dead_letters.put_back(letters) == 1
    site.push(letters[0].raw)
    assert site.drain()["applied"] == 1
    [(occurred_at,)] = site.query("SELECT occurred_at FROM user_actions")
    assert before <= occurred_at <= datetime.fromtimestamp(letters[0].at, UTC)


@pytest.mark.parametrize(("bad", "is_refused"), [(3, False), (4, True)])
def test_where_postgres_refuses_more_than_a_few_rows_it_is_not_the_rows(
    large_claims: Site, monkeypatch: pytest.MonkeyPatch, bad: int, is_refused: bool
) -> None:
    site = large_claims
    monkeypatch.setattr(apply_module, "MAX_REFUSED", 3)
    monkeypatch.setattr(apply_module, "ACTIONS_AT_ONCE", 5)  # counted over the whole batch
    constrain(site)
    site.push(*[element for number in range(bad) for element in (action("ann", f"bad {number}"), action("bob", "a"))])
    if not is_refused:
        assert site.drain()["rejected"] == 3
        return
    with pytest.raises(DatabaseRefuses, match="no_bad_content"):
        site.drain()
    assert site.dead_letters() == []
    fail(site, times=MAX_TRIES - 1)
    site.drain()
    [batch] = set_aside(site)
    assert (batch.elements, site.count_waiting(), site.dead_letters()) == (2 * bad, (0, 0), [])
    assert "no_bad_content" in batch.error
    relax(site)
    site.services.dead_letters.put_back_batch(batch.batch_id)
    site.drain()
    assert site.count_events() == 2 * bad
    assert_popularity_follows_from_the_log(site)


def test_who_acted_in_a_batch_that_was_applied_in_part_sees_nothing_again(
    large_claims: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be set aside for days, with his row in the log."""
    site = large_claims
    monkeypatch.setattr(apply_module, "MAX_REFUSED", 0)
    monkeypatch.setattr(apply_module, "ACTIONS_AT_ONCE", 4)
    constrain(site)
    site.act(action("bob", "a"), action("bob", "b"), action("ann", "c"))
    assert set(site.ids("ann")) == {"a", "b"}
    monkeypatch.setattr(apply_module, "MAX_REFUSED", 1)
    site.push(action("ann", "a"), action("cleo", "b"), action("bob", "bad 1"), action("bob", "bad 2"))
    fail(site)
    site.drain()
    assert len(set_aside(site)) == 1
    read_by_ann = {
        content_id for (content_id,) in site.query("SELECT content_id FROM user_actions WHERE user_id='ann'")
    }
    assert read_by_ann == {"a", "c"}, "what this is about: the first half was written"
    assert site.ids("ann") == ["b"]


def test_an_element_that_holds_a_long_array_is_applied_in_several_transactions(site: Site) -> None:
    several = [{"user_id": f"user {n % 50}", "content_id": f"item {n % 90}", "action": "view"} for n in range(12_000)]
    assert site.act(json.dumps(several))["applied"] == 12_000
    transactions = site.query("SELECT count(*) FROM user_actions GROUP BY xmin::text ORDER BY 1")
    assert transactions == [(2_000,), (5_000,), (5_000,)]
    assert site.dead_letters() == []


def test_a_long_array_of_junk_keeps_no_more_dead_letters_than_are_allowed_and_counts_all(
    site: Site, settings: Settings
) -> None:
    services = Services(dataclasses.replace(settings, dead_letters_max=50))
    site = dataclasses.replace(site, services=services)
    element = json.dumps([*range(12_000), json.loads(action("ann", "a"))])
    counts, dead_letters = apply_batch(services, "a batch", [element], now=datetime.now(UTC))
    assert (counts["rejected"], len(dead_letters)) == (12_000, 50), "nor does a drain carry them all along"
    summary = site.act(element)
    assert (summary["claimed"], summary["duplicates"], summary["rejected"]) == (12_001, 1, 12_000)
    assert [letter["raw"] for letter in site.dead_letters()] == [str(number) for number in range(11_950, 12_000)]
    assert site.count_waiting() == (0, 0)
    services.close()
