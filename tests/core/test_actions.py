"""Everything that producers push: each element becomes actions, or a dead letter that says why not."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.adapters.action_log import insert_actions
from lib.adapters.services import Services
from lib.core.actions import ACTION_NAMES, Action, DeadLetter, parse_element
from lib.jobs.process_actions import process_user_actions
from lib.jobs.run import Deadline

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PUSHED = {"id": "e", "user_id": "u", "content_id": "c", "action": "view"}
READ = Action(event_id="e", user_id="u", content_id="c", action="view", value=None, occurred_at=NOW)
LONGEST = "\U0001f600" * 256


def read(raw: str) -> list[Action | DeadLetter]:
    return list(parse_element(raw, received_at=NOW, fallback_id="batch.0"))


def without(*names: str, **fields: Any) -> str:
    return json.dumps({name: value for name, value in (PUSHED | fields).items() if name not in names})


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


GOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "snake case": (without(), {}),
    "camel case": (
        without("user_id", "content_id", userId="u2", contentId="c2"),
        {"user_id": "u2", "content_id": "c2"},
    ),
    "both spellings: snake wins": (without(userId="other"), {}),
    "snake null: camel counts": (without(user_id=None, userId="u2"), {"user_id": "u2"}),
    "numeric ids": (without(id=7, user_id=0, content_id=-5), {"event_id": "7", "user_id": "0", "content_id": "-5"}),
    "integer over 2^53": (without(user_id=2**80), {"user_id": str(2**80)}),
    "no id": (without("id"), {"event_id": "batch.0.0"}),
    "null id": (without(id=None), {"event_id": "batch.0.0"}),
    "empty id": (without(id=""), {"event_id": "batch.0.0"}),
    "longest ids": (without(id=LONGEST, user_id=LONGEST), {"event_id": LONGEST, "user_id": LONGEST}),
    "surrogate pair": ('{"id":"e","user_id":"\\ud83d\\ude00","content_id":"c","action":"view"}', {"user_id": "😀"}),
    "stringified twice": (json.dumps(without()), {}),
    "array of one": (f"[{without()}]", {}),
    "array, stringified twice": (json.dumps(f"[{without()}]"), {}),
    "array of JSON strings": (json.dumps([without()]), {}),
    "array in an array": (f"[[{without()}]]", {}),
    "white space around": (f" \n{without()}\t", {}),
    "unknown fields": (without(page="/", nested={"a": [1]}), {}),
    "duplicate key: the last counts": (without()[:-1] + ', "user_id": "u2"}', {"user_id": "u2"}),
    "value": (without(value=2.5), {"value": 2.5}),
    "whole value": (without(value=-3), {"value": -3.0}),
    "NaN, which JSON.stringify makes null": (without(value=None), {"value": None}),
    "largest value": (without(value=1.7e308), {"value": 1.7e308}),
    "ISO with Z": (without(timestamp="2026-01-01T11:00:00.250Z"), {"occurred_at": at(2026, 1, 1, 11, 0, 0, 250_000)}),
    "ISO with an offset": (without(timestamp="2026-01-01T11:00:00+08:00"), {"occurred_at": at(2026, 1, 1, 3)}),
    "ISO with a blank": (without(timestamp="2026-01-01 11:00:00+00:00"), {"occurred_at": at(2026, 1, 1, 11)}),
    "ISO before 1970": (without(timestamp="1960-01-01T00:00:00Z"), {"occurred_at": at(1960, 1, 1)}),
    "epoch seconds": (without(timestamp=1_767_265_200), {"occurred_at": at(2026, 1, 1, 11)}),
    "fractional seconds": (without(timestamp=1_767_265_200.5), {"occurred_at": at(2026, 1, 1, 11, 0, 0, 500_000)}),
    "epoch milliseconds": (without(timestamp=1_767_265_200_250), {"occurred_at": at(2026, 1, 1, 11, 0, 0, 250_000)}),
    "seconds in a string": (without(timestamp="1767265200"), {"occurred_at": at(2026, 1, 1, 11)}),
    "milliseconds in a string": (without(timestamp="1767265200000"), {"occurred_at": at(2026, 1, 1, 11)}),
    "epoch zero": (without(timestamp=0), {"occurred_at": at(1970, 1, 1)}),
    "null timestamp": (without(timestamp=None), {"occurred_at": NOW}),
    "5 minutes ahead": (without(timestamp="2026-01-01T12:05:00Z"), {"occurred_at": NOW + timedelta(minutes=5)}),
    **{f"action {name}": (without(action=name), {"action": name}) for name in ACTION_NAMES},
}

OBJECT = "not an object with user_id, content_id and action"
RANGE = "is out of range"
BAD: dict[str, tuple[str, str]] = {
    "no text": ("", "it is not JSON"),
    "no JSON": ("{'user_id': 1}", "it is not JSON"),
    "cut off": (without()[:-1], "it is not JSON"),
    "two documents": (without() + without(), "it is not JSON"),
    "null": ("null", f"it is null, {OBJECT}"),
    "number": ("12", f"it is a number, {OBJECT}"),
    "true": ("true", f"it is true or false, {OBJECT}"),
    "text in a string": ('"hello"', "it is not JSON"),
    "empty string in a string": ('""', "it is not JSON"),
    "null in an array": ("[null]", f"it is null, {OBJECT}"),
    "empty object": ("{}", "action is missing"),
    "NaN": (without(value=float("nan")), "NaN is not JSON"),
    "Infinity in a field nobody reads": (without(x=float("-inf")), "-Infinity is not JSON"),
    "JSON in JSON in JSON in JSON": (json.dumps(json.dumps(json.dumps(json.dumps(without())))), "nested too deeply"),
    "arrays in arrays": ("[" * 5 + without() + "]" * 5, "nested too deeply"),
    "nested without end": ("[" * 100_000, "nested too deeply"),
    "no action": (without("action"), "action is missing; it must be one of view, click"),
    "unknown action": (without(action="read"), 'action is "read"; it must be one of'),
    "action in capitals": (without(action="VIEW"), 'action is "VIEW"'),
    "action is a number": (without(action=1), "action is 1;"),
    "action is an array": (without(action=["view"]), "action is an array;"),
    "no user": (without("user_id"), "user_id is missing; it must be a string or a whole number"),
    "no content": (without("content_id"), "content_id is missing"),
    "empty user": (without(user_id=""), 'user_id is "";'),
    "empty user beside a camel one": (without(user_id="", userId="u"), 'user_id is "";'),
    "fractional id": (without(user_id=1.5), "user_id is 1.5;"),
    "true as an id": (without(user_id=True), "user_id is true;"),
    "object as an id": (without(content_id={"a": 1}), "content_id is an object;"),
    "false as an event id": (without(id=False), "id is false;"),
    "257 characters": (without(user_id="x" * 257), "user_id is longer than 256 characters"),
    "257 digits": (without(content_id=10**256), "content_id is longer than 256 characters"),
    "number that Python refuses": (without(user_id=1)[:-1] + ', "n": ' + "9" * 5_000 + "}", "it is not JSON"),
    "NUL": (without(user_id="a\0b"), "user_id holds a NUL character"),
    "NUL in the event id": (without(id="\0"), "id holds a NUL character"),
    "lone surrogate": (without(content_id="\ud83d"), "content_id holds half of a surrogate pair"),
    "lone second half": (without(id="\ude00x"), "id holds half of a surrogate pair"),
    "value as text": (without(value="3"), 'value is "3"; it must be a number'),
    "value true": (without(value=True), "value is true;"),
    "value an array": (without(value=[1]), "value is an array;"),
    "value 1e400": (without(value=1)[:-2] + "1e400}", "value is too large"),
    "value of 400 digits": (without(value=10**400), "value is too large"),
    "naive time": (without(timestamp="2026-01-01T11:00:00"), "has no time zone; end it with Z"),
    "date only": (without(timestamp="2026-01-01"), "has no time zone"),
    "words for a time": (without(timestamp="yesterday"), 'timestamp "yesterday" is neither ISO 8601'),
    "empty time": (without(timestamp=""), 'timestamp "" is neither ISO 8601'),
    "time NaN": (without(timestamp="NaN"), RANGE),
    "time infinite": (without(timestamp="inf"), RANGE),
    "negative time": (without(timestamp=-1), "timestamp -1 is out of range"),
    "time 1e300": (without(timestamp=1e300), RANGE),
    "time of 400 digits": (without(timestamp=10**400), RANGE),
    "before the year 1": (without(timestamp="0001-01-01T00:00:00+14:00"), "is neither ISO 8601"),
    "true as a time": (without(timestamp=True), "timestamp is true; it must be ISO 8601, epoch seconds"),
    "object as a time": (without(timestamp={"$date": 1}), "timestamp is an object;"),
    "more than 5 minutes ahead": (without(timestamp="2026-01-01T12:05:00.001Z"), "more than 5 minutes ahead"),
}


@pytest.mark.parametrize(("raw", "changes"), GOOD.values(), ids=GOOD)
def test_what_can_be_read_becomes_an_action(raw: str, changes: dict[str, Any]) -> None:
    assert read(raw) == [READ._replace(**changes)]


@pytest.mark.parametrize(("raw", "reason"), BAD.values(), ids=BAD)
def test_what_can_not_be_read_becomes_a_dead_letter_with_its_reason(raw: str, reason: str) -> None:
    [letter] = read(raw)
    assert isinstance(letter, DeadLetter)
    assert reason in letter.reason
    assert len(letter.reason) < 300
    assert letter.raw == raw


def test_an_array_gives_its_good_actions_and_a_dead_letter_for_each_bad_one() -> None:
    bad = {"action": "view", "user_id": "u", "content_id": ""}
    items = read(json.dumps([PUSHED, bad, {**PUSHED, "id": None}]))
    assert items[0] == READ
    assert items[1] == DeadLetter(json.dumps(bad), 'content_id is ""; it must be a string or a whole number')
    assert items[2] == READ._replace(event_id="batch.0.2")


def test_an_empty_array_holds_no_action() -> None:
    assert read("[]") == []


def test_no_depth_of_nesting_breaks_the_reader() -> None:
    """Around the depth at which Python's own JSON gives up, what it still reads it may not write again."""
    for depth in range(900, 1_010):
        inner = "[" * depth + "]" * depth
        for raw in (without()[:-1] + f', "{name}": {inner}}}' for name in ("user_id", "action", "timestamp", "value")):
            for items in (read(raw), read(f"[{raw}, {raw}]")):
                assert all(isinstance(item, DeadLetter) for item in items)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
odd_texts = st.sampled_from(
    ["", "\0", "\ud83d", "1e999", "-1", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", LONGEST]
)
numbers = st.integers() | st.floats(allow_nan=False) | st.floats(0, 2e9) | st.floats(0, 2e12)
nearly_actions = st.fixed_dictionaries(
    {"action": st.sampled_from(ACTION_NAMES), "user_id": st.text(min_size=1) | st.integers() | odd_texts},
    optional={
        "content_id": st.text(st.characters(codec="utf-8"), min_size=1) | st.integers() | odd_texts,
        "id": st.text() | st.integers() | odd_texts,
        "timestamp": numbers | st.datetimes().map(lambda moment: moment.isoformat() + "Z") | odd_texts | json_values,
        "value": numbers | json_values,
    },
)
elements = (
    st.text()
    | json_values.map(json.dumps)
    | nearly_actions.map(json.dumps)
    | st.lists(nearly_actions | nearly_actions.map(json.dumps), max_size=3).map(json.dumps)
)


@given(elements)
def test_whatever_is_pushed_every_action_read_is_one_that_postgres_can_store(raw: str) -> None:
    for item in read(raw):
        if isinstance(item, DeadLetter):
            assert item.reason
            continue
        for text in (item.event_id, item.user_id, item.content_id):
            assert 0 < len(text.encode()) <= 4 * 256
            assert "\0" not in text
        assert item.action in ACTION_NAMES
        assert item.value is None or abs(item.value) < float("inf")
        assert item.occurred_at.utcoffset() == timedelta(0)
        assert item.occurred_at <= NOW + timedelta(minutes=5)


@given(elements)
def test_an_element_that_is_read_again_gives_the_same_ids(raw: str) -> None:
    def ids(received_at: datetime) -> list[str]:
        items = parse_element(raw, received_at=received_at, fallback_id="batch.3")
        return [item.event_id for item in items if isinstance(item, Action)]

    assert ids(NOW) == ids(NOW)
    assert set(ids(NOW)) <= set(ids(NOW + timedelta(seconds=90)))


EXTREMES: dict[str, dict[str, Any]] = {
    "the year 1": {"timestamp": "0001-01-01T00:00:00Z"},
    "epoch zero": {"timestamp": 0},
    "microseconds": {"timestamp": "2025-12-31T23:59:59.999999Z"},
    "largest value": {"value": 1.7e308},
    "smallest value": {"value": 5e-324},
    "longest": {"user_id": LONGEST, "content_id": LONGEST},
    LONGEST: {},
    "control characters": {"user_id": "\x01\x1f\x7f\ufeff\uffff", "content_id": "\\'\"{},\n\t"},
}


def test_the_most_extreme_actions_are_stored_as_they_were_read(services: Services) -> None:
    wanted = [read(without(id=name, **fields))[0] for name, fields in EXTREMES.items()]
    with services.database.transaction() as connection:
        assert insert_actions(connection, wanted, counted=["view"]).events == len(wanted)  # type: ignore[arg-type]
        rows = connection.execute(
            "SELECT event_id, user_id, content_id, action, value, occurred_at FROM user_actions"
        ).fetchall()
    assert {Action(*row) for row in rows} == set(wanted)


def test_a_batch_with_everything_in_it_applies_the_good_and_keeps_the_bad(services: Services) -> None:
    extremes = [without(id=name, **fields) for name, fields in EXTREMES.items()]
    bad = [raw for raw, reason in BAD.values() if "ahead" not in reason]
    for raw in (*extremes, *bad):
        services.queue._redis.execute("RPUSH", "pending_user_actions", raw)
    summary = process_user_actions(services, Deadline.after(60))
    counts = {"claimed": len(extremes) + len(bad), "applied": len(extremes), "duplicates": 0, "rejected": len(bad)}
    assert summary == {**counts, "pending": 0}
    letters = services.dead_letters.all()
    assert len(letters) == len(bad)
    assert {letter.raw for letter in letters} >= {raw for raw in bad if len(raw) < 1_000}
