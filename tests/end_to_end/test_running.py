"""What a person sees who has typed scripts/dev."""

import uuid
from contextlib import closing
from datetime import datetime

import httpx
import pytest
from qstash import QStash

from tests.end_to_end.checkout import Dev
from tests.support import eventually

BATCH_PROCESS = "/api/actions/batch-process"
PROCESS = {"action": "process_user_actions"}
EMBED = {"action": "process_user_embeddings"}


def recommended(dev: Dev, user_id: str) -> list[str]:
    return [item["content_id"] for item in dev.get(f"/api/recommend?user_id={user_id}&n=5").json()["items"]]


def test_the_file_of_variables_is_for_its_owner_alone(dev: Dev) -> None:
    assert (dev.folder / ".local" / "env").stat().st_mode & 0o777 == 0o600


def test_the_variables_work_from_another_shell(dev: Dev) -> None:
    variables = dev.variables
    assert dev.rows("SELECT 1") == [(1,)]
    answer = httpx.get(
        f"{variables['UPSTASH_REDIS_REST_URL']}/ping",
        headers={"Authorization": f"Bearer {variables['UPSTASH_REDIS_REST_TOKEN']}"},
    )
    assert answer.json() == {"result": "PONG"}
    qstash = QStash(variables["QSTASH_TOKEN"], base_url=variables["QSTASH_URL"], retry=False)
    with closing(qstash.http._client):
        assert len(qstash.schedule.list()) == 4
        keys = qstash.signing_key.get()
    assert keys.current == variables["QSTASH_CURRENT_SIGNING_KEY"]
    assert keys.next == variables["QSTASH_NEXT_SIGNING_KEY"]
    assert variables["NEXT_PUBLIC_APP_URL"] == dev.url
    assert variables["ALLOW_UNSIGNED_LOCAL"] == "1"


def test_the_admin_key_lets_in_who_comes_from_elsewhere(dev: Dev) -> None:
    elsewhere = {"Host": "shop.example.com"}
    assert dev.get("/api/status", **elsewhere).status_code == 401
    key = {"Authorization": f"Bearer {dev.variables['ADMIN_API_KEY']}"}
    assert dev.get("/api/status", **elsewhere, **key).status_code == 200


def test_any_number_of_init_calls_leave_four_schedules(dev: Dev) -> None:
    first = dev.get("/api/init").json()
    for _ in range(10):
        last = dev.get("/api/init").json()
    assert first["ok"]
    assert last["ok"]
    assert sorted(schedule["cron"] for schedule in last["schedules"]) == sorted(
        ["0 */2 * * *", "* * * * *", "0 * * * *", "0 */6 * * *"]
    )
    assert [schedule["id"] for schedule in last["schedules"]] == [schedule["id"] for schedule in first["schedules"]]


def test_init_is_a_page_for_a_browser(dev: Dev) -> None:
    answer = dev.get("/api/init", Accept="text/html,application/xhtml+xml")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "QStash client initialized successfully" in answer.text


def test_an_action_has_its_effect_within_ten_seconds_by_the_schedule_alone(dev: Dev) -> None:
    dev.rows("INSERT INTO content (content_id) SELECT 'article-' || n FROM generate_series(1, 5) n RETURNING 1")
    user_id, event_id = f"reader-{uuid.uuid4()}", str(uuid.uuid4())
    read = recommended(dev, user_id)[0]
    action = {"id": event_id, "user_id": user_id, "content_id": read, "action": "like"}

    dev.push([action])

    def has_its_effect() -> bool:
        logged = dev.rows(f"SELECT content_id FROM user_actions WHERE event_id = '{event_id}'")
        return logged == [(read,)] and read not in recommended(dev, user_id)

    eventually(has_its_effect, timeout=10)

    [(before,)] = dev.rows("SELECT now()")
    assert dev.post(BATCH_PROCESS, EMBED).json()["users_updated"] >= 1
    [(updated_at,)] = dev.rows(f"SELECT updated_at FROM user_embeddings WHERE user_id = '{user_id}'")
    assert isinstance(updated_at, datetime)
    assert isinstance(before, datetime)
    assert updated_at >= before


@pytest.mark.parametrize("body", [PROCESS, EMBED], ids=lambda body: body["action"])
def test_a_call_by_hand_works_on_this_machine(dev: Dev, body: dict[str, str]) -> None:
    assert dev.post(BATCH_PROCESS, body).status_code == 200


def test_forwarding_headers_of_this_machine_do_no_harm(dev: Dev) -> None:
    headers = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost:3000", "X-Forwarded-Proto": "http"}
    assert dev.post(BATCH_PROCESS, PROCESS, **headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Host": "4f1c.ngrok-free.app"}, id="foreign host"),
        pytest.param({"X-Forwarded-For": "203.0.113.9"}, id="address of the client"),
        pytest.param({"X-Forwarded-For": "127.0.0.1, 203.0.113.9"}, id="address behind a loopback one"),
        pytest.param({"X-Forwarded-Host": "4f1c.ngrok-free.app"}, id="host of the tunnel"),
        pytest.param({"Forwarded": "for=203.0.113.9"}, id="the standard header"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="another site's page"),
        pytest.param({"Upstash-Signature": "forged"}, id="forged signature"),
    ],
)
def test_a_call_by_hand_from_elsewhere_is_refused(dev: Dev, headers: dict[str, str]) -> None:
    for body in (PROCESS, EMBED):
        answer = dev.post(BATCH_PROCESS, body, **headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "unauthenticated"
