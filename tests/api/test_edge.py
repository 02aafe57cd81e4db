"""What every endpoint does alike: methods, sizes, authentication, errors to statuses. No exception leaves it."""

import dataclasses
import io
import logging
import re
from typing import NoReturn

import pytest

from lib.adapters.services import Services
from lib.errors import (
    ImpossibleJob,
    InvalidInput,
    PostgresUnavailable,
    QStashUnavailable,
    RecommenderError,
    RedisUnavailable,
    SchemaMissing,
    SettingsError,
)
from lib.log_lines import line, log
from lib.settings import Settings
from lib.text import Text
from lib.web.edge import Application, keyed_application, process_services, signed_application
from lib.web.http import MAX_BODY_BYTES, Request, Response, json_response
from tests.api.signing import sign
from tests.api.wsgi import Answer, call

PATH = "/api/actions/batch-process"
SETTINGS = Settings(
    app_url="https://shop.example.com",
    qstash_current_signing_key="sig_current_0123456789abcdefghij",
    qstash_next_signing_key="sig_next_0123456789abcdefghijklm",
    admin_api_key="the-admin-key-of-this-test",
    redis_token="the-redis-token-of-this-test",
    database_url="postgresql://owner:the-password-of-this-test@127.0.0.1:9/db",
)
KEY = {"Authorization": "Bearer the-admin-key-of-this-test"}


def echo(request: Request, services: Services) -> Response:
    return json_response({"length": len(request.body)})


def failing_with(error: Exception) -> Application:
    def fail(request: Request, services: Services) -> NoReturn:
        raise error

    return keyed_application("/api/status", fail, services=Services(SETTINGS))


@pytest.fixture
def signed() -> Application:
    return signed_application(PATH, echo, services=Services(SETTINGS))


def deliver(application: Application, body: bytes, **changes: object) -> Answer:
    token = sign(body, SETTINGS.app_url + PATH, SETTINGS.qstash_current_signing_key)
    return call(application, "POST", PATH, body=body, headers={"Upstash-Signature": token}, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_another_method_answers_405_and_names_the_right_one(signed: Application, method: str) -> None:
    answer = call(signed, method, PATH)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_a_signed_delivery_gets_in_whatever_host_the_request_names(signed: Application) -> None:
    answer = deliver(signed, b"{}", HTTP_HOST="evil.example", HTTP_X_FORWARDED_HOST="evil.example")
    assert (answer.status, answer.json) == (200, {"length": 2})


@pytest.mark.parametrize(("address", "status"), [("127.0.0.1", 200), ("", 401)], ids=["this machine", "a Unix socket"])
def test_who_calls_over_a_unix_socket_is_a_proxy_and_not_this_machine(address: str, status: int) -> None:
    services = Services(dataclasses.replace(SETTINGS, allow_unsigned_local=True))
    application = keyed_application("/api/status", echo, services=services)
    assert call(application, remote_address=address, HTTP_HOST="localhost").status == status


def test_every_refused_signature_looks_the_same_to_the_caller(
    signed: Application, caplog: pytest.LogCaptureFixture
) -> None:
    url, key = SETTINGS.app_url + PATH, SETTINGS.qstash_current_signing_key
    tokens = ["", "garbage", sign(b"other", url, key), sign(b"{}", url + "/", key), sign(b"{}", url, key[::-1])]
    with caplog.at_level(logging.WARNING):
        answers = [call(signed, "POST", PATH, body=b"{}", headers={"Upstash-Signature": token}) for token in tokens]
    assert {(answer.status, answer.body) for answer in answers} == {(401, answers[0].body)}
    assert len({record.getMessage() for record in caplog.records}) == len(tokens)


def test_a_failed_delivery_is_one_line_with_the_ids_that_qstash_shows(
    signed: Application, caplog: pytest.LogCaptureFixture
) -> None:
    ids = {
        "Upstash-Message-Id": "msg_26hZCxZCuWyyTWPmSVBrNB882AMRP",
        "Upstash-Schedule-Id": "recs.shop.example.com.warm_cache",
        "Upstash-Retried": "2",
    }
    call(signed, "POST", PATH, headers={"Upstash-Signature": "x", **ids})
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert re.fullmatch(
        r"QStash delivery refused: .+ path=/api/actions/batch-process status=401 code=unauthenticated duration_ms=\d+"
        r" message=msg_26hZCxZCuWyyTWPmSVBrNB882AMRP schedule=recs\.shop\.example\.com\.warm_cache retried=2",
        record.getMessage(),
    )


@pytest.mark.parametrize("header", ["MESSAGE_ID", "SCHEDULE_ID", "RETRIED"])
def test_an_id_with_line_breaks_or_without_end_forges_no_line(
    signed: Application, caplog: pytest.LogCaptureFixture, header: str
) -> None:
    for value in ("msg\nforged line", "m" * 100_000):
        environ = {f"HTTP_UPSTASH_{header}": value}
        call(signed, "POST", PATH, headers={"Upstash-Signature": "x"}, **environ)  # type: ignore[arg-type]
    lines = [record.getMessage() for record in caplog.records]
    assert "\n" not in lines[0]
    assert len(lines[1]) < 500


def test_what_the_handler_logs_bears_the_delivery_s_id_and_what_comes_after_it_doesn_t(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def working(request: Request, services: Services) -> Response:
        log.warning(line("at work"))
        return json_response({})

    application = keyed_application("/api/status", working, services=Services(SETTINGS))
    call(application, headers={**KEY, "Upstash-Message-Id": "msg_1"})
    call(application, headers=KEY)
    assert [record.getMessage() for record in caplog.records] == ["at work message=msg_1", "at work"]


@pytest.mark.parametrize("zeros", ["", "0" * 12], ids=["plain", "padded with zeros"])
def test_a_body_that_is_announced_too_long_is_not_read(signed: Application, zeros: str) -> None:
    unread = io.BytesIO(b" " * (MAX_BODY_BYTES + 1))
    environ = {"CONTENT_LENGTH": f"{zeros}{MAX_BODY_BYTES + 1}", "wsgi.input": unread}
    answer = call(signed, "POST", PATH, **environ)  # type: ignore[arg-type]
    assert (answer.status, unread.tell()) == (413, 0)


def test_a_chunked_body_that_turns_out_too_long_is_refused(signed: Application) -> None:
    stream = {
        "CONTENT_LENGTH": "",
        "wsgi.input_terminated": True,
        "wsgi.input": io.BytesIO(b" " * (MAX_BODY_BYTES + 1)),
    }
    assert call(signed, "POST", PATH, **stream).status == 413  # type: ignore[arg-type]


@pytest.mark.parametrize("length", ["", "100"], ids=["in chunks", "with its length"])
def test_a_body_that_cannot_be_read_to_its_end_is_bad_input(
    signed: Application, length: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("it broke")

    stream = {"CONTENT_LENGTH": length, "wsgi.input_terminated": True, "wsgi.input": Broken()}
    answer = call(signed, "POST", PATH, **stream)  # type: ignore[arg-type]
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_input")
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("length", ["-1", "ten", "1e3", "\u0663"])
def test_a_content_length_that_is_no_number_is_bad_input(length: str) -> None:
    application = signed_application(PATH, echo, services=Services(SETTINGS))
    environ = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": length, "wsgi.input": io.BytesIO(b"")}
    statuses: list[str] = []
    list(application(environ, lambda status, headers: statuses.append(status)))
    assert statuses == ["400 Bad Request"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidInput(), 400),
        (ImpossibleJob(), 489),
        (SettingsError(), 503),
        (RedisUnavailable(), 503),
        (PostgresUnavailable(), 503),
        (QStashUnavailable(), 503),
        (SchemaMissing(), 503),
    ],
)
def test_each_error_has_its_status_and_says_what_to_do(error: RecommenderError, status: int) -> None:
    error.fix = Text("Do this.")
    answer = call(failing_with(error), headers=KEY)
    assert answer.status == status
    assert answer.json == {"error": {"code": error.code, "message": error.message, "fix": "Do this."}}
    assert ("retry-after" in answer.headers) == (status == 503)
    assert ("upstash-nonretryable-error" in answer.headers) == (status == 489)


def test_every_error_of_ours_has_a_status() -> None:
    def kinds(kind: type[RecommenderError]) -> list[type[RecommenderError]]:
        return [kind, *(leaf for child in kind.__subclasses__() for leaf in kinds(child))]

    for kind in kinds(RecommenderError)[1:]:
        answer = call(failing_with(kind("x")), headers=KEY)
        assert 400 <= answer.status < 504
        assert answer.status != 500


def test_what_nobody_foresaw_becomes_a_500_whose_reference_stands_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = SETTINGS.redis_token
    answer = call(failing_with(ZeroDivisionError(f"with {secret} and the-password-of-this-test")), headers=KEY)
    assert (answer.status, answer.json["error"]["code"]) == (500, "internal")
    reference = answer.json["error"]["message"].split()[-1].rstrip(".")
    [record] = caplog.records
    assert record.levelname == "ERROR"
    first, *traceback = record.getMessage().split("\n")
    assert first == (f"request failed: a defect, ZeroDivisionError path=/api/status status=500 reference={reference}")
    assert "Traceback" in traceback[0]
    assert "ZeroDivisionError: with [secret] and [secret]" in traceback[-1]
    assert all(line.startswith(f"{reference} | ") for line in traceback)
    for text in (answer.body.decode(), record.getMessage()):
        assert secret not in text
        assert "the-password-of-this-test" not in text


def test_an_environment_that_can_t_be_parsed_still_gets_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> NoReturn:
        raise RuntimeError

    monkeypatch.setattr("lib.web.edge.process_services", broken)
    assert call(keyed_application("/api/status", echo), headers=KEY).status == 500


def test_the_process_s_services_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib.web.edge._process", {})
    assert process_services() is process_services()


def test_without_a_key_configured_it_says_to_set_one() -> None:
    services = Services(dataclasses.replace(SETTINGS, admin_api_key=""))
    answer = call(keyed_application("/api/status", echo, services=services), headers=KEY)
    assert (answer.status, answer.json["error"]["code"]) == (503, "settings")
    assert "ADMIN_API_KEY" in answer.json["error"]["message"]


def test_a_browser_is_asked_for_the_key() -> None:
    answer = call(keyed_application("/api/status", echo, services=Services(SETTINGS)))
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")


def test_answers_are_never_cached_or_sniffed() -> None:
    headers = call(keyed_application("/api/status", echo, services=Services(SETTINGS)), headers=KEY).headers
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


@pytest.mark.parametrize("handlers", [[], [logging.NullHandler()]], ids=["nobody", "the host"])
def test_log_lines_go_where_the_host_says_or_else_to_stderr_from_info_on(
    handlers: list[logging.Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.RootLogger(logging.WARNING)
    root.handlers = list(handlers)
    monkeypatch.setattr(logging, "root", root)
    monkeypatch.setattr("lib.web.edge._process", {})

    process_services()

    assert root.level == (logging.WARNING if handlers else logging.INFO)
    assert len(root.handlers) == 1
