"""What the local QStash does when, decided without a clock, a thread or a network."""

import base64
import json
from typing import Any

import pytest

from local.qstash.errors import Refused
from local.qstash.messages import Message, Reply
from local.qstash.state import DEAD_LETTER_LIMIT, EVENT_LIMIT, State
from local.qstash.views import LOG_BODY_BYTES
from tests.local.qstash_support import START, draft

EVERY_MINUTE = "* * * * *"
MINUTE = START + 30


@pytest.fixture
def state() -> State:
    return State(parallelism=10, schedule_cap=3)


def run(state: State, now: float, status: int = 200) -> list[str]:
    """Delivers all that is due with the same reply; the URLs, in order."""
    started = state.start_due(now)
    for message in started:
        state.finish(message, Reply(status, "" if status == 200 else "bad"), now)
    return [message.draft.url for message in started]


def states(state: State) -> list[str]:
    return [event["state"] for event in state.events][::-1]


def publish(state: State, now: float = START, **headers: str) -> str:
    named = {f"Upstash-{name.replace('_', '-')}": value for name, value in headers.items()}
    return state.publish(draft(named), now)[0]


def test_a_message_is_due_at_once_and_delivered_once(state: State) -> None:
    publish(state)
    assert state.next_due() == START
    assert len(run(state, START)) == 1
    assert run(state, START + 9999) == []
    assert states(state) == ["CREATED", "ACTIVE", "DELIVERED"]


def test_a_delay_is_waited_for(state: State) -> None:
    publish(state, delay="1m30s")
    assert run(state, START + 89) == []
    assert state.next_due() == START + 90
    assert len(run(state, START + 90)) == 1


def test_an_absolute_time_goes_before_a_delay(state: State) -> None:
    publish(state, delay="1s", not_before=str(int(START) + 60))
    assert run(state, START + 59) == []
    assert len(run(state, START + 60)) == 1


def test_a_time_in_milliseconds_is_refused_as_too_far_ahead(state: State) -> None:
    with pytest.raises(Refused, match="unix seconds"):
        publish(state, not_before=str(int(START) * 1000))


def test_messages_start_in_the_order_of_their_times(state: State) -> None:
    for delay in ("30s", "10s", "20s"):
        state.publish(draft({"Upstash-Delay": delay}, url=f"https://example.com/{delay}"), START)
    assert run(state, START + 60) == [f"https://example.com/{delay}" for delay in ("10s", "20s", "30s")]


def test_a_failing_message_is_tried_four_times_and_becomes_a_dead_letter(state: State) -> None:
    message_id = publish(state)
    now, waits = START, []
    while (due := state.next_due()) is not None:
        waits.append(round(due - now))
        now = due
        run(state, now, 500)
    assert waits == [0, 12, 148, 1808]
    assert states(state)[-3:] == ["ACTIVE", "ERROR", "FAILED"]
    assert states(state).count("RETRY") == 3
    [letter] = state.dead_letters
    assert (letter["messageId"], letter["responseStatus"], letter["maxRetries"]) == (message_id, 500, 3)


def test_without_retries_the_first_failure_is_the_last(state: State) -> None:
    publish(state, retries="0")
    run(state, START, 503)
    assert states(state) == ["CREATED", "ACTIVE", "ERROR", "FAILED"]
    assert state.next_due() is None


def test_a_duplicate_publish_answers_with_the_first_message_id(state: State) -> None:
    first = draft({"Upstash-Deduplication-Id": "tick-1"})
    original = state.publish(first, START)
    assert original[1] is False
    run(state, START)
    assert state.publish(first, START + 599) == (original[0], True)
    assert state.publish(first, START + 600)[1] is False


def test_a_cancelled_message_is_not_delivered(state: State) -> None:
    state.cancel(publish(state), START)
    assert run(state, START) == []
    assert states(state) == ["CREATED", "CANCEL_REQUESTED", "CANCELED"]


def test_cancelling_an_attempt_under_way_spares_the_retries(state: State) -> None:
    message_id = publish(state)
    [message] = state.start_due(START)
    state.cancel(message_id, START)
    state.cancel(message_id, START)
    state.finish(message, Reply(500), START)
    assert states(state) == ["CREATED", "ACTIVE", "CANCEL_REQUESTED", "ERROR", "CANCELED"]
    assert state.next_due() is None
    assert list(state.dead_letters) == []


def test_no_more_than_the_parallelism_run_at_once(state: State) -> None:
    for _ in range(12):
        publish(state)
    started = state.start_due(START)
    assert len(started) == 10
    assert state.next_due() is None
    state.finish(started[0], Reply(200), START)
    assert state.next_due() == START
    assert len(state.start_due(START)) == 1


def test_a_flow_control_key_runs_one_at_a_time_and_lets_others_pass(state: State) -> None:
    for _ in range(2):
        publish(state, flow_control_key="k", flow_control_value="parallelism=1")
    publish(state)
    first, other = state.start_due(START)
    assert (first.draft.options.flow is None, other.draft.options.flow is None) == (False, True)
    assert state.start_due(START + 99) == []
    state.finish(first, Reply(500), START + 99)
    assert len(state.start_due(START + 99)) == 1


def test_a_flow_control_rate_spreads_messages_over_periods(state: State) -> None:
    for _ in range(5):
        publish(state, flow_control_key="k", flow_control_value="rate=2, period=10s")
    counts = [len(run(state, START + seconds)) for seconds in (0, 9, 10, 19, 20)]
    assert counts == [2, 0, 2, 0, 1]


def test_a_schedule_makes_a_message_every_minute(state: State) -> None:
    state.schedules.put("s", EVERY_MINUTE, draft(), START)
    assert state.next_due() == MINUTE
    assert [len(run(state, MINUTE + seconds)) for seconds in (-1, 0, 59, 60, 61)] == [0, 1, 0, 1, 0]
    schedule = state.schedules.get("s")
    assert (schedule.last_run, schedule.next_run) == (MINUTE + 60, MINUTE + 120)


def test_minutes_missed_in_sleep_fire_once(state: State) -> None:
    state.schedules.put("s", EVERY_MINUTE, draft(), START)
    assert len(run(state, MINUTE + 3600 + 7)) == 1
    assert state.schedules.get("s").next_run == MINUTE + 3600 + 60


def test_a_schedules_delay_holds_its_messages_and_not_itself(state: State) -> None:
    state.schedules.put("s", EVERY_MINUTE, draft({"Upstash-Delay": "25s"}), START)
    assert run(state, MINUTE) == []
    assert states(state) == ["CREATED"]
    assert len(run(state, MINUTE + 25)) == 1


def test_a_schedule_tells_what_became_of_its_last_run(state: State) -> None:
    state.schedules.put("s", EVERY_MINUTE, draft({"Upstash-Retries": "0"}), START)

    def last() -> list[str]:
        return list(state.schedules.get("s").last_states.values())

    [message] = state.start_due(MINUTE)
    assert (message.schedule_id, last()) == ("s", ["IN_PROGRESS"])
    state.finish(message, Reply(200), MINUTE)
    assert last() == ["SUCCESS"]
    run(state, MINUTE + 60, 500)
    assert last() == ["FAIL"]


def test_a_message_outlives_its_schedule(state: State) -> None:
    state.schedules.put("s", EVERY_MINUTE, draft(), START)
    [message] = state.start_due(MINUTE)
    state.schedules.delete("s")
    state.finish(message, Reply(200), MINUTE)
    assert states(state)[-1] == "DELIVERED"


def test_a_paused_schedule_lets_its_runs_go_by(state: State) -> None:
    schedule = state.schedules.put("s", EVERY_MINUTE, draft(), START)
    schedule.paused = True
    assert run(state, MINUTE) == []
    schedule.paused = False
    assert run(state, MINUTE + 1) == []
    assert len(run(state, MINUTE + 60)) == 1


def test_a_schedule_of_the_same_id_is_replaced_whole(state: State) -> None:
    state.schedules.put("s", EVERY_MINUTE, draft({"Upstash-Label": "old"}, body=b"old"), START).paused = True
    run(state, MINUTE)
    replaced = state.schedules.put("s", "0 0 * * *", draft(), MINUTE)
    assert state.schedules.all() == [replaced]
    assert (replaced.paused, replaced.draft.body, replaced.draft.options.label) == (False, b"", None)


def test_schedules_over_the_cap_are_refused_and_replacing_is_not_over_it(state: State) -> None:
    for name in "abc":
        state.schedules.put(name, EVERY_MINUTE, draft(), START)
    state.schedules.put("a", "0 * * * *", draft(), START)
    with pytest.raises(Refused) as refused:
        state.schedules.put("d", EVERY_MINUTE, draft(), START)
    assert refused.value.status == 412


@pytest.mark.parametrize("schedule_id", ["a b", "a:b", "a/b", "é", "a\n"])
def test_a_schedule_id_holds_letters_digits_hyphens_periods_and_underscores(state: State, schedule_id: str) -> None:
    with pytest.raises(Refused, match="letters, digits"):
        state.schedules.put(schedule_id, EVERY_MINUTE, draft(), START)
    assert state.schedules.put("A-z_0.9", EVERY_MINUTE, draft(), START).id == "A-z_0.9"


def attempts_told(state: State) -> list[dict[str, Any]]:
    """The bodies of the callbacks that are due."""
    return [json.loads(message.draft.body) for message in waiting(state, "/called")]


def waiting(state: State, path: str) -> list[Message]:
    return [m for m in map(state.message, state.message_ids()) if m.draft.url.endswith(path)]


def test_a_callback_tells_of_every_attempt(state: State) -> None:
    message_id = publish(state, callback="https://example.com/called", retries="1", forward_a="1")
    [message] = state.start_due(START)
    state.finish(message, Reply(500, "bad", {"X-Why": ["db"]}, b"no"), START)
    [told] = attempts_told(state)
    assert told == {
        "status": 500,
        "header": {"X-Why": ["db"]},
        "body": base64.b64encode(b"no").decode(),
        "retried": 0,
        "maxRetries": 1,
        "sourceMessageId": message_id,
        "url": "https://example.com/hook",
        "method": "POST",
        "sourceHeader": {"A": ["1"]},
        "sourceBody": "",
        "notBefore": START * 1000,
        "createdAt": START * 1000,
        "callerIP": "127.0.0.1",
    }


def test_a_failure_callback_tells_of_the_last_failure_alone(state: State) -> None:
    publish(state, failure_callback="https://example.com/called", retries="1")
    run(state, START, 500)
    assert attempts_told(state) == []
    run(state, START + 99, 500)
    [told] = attempts_told(state)
    [letter] = state.dead_letters
    assert (told["retried"], told["maxRetries"], told["dlqId"]) == (1, 1, letter["dlqId"])


def test_the_log_keeps_no_large_bodies(state: State) -> None:
    state.publish(draft({"Upstash-Retries": "0"}, body=b"x" * (LOG_BODY_BYTES + 1)), START)
    [message] = state.start_due(START)
    state.finish(message, Reply(500, body=b"y" * (LOG_BODY_BYTES + 1)), START)
    failed = next(iter(state.events))
    assert "body" not in failed
    assert base64.b64decode(failed["responseBody"]) == b"y" * LOG_BODY_BYTES


def test_the_log_and_the_dead_letters_are_bounded(state: State) -> None:
    for _ in range(EVENT_LIMIT // 4 + 1):
        publish(state, retries="0")
    while run(state, START, 500):
        pass
    assert len(list(state.events)) == EVENT_LIMIT
    assert len(list(state.dead_letters)) == DEAD_LETTER_LIMIT
    assert state.message_ids() == []
