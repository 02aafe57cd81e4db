"""scripts/forget_user, told by the environment where Redis and Postgres are."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lib.adapters import action_queue
from lib.adapters.redis_client import RedisClient
from lib.adapters.services import Services
from lib.settings import Settings
from local import forget_user as script
from tests.jobs.site import Site, action

Run = Callable[..., int]
Output = pytest.CaptureFixture[str]

OTHER_NAMES = ("KV_REST_API_URL", "KV_REST_API_TOKEN", "POSTGRES_URL")


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """`run(*arguments, **changes)`: the exit status, with the test's services."""
    environment = {
        "UPSTASH_REDIS_REST_URL": settings.redis_url,
        "UPSTASH_REDIS_REST_TOKEN": settings.redis_token,
        "DATABASE_URL": settings.database_url,
    }

    def run(*arguments: str, **changes: str) -> int:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["scripts/forget_user", *arguments])
        for name in OTHER_NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in (environment | changes).items():
            monkeypatch.setenv(name, value)
        return script.main()

    return run


@pytest.fixture
def site(services: Services, redis_credentials: tuple[str, str]) -> Iterator[Site]:
    """Somebody has acted on it."""
    redis = RedisClient(*redis_credentials)
    site = Site(services, redis)
    site.act(action("ann", "a"), action("ann", "b"), action("bob", "a"), action("ann", "a", "stare"))
    yield site
    redis.close()


def test_a_user_is_forgotten_and_that_is_said(run: Run, site: Site, capsys: Output) -> None:
    said = "✅ Forgotten: {} actions, {} dead letters, embedding, cached list.\n"
    assert run("ann") == 0
    assert capsys.readouterr().out == said.format(2, 1)
    assert site.query("SELECT user_id FROM user_actions") == [("bob",)]
    assert run("ann") == 0
    assert capsys.readouterr().out == said.format(0, 0)


def test_the_user_of_another_deployment_in_the_files_is_not_touched(
    run: Run, site: Site, tmp_path: Path, capsys: Output
) -> None:
    """What the shell says wins over what lies in the folder."""
    (tmp_path / ".env.local").write_text("DATABASE_URL=postgresql://ann:secret@127.0.0.1:9/elsewhere\n")
    assert run("ann") == 0
    assert site.count_events() == 1


@pytest.mark.parametrize("is_set_aside", [False, True], ids=["in flight", "set aside"])
def test_what_still_waits_is_said_with_what_to_do(
    run: Run, site: Site, capsys: Output, monkeypatch: pytest.MonkeyPatch, is_set_aside: bool
) -> None:
    monkeypatch.setattr(action_queue, "MAX_TRIES", 1)
    site.push(action("ann", "c", timestamp=None))
    claim = site.services.queue.claim()
    if is_set_aside:
        site.services.queue.release(claim.batch_id, error="failed: KeyError")
        site.drain()
    assert run("ann", "--seconds", "0.2") == 1
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith("✅ Forgotten: 2 actions")
    assert second.startswith("❌ Some actions that were pushed before are still waiting")
    assert "scripts/dead_letters" in third


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"DATABASE_URL": ""}, "❌ DATABASE_URL is not set", id="no database"),
        pytest.param({"UPSTASH_REDIS_REST_URL": ""}, "❌ UPSTASH_REDIS_REST_URL is not set", id="no address"),
        pytest.param({"UPSTASH_REDIS_REST_TOKEN": ""}, "❌ UPSTASH_REDIS_REST_TOKEN is not set", id="no token"),
        pytest.param({"UPSTASH_REDIS_REST_URL": "http://127.0.0.1:9"}, "❌ Redis doesn't answer", id="redis away"),
        pytest.param({"UPSTASH_REDIS_REST_TOKEN": "wrong-secret"}, "❌ Redis doesn't know", id="a wrong token"),
        pytest.param({"DATABASE_URL": "postgresql://a:secret@127.0.0.1:9/c"}, "❌ Postgres", id="postgres away"),
        pytest.param({"DATABASE_URL": "postgresql://a:se%zzcret@127.0.0.1/c"}, "❌ DATABASE_URL", id="a bad URL"),
    ],
)
def test_what_keeps_it_from_its_work_is_said_with_its_mend(
    run: Run, site: Site, settings: Settings, capsys: Output, changes: dict[str, str], said: str
) -> None:
    assert run("ann", **changes) == 1
    captured = capsys.readouterr()
    first, second, *_, last = captured.out.splitlines()
    assert first.startswith(said)
    assert second.startswith("   → ")
    assert last == "   → Then run this again."
    output = captured.out.replace("[secret]", "") + captured.err
    assert not [secret for secret in ("secret", "se%zzcret", *settings.secrets) if secret in output]


def test_after_an_outage_of_redis_it_is_finished_by_running_it_again(run: Run, site: Site) -> None:
    assert run("ann", UPSTASH_REDIS_REST_URL="http://127.0.0.1:9") == 1
    assert site.act(action("ann", "c", days_ago=1.0))["forgotten"] == 1, "what comes late stays out already"
    assert run("ann") == 0
    assert site.dead_letters() == []


def test_what_is_no_id_is_refused(run: Run, site: Site, capsys: Output) -> None:
    for arguments in ((), ("",), ("x" * 257,), ("a\ud800",), ("ann", "--seconds", "soon")):
        with pytest.raises(SystemExit, match="2"):
            run(*arguments)
        assert "usage: scripts/forget_user" in capsys.readouterr().err
    assert site.count_events() == 3
