"""The pure decisions of the local QStash: durations, expressions, cron, headers, replies, flow, deduplication."""

import math
from email.utils import formatdate

import pytest

from local.qstash.cron import next_run
from local.qstash.deduplication import Deduplication, deduplication_key
from local.qstash.durations import parse_duration, parse_wait
from local.qstash.errors import Refused
from local.qstash.expressions import evaluate
from local.qstash.flow import FlowControl, FlowLimits, read_flow_limits
from local.qstash.journal import Journal
from local.qstash.messages import Reply, Verdict, back_off, judge, retry_wait
from local.qstash.options import check_url, read_options
from tests.local.qstash_support import START, draft

PLAIN = read_options({})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("50s", 50), ("1d10h30m", 124200), ("6m5s", 365), ("1.5h", 5400), ("250ms", 0.25), ("10", None), ("", None)],
)
def test_a_duration_is_numbers_with_units(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("10", 10),
        ("6m5s", 365),
        (formatdate(START + 90, usegmt=True), 90),
        (formatdate(START - 90, usegmt=True), 0),
        ("Thu, 01 Jan 2026 00:01:30 -0000", 60),
        ("soon", None),
    ],
)
def test_retry_after_is_seconds_a_duration_or_a_date(text: str, seconds: float | None) -> None:
    assert parse_wait(text, START) == seconds


@pytest.mark.parametrize(
    ("expression", "retried", "value"),
    [
        ("1000", 3, 1000),
        ("1000 * (1 + retried)", 2, 3000),
        ("pow(2, retried) * 1000", 3, 8000),
        ("max(1000, pow(2, retried) * 100)", 0, 1000),
        ("min(5, 3) + abs(-2) + floor(1.9) + ceil(1.1) + sqrt(9) + exp(0)", 0, 12),
        ("round(2.5) + round(-2.5) + 7 % 4", 0, 3),
        ("pow(10, 400)", 0, math.inf),
    ],
)
def test_a_retry_delay_expression_is_computed(expression: str, retried: int, value: float) -> None:
    assert evaluate(expression, retried) == value


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "retried.__class__",
        "[1][0]",
        "(lambda: 1)()",
        "open('x')",
        "2 ** 3",
        "True",
        "max(*[1, 2])",
        "1 / 0",
        "sqrt(0 - 1)",
        "min(1)",
        "round(1, ndigits=2)",
        "1 +",
        "9" * 201,
    ],
)
def test_whatever_is_no_arithmetic_is_refused(expression: str) -> None:
    with pytest.raises(Refused, match="upstash-retry-delay"):
        read_options({"Upstash-Retry-Delay": expression})


@pytest.mark.parametrize(
    ("cron", "seconds_later"),
    [
        ("* * * * *", 30),
        ("*/5 * * * *", 270),
        ("0 */2 * * *", 7170),
        ("0 0 * * FRI", 86370),
        ("0 0 ? * 5", 86370),
        ("CRON_TZ=Europe/Berlin 0 2 * * *", 3570),
        ("TZ=America/New_York 0 20 * * *", 3570),
    ],
)
def test_the_next_run_is_a_full_minute_in_the_crons_zone(cron: str, seconds_later: float) -> None:
    assert next_run(cron, START) == START + seconds_later


def test_the_run_after_a_run_is_a_later_one() -> None:
    assert next_run("* * * * *", START + 30) == START + 90


@pytest.mark.parametrize(
    ("cron", "complaint"),
    [
        ("*/5 * * * * *", "expected exactly 5 fields, found 6"),
        ("* * * *", "expected exactly 5 fields, found 4"),
        ("@hourly", "expected exactly 5 fields, found 1"),
        ("60 * * * *", "invalid cron"),
        ("*/0 * * * *", "invalid cron"),
        ("0 0 31 2 *", "invalid cron"),
        ("0 0 * * 7", "Sunday is 0"),
        ("0 0 L * *", "'L'"),
        ("H * * * *", "'H'"),
        ("0 0 * * 5#2", "'5#2'"),
        ("CRON_TZ=Mars/Olympus 0 0 * * *", "unknown time zone"),
        ("CRON_TZ=../etc/passwd 0 0 * * *", "unknown time zone"),
    ],
)
def test_a_cron_that_qstash_would_not_take_is_refused(cron: str, complaint: str) -> None:
    with pytest.raises(Refused, match=complaint) as refused:
        next_run(cron, START)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Upstash-Method", "BREW"),
        ("Upstash-Retries", "-1"),
        ("Upstash-Delay", "10"),
        ("Upstash-Delay", "366d"),
        ("Upstash-Not-Before", "tomorrow"),
        ("Upstash-Timeout", "soon"),
        ("Upstash-Deduplication-Id", "a:b"),
        ("Upstash-Callback", "example.com"),
        ("Upstash-Failure-Callback", "ftp://example.com"),
        ("Upstash-Forward-X", "a\r\nHost: evil"),
        ("Upstash-Forward-X", "☃"),
        ("Upstash-Queue-Name", "q"),
        ("Upstash-Redact-Fields", "body"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(Refused, match=f"(?i){name}") as refused:
        read_options({name: value})
    assert refused.value.status == 400


@pytest.mark.parametrize("url", ["", "example.com", "ftp://a/b", "https://", "http://[", "http://a:x/", "http://a/\n"])
def test_a_destination_is_an_http_url(url: str) -> None:
    with pytest.raises(Refused, match="http://"):
        check_url(url, "destination url")


def test_forwarded_headers_lose_their_prefix_and_leave_out_those_of_the_connection() -> None:
    headers = {
        "Content-Type": "text/plain",
        "Upstash-Forward-x-API-key": "k",
        "Upstash-Forward-Content-Length": "9",
        "Upstash-Forward-Host": "evil",
        "Authorization": "Bearer t",
    }
    assert read_options(headers).forward == {"Content-Type": "text/plain", "X-Api-Key": "k"}


def test_a_callback_has_options_of_its_own_and_the_retries_of_its_message() -> None:
    headers = {
        "Upstash-Retries": "1",
        "Upstash-Callback": "https://example.com/done",
        "Upstash-Callback-Forward-Method": "forwarded",
        "Upstash-Callback-Method": "PUT",
        "Upstash-Callback-X-Key": "k",
        "Upstash-Failure-Callback": "https://example.com/failed",
        "Upstash-Failure-Callback-Retries": "7",
    }
    options = read_options(headers)
    assert options.callback
    assert options.failure_callback
    assert (options.callback.options.method, options.callback.options.retries) == ("PUT", 1)
    assert options.callback.options.forward == {
        "Content-Type": "application/json",
        "Method": "forwarded",
        "X-Key": "k",
    }
    assert options.failure_callback.options.retries == 7


@pytest.mark.parametrize(
    ("reply", "retried", "verdict"),
    [
        (Reply(200), 0, Verdict.DELIVERED),
        (Reply(299), 0, Verdict.DELIVERED),
        (Reply(301), 0, Verdict.RETRY),
        (Reply(500), 2, Verdict.RETRY),
        (Reply(500), 3, Verdict.FAILED),
        (Reply(0), 0, Verdict.RETRY),
        (Reply(489), 0, Verdict.RETRY),
        (Reply(489, headers={"Upstash-Nonretryable-Error": ["true"]}), 0, Verdict.FAILED),
        (Reply(500, headers={"Upstash-Nonretryable-Error": ["true"]}), 0, Verdict.RETRY),
    ],
)
def test_only_2xx_is_a_delivery_and_only_a_marked_489_is_final(reply: Reply, retried: int, verdict: Verdict) -> None:
    assert judge(reply, retried, PLAIN) is verdict


def test_the_back_off_grows_to_a_day() -> None:
    assert [round(back_off(retried)) for retried in range(4)] == [12, 148, 1808, 22026]
    assert back_off(4) == back_off(10_000) == 86400


@pytest.mark.parametrize(
    ("headers", "expression", "seconds"),
    [
        ({"Retry-After": ["6m5s"]}, None, 365),
        ({"Retry-After": ["0"]}, None, 0),
        ({"X-Ratelimit-Reset": ["7"]}, None, 7),
        ({"Retry-After": ["25h"]}, None, back_off(0)),
        ({"Retry-After": ["soon"]}, None, back_off(0)),
        ({"Retry-After": ["5"]}, "1000", 5),
        ({}, "1000 * (1 + retried)", 1),
        ({}, "pow(10, 400)", 86400),
        ({}, "0 - 5", 0),
        ({}, "sqrt(1 - retried) * 1000", 1),
    ],
)
def test_the_wait_is_the_endpoints_wish_else_the_expression_else_the_back_off(
    headers: dict[str, list[str]], expression: str | None, seconds: float
) -> None:
    options = read_options({"Upstash-Retry-Delay": expression} if expression else {})
    assert retry_wait(Reply(503, headers=headers), 0, options, START) == seconds


def test_an_expression_that_fails_later_gives_way_to_the_back_off() -> None:
    options = read_options({"Upstash-Retry-Delay": "sqrt(1 - retried)"})
    assert retry_wait(Reply(503), 2, options, START) == back_off(2)


def test_flow_limits_are_read_from_both_headers() -> None:
    assert read_flow_limits("k", "parallelism=5, rate=10,period=1m") == FlowLimits("k", 5, 10, 60.0)
    assert read_flow_limits("k", "rate=2") == FlowLimits("k", None, 2, 1.0)
    assert read_flow_limits(None, None) is None


@pytest.mark.parametrize(
    "value", ["", "rate=0", "rate=x", "period=1m", "speed=1", "rate=1,period=8d", "rate=1,period=0"]
)
def test_flow_limits_that_limit_nothing_are_refused(value: str) -> None:
    with pytest.raises(Refused, match="Upstash-Flow-Control-Value"):
        read_flow_limits("k", value)


def test_flow_control_holds_parallelism_until_a_delivery_ends() -> None:
    flow, limits = FlowControl(), FlowLimits("k", 1, None)
    assert flow.admit(limits, START) is None
    assert flow.admit(limits, START + 999) == math.inf
    assert flow.admit(FlowLimits("other", 1, None), START) is None
    flow.release("k")
    assert flow.admit(limits, START + 999) is None


def test_flow_control_holds_the_rate_until_the_period_ends() -> None:
    flow, limits = FlowControl(), FlowLimits("k", None, 2, 10.0)
    assert [flow.admit(limits, START + n) for n in range(3)] == [None, None, START + 10]
    assert flow.admit(limits, START + 10) is None


def test_a_deduplication_id_is_forgotten_after_ten_minutes() -> None:
    seen = Deduplication()
    seen.remember("a", "msg_1", START)
    assert seen.find("a", START + 599) == "msg_1"
    assert seen.find("a", START + 600) is None


def test_content_is_the_same_where_destination_body_and_forwarded_headers_are() -> None:
    on = {"Upstash-Content-Based-Deduplication": "True"}
    key = deduplication_key(draft(on, body=b"1"))
    assert key == deduplication_key(draft(on | {"Upstash-Label": "l"}, body=b"1"))
    others = [draft(on, body=b"2"), draft(on, url="https://b.c/"), draft(on | {"Upstash-Forward-A": "1"}, body=b"1")]
    assert key not in {deduplication_key(other) for other in others}
    assert deduplication_key(draft()) is None


def test_a_journal_keeps_the_newest_and_pages_through_them_while_more_arrive() -> None:
    journal = Journal(limit=5)
    for number in range(8):
        journal.add({"messageId": str(number), "time": number})
    page, cursor = journal.page({"count": ["2"]}, most=100)
    journal.add({"messageId": "8", "time": 8})
    assert cursor
    rest, end = journal.page({"cursor": [cursor]}, most=100)
    assert [record["messageId"] for record in page + rest] == ["7", "6", "5", "4"]
    assert end is None


def test_a_journal_filters_by_value_by_several_ids_and_by_time() -> None:
    journal = Journal(limit=9)
    for number, state in enumerate(["CREATED", "ACTIVE", "ERROR", "RETRY", "FAILED"]):
        journal.add({"messageId": str(number), "time": number, "state": state})

    def ids(**query: list[str]) -> str:
        return "".join(record["messageId"] for record in journal.page(query, most=100)[0])

    assert ids(state=["FAILED"]) == "4"
    assert ids(state=["IN_PROGRESS"]) == "321"
    assert ids(messageIds=["0", "4", "9"]) == "40"
    assert ids(fromDate=["1"], toDate=["2"]) == "21"
    assert ids(queueName=["q"]) == ""


@pytest.mark.parametrize("query", [{"colour": ["red"]}, {"count": ["x"]}, {"cursor": ["x"]}, {"fromDate": ["x"]}])
def test_a_filter_that_is_not_understood_is_refused(query: dict[str, list[str]]) -> None:
    with pytest.raises(Refused, match=r"unknown filter|not a whole number"):
        Journal(limit=1).page(query, most=1)
