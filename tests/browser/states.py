"""What the two pages may have to show. Each state comes about as on a real site: by pushing, running and failing."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from lib.adapters.action_queue import MAX_TRIES
from lib.adapters.redis_client import RedisClient
from lib.adapters.services import Services
from lib.core.attention import HOURS_BETWEEN
from lib.core.schedules import PROCESS_ACTIONS, REFRESH_COLD_START, UPDATE_EMBEDDINGS, WARM_CACHE, Schedule
from lib.errors import RecommenderError
from lib.jobs.initialize import initialize
from lib.jobs.process_actions import process_user_actions
from lib.jobs.recommend import recommend
from lib.jobs.refresh_cold_start import refresh_cold_start
from lib.jobs.run import OK, Deadline, run_and_report
from lib.jobs.update_embeddings import process_user_embeddings
from lib.jobs.warm_cache import warm_cache
from lib.settings import parse_settings
from lib.text import Text
from local.qstash.server import QStashServer
from local.sample import FIRST_ACTIONS, USERS, SampleTraffic
from tests.adapters.roles import limited_role
from tests.conftest import MakeDatabase, Servers, complete_settings, empty_redis
from tests.deployment import serving_deployment
from tests.jobs.site import action
from tests.support import eventually, qstash_settings, variables_of

NOBODY = "http://127.0.0.1:9"
HOURS = 24
# A day as sites have it: quiet at night, busy in the evening. Actions an hour, from 23 hours ago to now.
DAY = (
    *(310, 240, 150, 90, 60, 40, 35, 60, 140, 260, 340, 380),
    *(420, 400, 390, 430, 520, 640, 780, 910, 860, 720, 540, 280),
)

MILLISECONDS = {
    PROCESS_ACTIONS.name: 40,
    UPDATE_EMBEDDINGS.name: 700,
    WARM_CACHE.name: 150,
    REFRESH_COLD_START.name: 90,
}


@dataclass(frozen=True)
class Site:
    """One deployment with stores of its own, and what ends with it."""

    services: Services
    stack: ExitStack

    def changed(self, **settings: Any) -> Services:
        """The same with other settings, as after a deployment or while a service is away."""
        services = Services(replace(self.services.settings, **settings))
        self.stack.callback(services.close)
        return services

    def changed_variables(self, **variables: str) -> Services:
        services = Services(parse_settings(variables_of(self.services.settings) | variables))
        self.stack.callback(services.close)
        return services

    def drain(self) -> None:
        process_user_actions(self.services, Deadline.after(60))

    def push(self, *elements: str) -> None:
        settings = self.services.settings
        with closing(RedisClient(settings.redis_url, settings.redis_token)) as redis:
            redis.execute("LPUSH", "pending_user_actions", *elements)


@dataclass(frozen=True)
class State:
    """`make` answers the services of the deployment that is looked at."""

    path: str
    make: Callable[[Site], Services]
    headlines: Mapping[str, str]
    with_key: bool = True


@contextmanager
def served(state: State, servers: Servers, make_database: MakeDatabase, schema_template: str) -> Iterator[str]:
    """The address of the state's page."""
    with QStashServer() as qstash, serving_deployment() as deployment:
        stack = deployment.afterwards
        settings = complete_settings(empty_redis(servers), make_database(schema_template))
        services = Services(replace(settings, app_url=deployment.url, **qstash_settings(qstash)))
        stack.callback(services.close)
        deployment.deploy(services)
        deployment.deploy(state.make(Site(services, stack)))
        yield deployment.url + state.path


# ---- /api/init -------------------------------------------------------------------------------------------------------


def as_it_is(site: Site) -> Services:
    return site.services


def without_variables(site: Site) -> Services:
    """As right after the first deployment: some are forgotten, and one is mistaken."""
    return site.changed_variables(QSTASH_NEXT_SIGNING_KEY="", DATABASE_URL="", ACTIONS_INTERVAL_SECONDS="7")


def with_wrong_services(site: Site) -> Services:
    """A wrong token, a role without rights, and the schedule of an address that was left."""
    old = Schedule(
        "recs.old-address-of-the-shop.example.com.warm_cache", "0 3 * * *", NOBODY, {}, 3, Text(""), Text(""), 1
    )
    site.services.qstash.put_schedule(old)
    return site.changed_variables(
        UPSTASH_REDIS_REST_TOKEN="wrong",
        DATABASE_URL=site.stack.enter_context(limited_role(site.services.settings.database_url)),
    )


def a_preview(site: Site) -> Services:
    """It shares the variables of production, where init was opened."""
    initialize(site.services, datetime.now(UTC))
    return site.changed(vercel_env="preview")


# ---- /api/status -----------------------------------------------------------------------------------------------------


def idle(site: Site) -> Services:
    site.drain()
    return site.services


def busy(site: Site) -> Services:
    """A day of reports, then sample traffic, every job, and readers."""
    write_a_day(site)
    with SampleTraffic(variables_of(site.services.settings)):
        eventually(lambda: site.services.queue.count_pending() >= FIRST_ACTIONS)
        site.drain()
    for name, job in (
        (UPDATE_EMBEDDINGS.name, process_user_embeddings),
        (WARM_CACHE.name, warm_cache),
        (REFRESH_COLD_START.name, refresh_cold_start),
    ):
        run_and_report(name, job, site.services, Deadline.after(60))
    for user in range(USERS):
        recommend(site.services, user_id=f"sample-user-{user}", n=20, language=None, now=datetime.now(UTC))
    site.push(*[action(f"sample-user-{user}", "sample-music-3") for user in range(17)])
    return site.services


def write_a_day(site: Site) -> None:
    """What each job would have reported of the hours in which its schedule has it run."""
    for hours_ago, applied in zip(range(HOURS - 1, 0, -1), DAY, strict=False):
        for name, milliseconds in MILLISECONDS.items():
            if hours_ago % HOURS_BETWEEN.get(name, 1) == 0:
                site.services.reports.write(
                    name,
                    at=time.time() - hours_ago * 3_600,
                    outcome=OK,
                    duration_ms=milliseconds + applied // 4,
                    summary={"applied": applied} if name == PROCESS_ACTIONS.name else {},
                )


def in_trouble(site: Site) -> Services:
    """A batch that ends every drain, elements that can't be applied, and a job that can't reach Postgres."""
    busy(site)
    deadly = site.changed(claim_lease_seconds=0)
    for _ in range(MAX_TRIES + 1):
        deadly.queue.claim()
    site.push(
        "not JSON",
        json.dumps({"content_id": "sample-music-3", "action": "like"}),
        action("sample-user-1", "sample-music-3", days_ago=-2),
        action("sample-user-1", "<script>alert('x')</script>" * 20),
        json.dumps({"user_id": "sample-user-2", "note": "长" * 120 + "x" * 2_000}, ensure_ascii=False),
    )
    site.drain()
    away = site.changed(database_url="postgresql://a:b@127.0.0.1:9/c")
    try:
        run_and_report(WARM_CACHE.name, warm_cache, away, Deadline.after(5))
    except RecommenderError:
        return site.services
    raise AssertionError("the job should have failed")


def without_redis(site: Site) -> Services:
    busy(site)
    return site.changed(redis_url=NOBODY)


def without_postgres(site: Site) -> Services:
    busy(site)
    return site.changed(database_url="postgresql://a:b@127.0.0.1:9/c")


STATES = {
    "init-in-order": State("/api/init", as_it_is, {"en": "Everything is in place", "zh-CN": "一切就绪"}),
    "init-unset": State(
        "/api/init",
        without_variables,
        {
            "en": "3 things are missing or wrong: start with QSTASH_NEXT_SIGNING_KEY",
            "zh-CN": "有 3 项缺失或有误，请先处理 QSTASH_NEXT_SIGNING_KEY",
        },
    ),
    "init-wrong": State(
        "/api/init",
        with_wrong_services,
        {"en": "2 things are missing or wrong: start with Redis", "zh-CN": "有 2 项缺失或有误，请先处理 Redis"},
    ),
    "init-preview": State(
        "/api/init",
        a_preview,
        {
            "en": "Everything needed is in place, with one warning: Preview deployment",
            "zh-CN": "必需的配置已就绪，另有 1 项提醒：预览部署",
        },
    ),
    "refused": State(
        "/api/status",
        as_it_is,
        {"en": "This needs the admin key.", "zh-CN": "访问此页面需要管理密钥。"},
        with_key=False,
    ),
    "status-idle": State("/api/status", idle, {"en": "All is well", "zh-CN": "一切正常"}),
    "status-busy": State("/api/status", busy, {"en": "All is well", "zh-CN": "一切正常"}),
    "status-in-trouble": State("/api/status", in_trouble, {"en": "3 things need a look", "zh-CN": "有 3 件事需要处理"}),
    "status-without-redis": State(
        "/api/status", without_redis, {"en": "1 thing needs a look", "zh-CN": "有 1 件事需要处理"}
    ),
    "status-without-postgres": State(
        "/api/status", without_postgres, {"en": "1 thing needs a look", "zh-CN": "有 1 件事需要处理"}
    ),
}
