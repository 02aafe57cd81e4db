"""scripts/trigger: one job now, through QStash."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from qstash import Receiver
from qstash.log import LogState

from lib.core.schedules import JOBS, WARM_CACHE
from local import trigger
from local.qstash.server import QStashServer
from tests.local.qstash_support import client_of, serving_endpoint
from tests.support import eventually

Run = Callable[..., int]


@pytest.fixture
def run(qstash: QStashServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """`run(job, app_url)`: the exit status, with the test's QStash."""

    def run(name: str, app_url: str, **changes: str) -> int:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["scripts/trigger", name])
        monkeypatch.delenv("VERCEL_PROJECT_PRODUCTION_URL", raising=False)
        for variable, value in (qstash.environment() | {"NEXT_PUBLIC_APP_URL": app_url} | changes).items():
            monkeypatch.setenv(variable, value)
        return trigger.main()

    return run


@pytest.mark.parametrize("name", sorted(JOBS))
def test_a_signed_message_arrives_and_stands_in_the_log(
    run: Run, qstash: QStashServer, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with serving_endpoint() as endpoint, client_of(qstash) as client:
        app_url = endpoint.url.removesuffix("/hook")
        assert run(name, app_url) == 0
        [delivery] = eventually(lambda: endpoint.deliveries)
        [published] = client.log.list(filter={"state": LogState.CREATED}).logs
    url = app_url + JOBS[name].path
    body = json.loads(delivery.body)
    if name == WARM_CACHE.name:
        assert abs(body.pop("run") - time.time()) < 60, "a run of its own"
    assert (delivery.method, delivery.path, body) == ("POST", JOBS[name].path, {"action": name})
    Receiver(qstash.current_signing_key, qstash.next_signing_key).verify(
        signature=delivery.headers["Upstash-Signature"], body=delivery.body.decode(), url=url
    )
    assert published.url == url
    assert f"{name} published to {url} as {published.message_id}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"QSTASH_TOKEN": ""}, "❌ QSTASH_TOKEN is not set.", id="no-token"),
        pytest.param({"QSTASH_TOKEN": "a-wrong-one"}, "❌ QStash doesn't know the token", id="wrong-token"),
        pytest.param({"NEXT_PUBLIC_APP_URL": ""}, "❌ NEXT_PUBLIC_APP_URL is not set.", id="no-address"),
    ],
)
def test_what_keeps_it_from_publishing_is_said_with_its_mend(
    run: Run, capsys: pytest.CaptureFixture[str], changes: dict[str, str], said: str
) -> None:
    assert run("warm_cache", "https://shop.example.com", **changes) == 1
    output = capsys.readouterr().out
    assert output.startswith(said)
    assert "\n   → " in output
    assert "a-wrong-one" not in output


def test_a_name_that_is_no_job_is_refused_with_the_names_there_are(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run("make_coffee", "https://shop.example.com")
    assert "warm_cache" in capsys.readouterr().err
