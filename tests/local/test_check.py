"""scripts/check_qstash_config.py, told by the environment where its services are."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lib.adapters.services import Services
from lib.jobs.check_configuration import Inspection
from lib.jobs.checks.check import Check
from lib.jobs.initialize import initialize
from lib.text import Text
from local import check
from tests.support import variables_of

Run = Callable[..., int]


@pytest.fixture
def run(deployed_services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """`run(*arguments, **changes)`: the exit status with the services' environment and these changes."""
    environment = variables_of(deployed_services.settings)

    def run(*arguments: str, **changes: str) -> int:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["scripts/check_qstash_config.py", *arguments])
        for name, value in (environment | changes).items():
            monkeypatch.setenv(name, value)
        return check.main()

    return run


def test_a_deployment_in_order_has_both_promised_lines_and_ends_with_0(
    run: Run, deployed_services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    initialize(deployed_services, datetime.now(UTC))
    assert run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert "✅ QStash client initialized successfully" in lines
    assert "✅ Found 4 existing schedule(s)" in lines
    assert not [line for line in lines if line.startswith("❌")]


def test_missing_schedules_are_an_error_and_are_not_made(
    run: Run, deployed_services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 1
    output = capsys.readouterr().out
    assert "✅ Found 0 existing schedule(s)" in output.splitlines()
    assert "❌ 4 of the four schedules are missing or out of date" in output
    assert deployed_services.qstash.schedules() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"QSTASH_TOKEN": ""}, "❌ QSTASH_TOKEN is not set.", id="no-token"),
        pytest.param({"QSTASH_TOKEN": "wrong"}, "❌ QStash doesn't know the token in QSTASH_TOKEN.", id="wrong-token"),
        pytest.param({"QSTASH_URL": "http://127.0.0.1:9"}, "❌ QStash doesn't answer", id="qstash-away"),
        pytest.param({"QSTASH_CURRENT_SIGNING_KEY": "old"}, "❌ QSTASH_CURRENT_SIGNING_KEY differs", id="old-key"),
        pytest.param({"UPSTASH_REDIS_REST_URL": "http://127.0.0.1:9"}, "❌ Redis", id="redis-away"),
        pytest.param({"DATABASE_URL": "postgresql://a:b@127.0.0.1:9/c"}, "❌ Postgres", id="postgres-away"),
        pytest.param({"ADMIN_API_KEY": ""}, "❌ ADMIN_API_KEY is not set", id="no-key"),
    ],
)
def test_one_thing_that_is_wrong_is_said_and_ends_with_1(
    run: Run,
    deployed_services: Services,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    said: str,
) -> None:
    initialize(deployed_services, datetime.now(UTC))
    assert run(**changes) == 1
    assert said in capsys.readouterr().out


def test_json_is_what_api_init_answers(
    run: Run, deployed_services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    initialize(deployed_services, datetime.now(UTC))
    assert run("--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert len(answer["schedules"]) == 4
    redis = {"name": "redis", "status": "ok", "message": "Redis answers and takes writes.", "fix": ""}
    assert redis in answer["checks"]


def test_how_to_mend_it_stands_under_the_line_that_needs_it() -> None:
    checks = (
        Check("a", "ok", Text("A.")),
        Check("b", "warning", Text("B."), Text("Mend B.")),
        Check("c", "error", Text("C."), Text("Mend C:\nc=1")),
    )
    *lines, empty, summary = check.as_text(Inspection(checks, ())).splitlines()
    assert lines == ["✅ A.", "⚠️ B.", "   → Mend B.", "❌ C.", "   → Mend C:", "     c=1"]
    assert (empty, summary) == ("", "❌ One thing is missing or wrong: c")


def test_it_speaks_chinese_where_the_locale_is_chinese_and_keeps_the_promised_lines(
    run: Run, deployed_services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    initialize(deployed_services, datetime.now(UTC))
    assert run(LC_ALL="zh_CN.UTF-8", UPSTASH_REDIS_REST_TOKEN="wrong") == 1
    output = capsys.readouterr().out
    assert "✅ QStash client initialized successfully" in output
    assert "✅ Found 4 existing schedule(s)" in output
    assert "❌ Redis 不认识 UPSTASH_REDIS_REST_TOKEN 中的令牌" in output
    assert "     UPSTASH_REDIS_REST_TOKEN=A…" in output.splitlines()


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh-CN"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW"}, "zh-CN"),
        ({"LC_ALL": "", "LANG": "zh"}, "zh-CN"),
    ],
)
def test_the_first_variable_of_the_locale_that_is_set_decides(environ: dict[str, str], language: str) -> None:
    assert check.language_of(environ) == language


@pytest.mark.parametrize(
    ("is_terminal", "no_color", "coloured"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_there_is_colour_on_a_terminal_only_and_not_where_no_color_says_so(
    run: Run,
    deployed_services: Services,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_terminal: bool,
    no_color: str,
    coloured: bool,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)
    run(NO_COLOR=no_color, ADMIN_API_KEY="")
    assert ("\x1b[31mADMIN_API_KEY is not set" in capsys.readouterr().out) is coloured
