"""The faults of docs/qstash-guide.md: for the heading of each what breaks a deployment in that way."""

import json
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from io import BytesIO

import httpx

from lib.adapters.services import Services
from lib.core.schedules import BATCH_PROCESS_PATH
from lib.jobs.initialize import initialize
from lib.settings import parse_settings
from lib.web import endpoints
from lib.web.edge import Application, Environ, StartResponse, keyed_application, signed_application
from tests.api.misconfiguration import (
    NOBODY,
    Change,
    Changes,
    World,
    answering,
    protected,
    put,
    rolled,
    swapped,
    with_a_leftover_schedule,
    with_a_wrong_clock,
    with_eviction,
)
from tests.api.wsgi import call
from tests.support import eventually

TICK = {"action": "process_user_actions"}
TIMEOUT_PAGE = b"An error occurred with your deployment\n\nFUNCTION_INVOCATION_TIMEOUT\n\niad1::abcde"


def services_of(world: World, changes: Changes) -> Services:
    return world.stack.enter_context(closing(Services(parse_settings(world.variables | changes))))


def publish(world: World, body: object) -> None:
    """A message that somebody sends by hand, and QStash gives up."""
    headers = {"Authorization": f"Bearer {world.qstash.token}", "Upstash-Retries": "0"}
    with httpx.Client(base_url=world.qstash.url, headers=headers, trust_env=False) as qstash:
        sent = qstash.post(f"/v2/publish/{world.deployment.url}{BATCH_PROCESS_PATH}", json=body)
        message = sent.raise_for_status().json()["messageId"]
        eventually(lambda: message in qstash.get("/v2/dlq").text)


def without_variables(world: World) -> Changes:
    """What the functions of `vercel dev` get where there is only .env.local, which the check reads."""
    lines = [f"{name}='{value}'\n" for name, value in world.variables.items()]
    (world.folder / ".env.local").write_text("".join(lines))
    return {name: "" for name in world.variables if name != "ADMIN_API_KEY"}


def with_schedules_of_another_account(world: World) -> Changes:
    """The dashboard that is looked at is the world's own."""
    changes = world.another_qstash()
    services = services_of(world, changes)
    world.deployment.deploy(services)
    initialize(services, datetime.now(UTC))
    assert services_of(world, {}).qstash.schedules() == []
    return changes


def with_a_paused_schedule(world: World) -> Changes:
    services = services_of(world, {})
    world.deployment.deploy(services)
    initialize(services, datetime.now(UTC))
    paused = next(one["scheduleId"] for one in services.qstash.schedules() if "user_actions" in one["scheduleId"])
    key = {"Authorization": f"Bearer {world.qstash.token}"}
    httpx.patch(f"{world.qstash.url}/v2/schedules/{paused}/pause", headers=key).raise_for_status()
    return {}


def with_a_read_only_redis(world: World) -> Changes:
    changes = world.redis_user("+@read", "+select")
    world.deployment.deploy(services_of(world, changes))
    publish(world, TICK)
    return changes


def without_a_signing_key(world: World) -> Changes:
    changes = {"QSTASH_NEXT_SIGNING_KEY": ""}
    world.deployment.deploy(services_of(world, changes))
    publish(world, TICK)
    return changes


def with_a_message_by_hand(world: World) -> Changes:
    world.deployment.deploy(services_of(world, {}))
    publish(world, {"action": "drain"})
    return {}


def with_functions_of(**variables: str) -> Change:
    """What the functions know differs from what the check and the schedules are made with."""

    def change(world: World) -> Changes:
        world.deployment.deploy(services_of(world, variables))
        return {}

    return change


def with_a_middleware(world: World) -> Changes:
    """It parses each body and writes it again."""
    world.deployment.deploy(services_of(world, {}))
    for path, application in world.deployment.applications.items():
        world.deployment.applications[path] = _rewriting(application)
    return {}


def _rewriting(application: Application) -> Application:
    def rewritten(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        raw = json.dumps(body, indent=2).encode()
        changed = {**environ, "wsgi.input": BytesIO(raw), "CONTENT_LENGTH": str(len(raw))}
        return application(changed, start_response)

    return rewritten


def with_a_call_by_hand(world: World) -> Changes:
    """Through a tunnel that rewrites the Host, on a machine where local calls need nothing."""
    services = services_of(world, {"ALLOW_UNSIGNED_LOCAL": "1"})
    application = signed_application(BATCH_PROCESS_PATH, endpoints.batch_process, services=services)
    headers = {"Host": "localhost:3000", "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "4f1c.ngrok-free.app"}
    body = json.dumps(TICK).encode()
    world.answers.append(call(application, "POST", BATCH_PROCESS_PATH, body=body, headers=headers).body.decode())
    return {}


def without_a_key(world: World) -> Changes:
    services = services_of(world, {"ADMIN_API_KEY": ""})
    application = keyed_application("/api/init", endpoints.init, services=services)
    world.answers.append(call(application, path="/api/init").body.decode())
    return {"ADMIN_API_KEY": ""}


def with_clocks_that_disagree(world: World) -> Changes:
    """QStash's is the right one, as far as this machine's is ahead."""
    return with_a_wrong_clock(world) | world.another_qstash(clock=lambda: time.time() - 400)


FAULTS: dict[str, Change] = {
    "Nobody has opened /api/init, or somebody has deleted a schedule": put(),
    "Only a preview has been opened": put(VERCEL_ENV="preview"),
    "The token belongs to another region": lambda world: {
        **world.another_qstash(tokens_elsewhere=[world.token]),
        "QSTASH_TOKEN": world.token,
    },
    "The dashboard shows another account or team": with_schedules_of_another_account,
    "Redis's token is in QSTASH_TOKEN": lambda world: {"QSTASH_TOKEN": world.settings.redis_token},
    "The app's address is localhost": lambda world: {
        "NEXT_PUBLIC_APP_URL": "http://localhost:3000",
        "QSTASH_URL": world.qstash.url.replace("127.0.0.1", "127.1"),  # a spelling that no check knows
    },
    "The app's address begins with http://": put(NEXT_PUBLIC_APP_URL="http://shop.example.com"),
    "The plan takes no more schedules": lambda world: world.another_qstash(schedule_cap=2),
    "vercel dev doesn't read .env.local": without_variables,
    "A value is in quotes": lambda world: {"QSTASH_TOKEN": f'"{world.token}"'},
    "The page asks for a key that isn't set": without_a_key,
    "A schedule is paused": with_a_paused_schedule,
    "The day's messages are used up": lambda world: world.another_qstash(message_limit=0),
    "Vercel's deployment protection is on": protected,
    "The address redirects": answering(
        "308 Permanent Redirect", b"", Location=f"https://www.shop.example.com{BATCH_PROCESS_PATH}"
    ),
    "ngrok has a new address, or the domain is another project's": answering(
        "404 Not Found", b"The endpoint 4f1c.ngrok-free.app is offline.\n\nERR_NGROK_3200", Ngrok_Error_Code="3200"
    ),
    "Nobody answers at the address": put(NEXT_PUBLIC_APP_URL=NOBODY),
    "Another deployment's schedules go on": with_a_leftover_schedule,
    "The function is stopped before it ends": answering("504 Gateway Timeout", TIMEOUT_PAGE),
    "The Redis token may only read": with_a_read_only_redis,
    "Actions vanish: Redis evicts": with_eviction,
    "Postgres has no pgvector": lambda world: {"DATABASE_URL": world.limited_role(world.make_database())},
    "The dead letter queue fills with 489": with_a_message_by_hand,
    "A signing key is missing": without_a_signing_key,
    "The keys were rolled": rolled(2),
    "The keys are swapped": swapped("QSTASH_CURRENT_SIGNING_KEY", "QSTASH_NEXT_SIGNING_KEY"),
    "It was signed for another address": with_functions_of(NEXT_PUBLIC_APP_URL="https://www.shop.example.com"),
    "Something changes the body": with_a_middleware,
    "Something drops the signature's header, or you call by hand": with_a_call_by_hand,
    "A clock is wrong": with_clocks_that_disagree,
}
