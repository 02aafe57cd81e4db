"""The reader of pushed actions, under whatever text and JSON that hypothesis can think of."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.adapters.action_log import insert_actions
from lib.adapters.services import Services
from lib.core.actions import ACTION_NAMES, Action, DeadLetter, as_element, names_user, parse_element

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
FALLBACK = "batch.7"
LATEST = NOW + timedelta(minutes=5)

often = settings(max_examples=200, deadline=None, derandomize=True)
sometimes = settings(max_examples=100, deadline=None, derandomize=True)

characters = st.characters() | st.sampled_from("\0\ud83d\ude00\u2028\x7f\\\"'{}[](),:*+?.^$|\ufeff\U0010ffff")
texts = st.text(characters, max_size=20) | st.sampled_from(["x" * 256, "x" * 257, "\U0001f600" * 256, "\ud800" * 3])
huge = st.integers(-(10**400), 10**400) | st.sampled_from([2**53 + 1, 2**63, 10**255, 10**256, -(10**256), 10**4_299])
numbers = st.integers() | huge | st.floats(allow_nan=False, allow_infinity=False)
constants = st.sampled_from([float("nan"), float("inf"), float("-inf")])


def composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Arrays, objects, and JSON inside a JSON string."""
    return (
        st.lists(inner, max_size=4)
        | st.dictionaries(texts | st.sampled_from(FIELDS), inner, max_size=4)
        | inner.map(json.dumps)
    )


FIELDS = ("id", "user_id", "userId", "content_id", "contentId", "action", "timestamp", "value")
plain = st.none() | st.booleans() | numbers | texts
json_values = st.recursive(plain | constants, composed, max_leaves=12)
strict_values = st.recursive(plain, composed, max_leaves=12)
deep = st.builds(
    lambda depth, inner: "[" * depth + inner + "]" * depth, st.integers(0, 3_000), json_values.map(json.dumps)
)

first_day, last_day = datetime(1, 1, 2), datetime(9999, 12, 30)  # noqa: DTZ001 - hypothesis adds the zone
moments = (st.datetimes(first_day, last_day) | st.datetimes(first_day, last_day, timezones=st.timezones())).map(
    lambda moment: moment.isoformat()
)
timestamps = (
    st.none()
    | moments
    | st.integers(0, 2 * 10**9)
    | st.integers(0, 2 * 10**12)
    | st.floats(0, 2e12)
    | st.floats(0, 2e12).map(str)
    | st.sampled_from(["1e400", "nan", "-inf", "2026-01-01T12:05:00Z", "2026-01-01T12:05:00.000001Z", "٣", "1_000"])
)
TOO_LARGE = "1e400"  # is put in as a number: JSON may hold one that no float does
identifiers = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30) | st.integers()
good_actions = st.fixed_dictionaries(
    {"user_id": identifiers, "content_id": identifiers, "action": st.sampled_from(ACTION_NAMES)},
    optional={
        "id": identifiers,
        "value": st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60),
        "timestamp": st.none() | st.integers(0, int(NOW.timestamp())) | st.floats(0, NOW.timestamp()),
    },
)


# For each field what comes near to being right.
ahead = st.integers(-60_000_000, 60_000_000).map(lambda microseconds: LATEST + timedelta(microseconds=microseconds))
bad_texts = st.builds(
    lambda text, bad, position: text[:position] + bad + text[position:],
    st.text(max_size=4),
    st.sampled_from(["\0", "\ud83d", "\ude00", "x" * 255, "\U0001f600" * 256]),
    st.integers(0, 4),
)
near_identifiers: st.SearchStrategy[Any] = bad_texts | st.sampled_from(
    ["x" * 257, "", True, None, 1.5, [], {}, 10**255, 10**256, -(10**255), 10**400]
)
near_times = (
    ahead.map(datetime.isoformat)
    | ahead.map(datetime.timestamp)
    | ahead.map(lambda moment: moment.timestamp() * 1_000)
    | ahead.map(lambda moment: moment.replace(tzinfo=None).isoformat())
    | ahead.map(lambda moment: str(moment.timestamp()))
    | st.sampled_from([1e300, "1e300", 10**400, -(10**400), 253_402_300_800, TOO_LARGE, "9" * 400, True, [], {}])
)
near_values = st.sampled_from(
    [10**308, 10**309, -(10**400), 1.7e308, TOO_LARGE, f"-{TOO_LARGE}", "3", True, [], {}, "NaN"]
)
near_names: st.SearchStrategy[Any] = st.sampled_from(
    [*ACTION_NAMES, "VIEW", "", "view\0", True, 1, None, [], ["view"], {}]
)
near_fields = {
    **dict.fromkeys(("id", "user_id", "userId", "content_id", "contentId"), near_identifiers),
    "action": near_names,
    "timestamp": near_times,
    "value": near_values,
}
one_change = st.sampled_from(FIELDS).flatmap(lambda name: st.fixed_dictionaries({name: near_fields[name]}))


def mutated(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Good actions with one field that is nearly right, or up to three that are anything."""
    some_changes = st.dictionaries(st.sampled_from(FIELDS), values | identifiers | timestamps, min_size=1, max_size=3)
    return st.builds(lambda good, changed: good | changed, good_actions, one_change | one_change | some_changes)


near_actions = mutated(json_values)


def written(value: Any) -> str:
    """As JSON, with the numbers that only other languages write."""
    return json.dumps(value).replace(f'"{TOO_LARGE}"', TOO_LARGE).replace(f'"-{TOO_LARGE}"', f"-{TOO_LARGE}")


wrapped = st.sampled_from(
    [
        written,
        written,
        lambda action: json.dumps(action, ensure_ascii=False),
        lambda action: json.dumps(action, indent=1),
        lambda action: json.dumps([action]),
        lambda action: json.dumps([action, [action], json.dumps(action)]),
        lambda action: json.dumps(json.dumps(action)),
        lambda action: json.dumps(f" \n{json.dumps(action)}\t"),
        lambda action: json.dumps(action)[:-1],
        lambda action: json.dumps(action).replace('"user_id"', '"user_id": 1, "user_id"'),
    ]
)
Wrap = Callable[[Any], str]
elements = (
    texts
    | st.text(max_size=200)
    | json_values.map(json.dumps)
    | deep
    | st.builds(lambda wrap, action: wrap(action), wrapped, good_actions | near_actions)
    | near_actions.map(written)
    | st.lists(near_actions | good_actions | json_values, max_size=5).map(written)
)


def read(raw: str, *, received_at: datetime = NOW) -> list[Action | DeadLetter]:
    return list(parse_element(raw, received_at=received_at, fallback_id=FALLBACK))


def readable(items: list[Action | DeadLetter]) -> list[Action]:
    return [item for item in items if isinstance(item, Action)]


def assert_storable(action: Action) -> None:
    for identifier in (action.event_id, action.user_id, action.content_id):
        assert 1 <= len(identifier) <= 256
        assert "\0" not in identifier
        assert len(identifier.encode("utf-8")) <= 1_024  # raises where it holds half of a surrogate pair
    assert action.action in ACTION_NAMES
    assert action.value is None or (isinstance(action.value, float) and math.isfinite(action.value))
    assert action.occurred_at.tzinfo is not None
    assert action.occurred_at <= LATEST


def assert_readable_or_refused_with_a_reason(item: object) -> None:
    if isinstance(item, Action):
        assert_storable(item)
    else:
        assert type(item) is DeadLetter
        assert item.reason.strip()
        assert len(item.reason) < 300
        item.reason.encode("utf-8")  # it is shown on a page


@often
@given(elements)
def test_an_element_becomes_actions_that_postgres_can_store_and_dead_letters_with_a_reason(raw: str) -> None:
    for item in read(raw):
        assert_readable_or_refused_with_a_reason(item)


@often
@given(near_actions.map(written))
def test_an_action_that_is_nearly_right_is_stored_or_refused_with_a_reason(raw: str) -> None:
    [item] = read(raw)
    assert_readable_or_refused_with_a_reason(item)


@often
@given(elements)
def test_an_element_is_read_alike_every_time(raw: str) -> None:
    assert read(raw) == read(raw)


@often
@given(mutated(strict_values))  # NaN makes the whole element something other than JSON
def test_an_action_that_is_wrong_spoils_no_other_of_its_array(fields: dict[str, Any]) -> None:
    good = {"id": "good", "user_id": "u", "content_id": "c", "action": "view"}
    first, *_, last = read(written([good, fields, good]))
    assert [item.event_id for item in readable([first, last])] == ["good", "good"]


@often
@given(good_actions)
def test_a_good_action_is_read_whatever_it_is_wrapped_in(fields: dict[str, Any]) -> None:
    [action] = readable(read(json.dumps(fields)))
    assert (action.user_id, action.content_id) == (str(fields["user_id"]), str(fields["content_id"]))
    for raw in (json.dumps([fields]), json.dumps(json.dumps(fields)), json.dumps([json.dumps(fields)])):
        assert read(raw) == [action]


@often
@given(st.builds(lambda wrap, action: wrap(action), wrapped, good_actions | near_actions))
def test_an_action_that_is_written_as_an_element_reads_as_the_same_action(raw: str) -> None:
    for action in readable(read(raw)):
        assert list(parse_element(as_element(action), received_at=NOW, fallback_id="another")) == [action]


@often
@given(st.builds(lambda wrap, action: wrap(action), wrapped, good_actions | near_actions))
def test_an_action_is_found_by_its_user_as_it_was_pushed_and_as_it_is_kept(raw: str) -> None:
    """Otherwise a dead letter would outlive the user who is to be forgotten."""
    for action in readable(read(raw)):
        assert names_user(raw, action.user_id)
        assert names_user(as_element(action), action.user_id)


@sometimes
@given(elements, texts)
def test_looking_for_a_user_never_fails(raw: str, user_id: str) -> None:
    assert names_user(raw, user_id) in (True, False)


@sometimes
@given(good_actions, st.uuids())
def test_another_user_is_not_found(fields: dict[str, Any], stranger: Any) -> None:
    assert not names_user(json.dumps(fields), str(stranger))


@pytest.mark.parametrize("depth", [1, 3, 4, 900, 1_000, 5_000, 200_000])
def test_no_depth_is_too_deep_to_look_for_a_user(depth: int) -> None:
    inner = json.dumps({"user_id": "ada", "content_id": "c", "action": "view"})
    raw = "[" * depth + inner + "]" * depth
    assert names_user(raw, "ada") or depth > 3
    assert read(raw)


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pushed=st.lists(good_actions | near_actions, min_size=20, max_size=60))
def test_postgres_refuses_none_of_the_actions_that_are_read(services: Services, pushed: list[dict[str, Any]]) -> None:
    """One database for all examples: each begins by emptying the log."""
    raws = [written(fields) for fields in pushed]
    actions = {action.event_id: action for raw in raws for action in readable(read(raw))}
    with services.database.transaction() as connection:
        connection.execute("DELETE FROM user_actions")
        change = insert_actions(connection, list(actions.values()), counted=list(ACTION_NAMES))
        rows = connection.execute(
            "SELECT event_id, user_id, content_id, action, value, occurred_at FROM user_actions"
        ).fetchall()
    assert change.events == len(actions)
    assert {Action(*row) for row in rows} == set(actions.values())
