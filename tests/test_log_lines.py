import logging
import threading

import pytest

from lib.log_lines import VALUE_LENGTH, formatter, line, log_defect, naming


def test_words_come_first_and_then_pairs() -> None:
    assert (
        line("cache warming ok", job="warm_cache", duration_ms=12) == "cache warming ok job=warm_cache duration_ms=12"
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("recs.shop.example.com.warm_cache", "x=recs.shop.example.com.warm_cache"),
        (0, "x=0"),
        (False, "x=False"),
        ("two words", 'x="two words"'),
        ('a "quoted" one', r'x="a \"quoted\" one"'),
        ("a=b", 'x="a=b"'),
        ("a\\b", r'x="a\\b"'),
        ("a\nb", r'x="a\nb"'),
        ("a\u2028b\x85c\x9bd", r'x="a\u2028b\x85c\x9bd"'),
        ("机器 学习", 'x="机器 学习"'),
        (None, ""),
        ("", ""),
    ],
)
def test_a_value_is_quoted_only_where_it_must_be_and_never_breaks_the_line(value: object, written: str) -> None:
    assert line("words", x=value) == f"words {written}".rstrip()


def test_a_value_and_words_that_are_very_long_are_cut() -> None:
    text = line("w" * 10_000, x="v" * 10_000)
    assert len(text) < 2 * VALUE_LENGTH + 20
    assert text.count("…") == 2


def test_words_break_no_line_either() -> None:
    assert line("failed: x\n2026-11-25 all is well\r\x1b[2K") == r"failed: x\n2026-11-25 all is well\r\x1b[2K"


def test_every_line_of_a_request_ends_with_its_fields_and_no_other_line_does() -> None:
    with naming(message="msg_1", schedule=""):
        with naming(retried="2"):
            assert line("inner", job="x") == "inner job=x message=msg_1 retried=2"
        assert line("outer") == "outer message=msg_1"
        elsewhere: list[str] = []
        thread = threading.Thread(target=lambda: elsewhere.append(line("another request")))
        thread.start()
        thread.join()
    assert elsewhere == ["another request"]
    assert line("after it") == "after it"


def test_every_line_of_a_defect_s_traceback_is_found_by_its_reference(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("the secret\x85and a line\nall is well")
    except ValueError as error:
        reference = log_defect("request failed", error, lambda text: text.replace("secret", "…"), status=500)
    [record] = caplog.records
    first, *traceback = record.getMessage().split("\n")
    assert record.levelname == "ERROR"
    assert first == f"request failed: a defect, ValueError status=500 reference={reference}"
    assert traceback[-3:] == [
        f"{reference} | ValueError: the …", f"{reference} | and a line", f"{reference} | all is well",
    ]  # fmt: skip
    assert all(part.startswith(f"{reference} | ") for part in traceback)


def test_files_and_terminals_get_utc() -> None:
    record = logging.LogRecord("x", logging.WARNING, "", 0, "words a=1", None, None)
    record.created = 0
    assert formatter().format(record) == "1970-01-01T00:00:00Z WARNING words a=1"
