"""Everything that people get wrong, one at a time: the page in both languages, the JSON and the script each name the
right cause first, and how to mend it."""

import re
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

from lib.adapters.services import Services
from lib.settings import parse_settings
from local import check
from tests.api.misconfiguration import (
    HTML,
    NOBODY,
    Change,
    Changes,
    World,
    answering,
    ask,
    protected,
    put,
    rolled,
    swapped,
    text_of,
    with_a_leftover_schedule,
    with_a_wrong_clock,
    with_an_old_pgvector,
    with_eviction,
    with_other_content,
)

# ---- The cases -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """`change` answers the variables that differ; `name` is the check at fault, `says` and `zh` are of its message in
    either language, `mend` of how to mend it."""

    change: Change
    name: str
    says: str
    zh: str
    mend: str
    status: str = "error"


def without(name: str) -> Case:
    return Case(put(**{name: ""}), name, f"{name} is not set", f"{name} 未设置", f"\n{name}=")


CASES = {
    "no QStash token": without("QSTASH_TOKEN"),
    "no current key": without("QSTASH_CURRENT_SIGNING_KEY"),
    "no next key": without("QSTASH_NEXT_SIGNING_KEY"),
    "no address": without("NEXT_PUBLIC_APP_URL"),
    "no Redis address": without("UPSTASH_REDIS_REST_URL"),
    "no Redis token": without("UPSTASH_REDIS_REST_TOKEN"),
    "no database": without("DATABASE_URL"),
    "the token of Redis in QSTASH_TOKEN": Case(
        lambda world: {"QSTASH_TOKEN": world.settings.redis_token},
        "QSTASH_TOKEN",
        "hold the same token",
        "填的是同一个令牌",
        "\nQSTASH_TOKEN=eyJ",
    ),
    "the token of QStash for Redis": Case(
        lambda world: {"QSTASH_TOKEN": "eyJ-a", "UPSTASH_REDIS_REST_TOKEN": "eyJ-a"},
        "UPSTASH_REDIS_REST_TOKEN",
        "hold the same token",
        "填的是同一个令牌",
        "\nUPSTASH_REDIS_REST_TOKEN=",
    ),
    "both tokens swapped": Case(
        lambda world: {"QSTASH_TOKEN": world.settings.redis_token, "UPSTASH_REDIS_REST_TOKEN": f"eyJ{world.token}"},
        "UPSTASH_REDIS_REST_TOKEN",
        "as if the two were swapped",
        "填反了",
        "\nUPSTASH_REDIS_REST_TOKEN=",
    ),
    "a signing key in QSTASH_TOKEN": Case(
        lambda world: {"QSTASH_TOKEN": world.settings.qstash_next_signing_key},
        "QSTASH_TOKEN",
        "holds a signing key, not the token",
        "签名密钥，不是令牌",
        "\nQSTASH_TOKEN=eyJ",
    ),
    "the token in a signing key": Case(
        lambda world: {"QSTASH_NEXT_SIGNING_KEY": world.token},
        "QSTASH_NEXT_SIGNING_KEY",
        "QSTASH_NEXT_SIGNING_KEY holds a token",
        "QSTASH_NEXT_SIGNING_KEY 里填的是令牌",
        "\nQSTASH_NEXT_SIGNING_KEY=sig_",
    ),
    "one key twice": Case(
        lambda world: {"QSTASH_NEXT_SIGNING_KEY": world.settings.qstash_current_signing_key},
        "QSTASH_NEXT_SIGNING_KEY",
        "hold the same key",
        "填的是同一个密钥",
        "\nQSTASH_CURRENT_SIGNING_KEY=sig_",
    ),
    "both keys swapped": Case(
        swapped("QSTASH_CURRENT_SIGNING_KEY", "QSTASH_NEXT_SIGNING_KEY"),
        "signing keys",
        "QSTASH_CURRENT_SIGNING_KEY and QSTASH_NEXT_SIGNING_KEY are swapped",
        "填反了",
        "\nQSTASH_CURRENT_SIGNING_KEY=sig_",
    ),
    "keys of another account": Case(
        put(QSTASH_CURRENT_SIGNING_KEY="sig_theirs", QSTASH_NEXT_SIGNING_KEY="sig_theirs_next"),
        "signing keys",
        "belong to another account",
        "属于其他账号",
        "\nQSTASH_CURRENT_SIGNING_KEY=sig_",
    ),
    "keys rolled once": Case(
        rolled(1), "signing keys", "after the next roll every delivery is refused", "轮换一次", "sig_"
    ),
    "keys rolled twice": Case(rolled(2), "signing keys", "they were rolled twice", "已轮换两次", "sig_"),
    "a wrong current key": Case(
        put(QSTASH_CURRENT_SIGNING_KEY="sig_wrong"),
        "signing keys",
        "QSTASH_CURRENT_SIGNING_KEY differs",
        "QSTASH_CURRENT_SIGNING_KEY 与 QStash",
        "sig_",
    ),
    "a wrong next key": Case(
        put(QSTASH_NEXT_SIGNING_KEY="sig_wrong"),
        "signing keys",
        "QSTASH_NEXT_SIGNING_KEY differs",
        "QSTASH_NEXT_SIGNING_KEY 与 QStash",
        "sig_",
    ),
    "the Redis protocol's address": Case(
        put(UPSTASH_REDIS_REST_URL="rediss://default:secret@eu1.upstash.io:6379"),
        "UPSTASH_REDIS_REST_URL",
        "is the address for the Redis protocol",
        "是 Redis 协议地址",
        "\nUPSTASH_REDIS_REST_URL=https://",
    ),
    "QStash's address for Redis": Case(
        put(UPSTASH_REDIS_REST_URL="https://qstash-us-east-1.upstash.io"),
        "UPSTASH_REDIS_REST_URL",
        "is the address of QStash",
        "是 QStash 的地址",
        "\nUPSTASH_REDIS_REST_URL=https://",
    ),
    "an address with a path": Case(
        lambda world: {"NEXT_PUBLIC_APP_URL": f"{world.deployment.url}/api/init"},
        "NEXT_PUBLIC_APP_URL",
        "must be a bare address",
        "不能带路径",
        "\nNEXT_PUBLIC_APP_URL=https://",
    ),
    "http instead of https": Case(
        put(NEXT_PUBLIC_APP_URL="http://shop.example.com"),
        "NEXT_PUBLIC_APP_URL",
        "must use https://",
        "必须使用 https://",
        "\nNEXT_PUBLIC_APP_URL=https://",
    ),
    "an address without a scheme": Case(
        put(NEXT_PUBLIC_APP_URL="shop.example.com"),
        "NEXT_PUBLIC_APP_URL",
        "is no http(s) URL",
        "不是 http(s) 网址",
        "=",
    ),
    "this machine's address with a QStash elsewhere": Case(
        # The same address in a spelling that no check knows.
        lambda world: {"QSTASH_URL": world.qstash.url.replace("127.0.0.1", "127.1")},
        "app url",
        "that address is this machine's own",
        "这是本机地址",
        "ngrok http 3000",
    ),
    "quotes around a value": Case(
        lambda world: {"QSTASH_TOKEN": f'"{world.token}"'},
        "QSTASH_TOKEN",
        "has quotes",
        "带有引号",
        "Remove the quotes",
    ),
    "the name pasted with the value": Case(
        lambda world: {"QSTASH_TOKEN": f"QSTASH_TOKEN={world.token}"},
        "QSTASH_TOKEN",
        "holds its own name",
        "包含了变量名",
        "up to the first =",
    ),
    "a line break in a token": Case(
        put(UPSTASH_REDIS_REST_TOKEN="AX\nYZ"), "UPSTASH_REDIS_REST_TOKEN", "a line break", "空格或换行", "REST API"
    ),
    "the line pasted as it stands": Case(
        put(QSTASH_TOKEN="eyJ…"), "QSTASH_TOKEN", "that no token has", "不会出现的字符", "qstash"
    ),
    "an interval that divides nothing": Case(
        put(ACTIONS_INTERVAL_SECONDS="7"),
        "ACTIONS_INTERVAL_SECONDS",
        "must divide a minute",
        "必须能整除一分钟",
        "default",
    ),
    "a wrong QStash token": Case(
        put(QSTASH_TOKEN="eyJ-wrong"), "qstash", "doesn't know the token in QSTASH_TOKEN", "不认识 QSTASH_TOKEN", "eyJ"
    ),
    "another region": Case(
        lambda world: {**world.another_qstash(tokens_elsewhere=[world.token]), "QSTASH_TOKEN": world.token},
        "qstash",
        "belongs to another region",
        "属于其他区域",
        "\nQSTASH_URL=https://qstash-us-east-1.upstash.io",
    ),
    "no QStash at that address": Case(
        put(QSTASH_URL=NOBODY), "qstash", "QStash doesn't answer", "QStash 没有响应", "QSTASH_URL"
    ),
    "a wrong Redis token": Case(
        put(UPSTASH_REDIS_REST_TOKEN="wrong"),
        "redis",
        "doesn't know the token in UPSTASH_REDIS_REST_TOKEN",
        "不认识 UPSTASH_REDIS_REST_TOKEN",
        "\nUPSTASH_REDIS_REST_TOKEN=",
    ),
    "the read-only Redis token": Case(
        lambda world: world.redis_user("+@read", "+select"),
        "redis",
        "as the read-only one may not",
        "只读令牌",
        "\nUPSTASH_REDIS_REST_TOKEN=",
    ),
    "no Redis at that address": Case(
        put(UPSTASH_REDIS_REST_URL=NOBODY), "redis", "Redis doesn't answer", "Redis 没有响应", "UPSTASH_REDIS_REST_URL"
    ),
    "eviction on": Case(
        with_eviction, "eviction", "Eviction is on (allkeys-random)", "数据淘汰已开启", "Switch Eviction off", "warning"
    ),
    "another database's address": Case(
        put(DATABASE_URL="mysql://a:b@example.com/shop"),
        "DATABASE_URL",
        "is no Postgres URL",
        "不是 Postgres 连接串",
        "neon",
    ),
    "an @ in the password": Case(
        put(DATABASE_URL="postgresql://a:p@ss@example.com/shop"), "DATABASE_URL", "as %40", "写成 %40", "postgresql://"
    ),
    "a wrong database password": Case(
        lambda world: {"DATABASE_URL": world.database_url(password="wrong")},
        "postgres",
        "refuses the user or the password",
        "拒绝了 DATABASE_URL 中的用户名或密码",
        "\nDATABASE_URL=postgresql://",
    ),
    "an unknown database": Case(
        lambda world: {"DATABASE_URL": world.database_url(path="/nowhere")},
        "postgres",
        "no database of the name",
        "没有 DATABASE_URL 指定的数据库",
        "\nDATABASE_URL=postgresql://",
    ),
    "no Postgres at that address": Case(
        put(DATABASE_URL="postgresql://a:b@127.0.0.1:9/c"), "postgres", "doesn't answer", "没有响应", "host and port"
    ),
    "no pgvector and no right to make it": Case(
        lambda world: {"DATABASE_URL": world.limited_role(world.make_database())},
        "pgvector",
        "pgvector is not installed",
        "未安装 pgvector",
        "\nCREATE EXTENSION vector;",
    ),
    "an old pgvector": Case(
        with_an_old_pgvector,
        "pgvector",
        "pgvector 0.6.2 is too old",
        "pgvector 0.6.2 版本过旧",
        "\nALTER EXTENSION vector UPDATE;",
    ),
    "no rights on the tables": Case(
        lambda world: {"DATABASE_URL": world.limited_role(world.settings.database_url)},
        "rights",
        "lacks rights: SELECT, INSERT, UPDATE, DELETE on user_actions, user_embeddings",
        "缺少权限",
        "\nGRANT SELECT ON content TO limited_",
    ),
    "content of other columns": Case(
        with_other_content, "schema", "it has no column embedding", "缺少列 embedding", "a view may cast them"
    ),
    "too many schedules": Case(
        lambda world: world.another_qstash(schedule_cap=2),
        "schedules",
        "2 of the four schedules are missing",
        "缺失或已过时",
        "/api/init",
    ),
    "the day's quota used up": Case(
        lambda world: world.another_qstash(message_limit=0),
        "delivery",
        "the plan's 0 a day are used up",
        "额度已用完",
        "\nACTIONS_INTERVAL_SECONDS=120",
    ),
    "a clock that is ahead": Case(with_a_wrong_clock, "clock", "s ahead of QStash's", "比 QStash 快", "timedatectl"),
    "deployment protection": Case(
        protected,
        "delivery",
        "deployment protection asks QStash to log in, so no delivery",
        "部署保护",
        "\nVERCEL_AUTOMATION_BYPASS_SECRET=",
    ),
    "deployment protection and an old secret": Case(
        lambda world: {**protected(world), "VERCEL_AUTOMATION_BYPASS_SECRET": "an-old-one"},
        "delivery",
        "VERCEL_AUTOMATION_BYPASS_SECRET is not valid",
        "VERCEL_AUTOMATION_BYPASS_SECRET 无效",
        "\nVERCEL_AUTOMATION_BYPASS_SECRET=",
    ),
    "an address that redirects": Case(
        answering("308 Permanent Redirect", b"", Location="https://www.shop.example.com/api/actions/batch-process"),
        "delivery",
        "redirects to https://www.shop.example.com,",
        "会重定向到 https://www.shop.example.com",
        "\nNEXT_PUBLIC_APP_URL=",
    ),
    "nothing deployed there": Case(
        answering("404 Not Found", b"NOT_FOUND"), "delivery", "no functions of this project", "没有本项目的函数", "="
    ),
    "an app that fails": Case(
        answering("502 Bad Gateway", b"upstream\nfailed"), "delivery", "502: upstream failed", "返回了 502", "the log"
    ),
    "somebody else's app": Case(
        answering("200 OK", b"welcome"),
        "delivery",
        "not by this deployment",
        "应答的不是本部署",
        "\nNEXT_PUBLIC_APP_URL=",
    ),
    "nobody at the address": Case(
        put(NEXT_PUBLIC_APP_URL=NOBODY),
        "delivery",
        f"QStash can't reach {NOBODY}",
        f"QStash 无法访问 {NOBODY}",
        "public",
    ),
    "a schedule left behind": Case(
        with_a_leftover_schedule,
        "leftover schedules",
        "1 schedule(s) belong to another deployment, old.example.com",
        "属于另一个部署 old.example.com",
        "\ncurl -X DELETE",
        "warning",
    ),
    "a preview deployment": Case(
        put(VERCEL_ENV="preview"), "schedules", "4 of the four schedules are missing", "缺失或已过时", "/api/init"
    ),
}


# ---- How they are tried ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What a person and a program are told of one and the same deployment."""

    document: dict[str, Any]
    page: str
    chinese_page: str
    script: str
    statuses: tuple[int, int, int]
    script_ended_with: int

    def bad(self) -> list[dict[str, str]]:
        """What the JSON finds fault with, errors before warnings, as the page shows it."""
        checks: list[dict[str, str]] = self.document["checks"]
        return sorted((one for one in checks if one["status"] != "ok"), key=lambda one: one["status"] != "error")


@pytest.fixture
def tell(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """`tell(changes)`: what is told where the variables differ so."""

    def tell(changes: Changes) -> Told:
        variables = world.variables | changes
        services = world.stack.enter_context(closing(Services(parse_settings(variables))))
        if not world.deployment.applications:
            world.deployment.deploy(services)
        answers = [ask(services, accept, "zh-CN,zh;q=0.9" if chinese else "en") for accept, chinese in ASKED]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["scripts/check_qstash_config.py"])
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        ended_with = check.main()
        document, page, chinese = answers
        return Told(
            document.json,
            page.body.decode(),
            chinese.body.decode(),
            capsys.readouterr().out,
            (document.status, page.status, chinese.status),
            ended_with,
        )

    return tell


ASKED = (("*/*", False), (HTML, False), (HTML, True))


def headline(page: str) -> str:
    match = re.search(r"<h1[^>]*>(.*?)</h1>", page)
    assert match is not None
    return match[1]


def test_where_nothing_is_wrong_all_four_say_so(world: World, tell: Callable[[Changes], Told]) -> None:
    told = tell({})
    assert told.bad() == []
    assert headline(told.page) == "Everything is in place"
    assert headline(told.chinese_page) == "一切就绪"
    assert told.script.splitlines()[-1] == "✅ Everything is in place"
    assert (told.statuses, told.script_ended_with) == ((200, 200, 200), 0)
    assert "❌" not in told.page + told.chinese_page + told.script


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_cause_is_named_with_its_mend_by_page_json_and_script(
    world: World, tell: Callable[[Changes], Told], case: Case
) -> None:
    told = tell(case.change(world))
    first = told.bad()[0]
    assert (first["name"], first["status"]) == (case.name, case.status), told.bad()
    assert case.says in first["message"]
    assert case.mend in first["fix"]
    is_error = case.status == "error"
    assert (told.statuses, told.script_ended_with) == (((503,) * 3, 1) if is_error else ((200,) * 3, 0))
    assert_the_page_shows(told, first, case)
    assert steady(first["message"]) in steady(told.script)
    assert first["fix"].splitlines()[0] in told.script


def assert_the_page_shows(told: Told, first: dict[str, str], case: Case) -> None:
    words, _, block = first["fix"].partition("\n")
    assert steady(str(escape(first["message"]))) in steady(text_of(told.page))
    assert str(escape(words)).replace("`", "") in text_of(told.page)
    assert str(escape(block)) in told.page
    assert case.zh in text_of(told.chinese_page)
    assert str(escape(block)) in told.chinese_page
    for one in told.bad():
        assert one["message"] not in text_of(told.chinese_page)
        assert one["fix"].partition("\n")[0] not in text_of(told.chinese_page) or not one["fix"]


def steady(words: str) -> str:
    """Without the seconds that a clock is off, which may differ from one look to the next."""
    return re.sub(r"\d+ s\b", "some s", words)
