"""The environment: every variable missing, bad, aliased; no secret shows."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lib.errors import SettingsError
from lib.setting_values import TUNABLES
from lib.settings import Settings, parse_settings

COMPLETE = {
    "QSTASH_TOKEN": "eyJVc2VySUQi",
    "QSTASH_CURRENT_SIGNING_KEY": "sig_current",
    "QSTASH_NEXT_SIGNING_KEY": "sig_next",
    "NEXT_PUBLIC_APP_URL": "https://shop.example.com",
    "UPSTASH_REDIS_REST_URL": "https://eu1-calm-cat-1.upstash.io",
    "UPSTASH_REDIS_REST_TOKEN": "AXA_redis",
    "DATABASE_URL": "postgresql://neon:p%40ss@ep-1.neon.tech/main?sslmode=require",
    "ADMIN_API_KEY": "admin-key-1",
    "VERCEL_AUTOMATION_BYPASS_SECRET": "bypass-1",
}
REQUIRED = [name for name in COMPLETE if name not in ("ADMIN_API_KEY", "VERCEL_AUTOMATION_BYPASS_SECRET")]
SECRETS = ["eyJVc2VySUQi", "sig_current", "sig_next", "AXA_redis", "p%40ss", "admin-key-1", "bypass-1"]


def parse(changes: Mapping[str, str] | None = None, *, without: tuple[str, ...] = ()) -> Settings:
    environment = {**COMPLETE, **(changes or {})}
    return parse_settings({name: value for name, value in environment.items() if name not in without})


def problems(settings: Settings) -> dict[str, str]:
    return {problem.variable: problem.message for problem in settings.problems}


def test_a_complete_environment_has_no_problem_and_every_value_in_its_place() -> None:
    settings = parse()
    assert settings.problems == ()
    assert settings == Settings(
        qstash_token="eyJVc2VySUQi",
        qstash_current_signing_key="sig_current",
        qstash_next_signing_key="sig_next",
        app_url="https://shop.example.com",
        redis_url="https://eu1-calm-cat-1.upstash.io",
        redis_token="AXA_redis",
        database_url=COMPLETE["DATABASE_URL"],
        admin_api_key="admin-key-1",
        bypass_secret="bypass-1",
    )
    settings.require(*REQUIRED)


@pytest.mark.parametrize("value", [None, "", "  \n"], ids=["missing", "empty", "blank"])
@pytest.mark.parametrize("name", REQUIRED)
def test_a_variable_that_is_not_set_is_a_problem_of_its_name(name: str, value: str | None) -> None:
    settings = parse(without=(name,)) if value is None else parse({name: value})
    [problem] = settings.problems
    assert problem.variable == name
    assert problem.message.startswith("is not set")
    assert problem.fix
    with pytest.raises(SettingsError, match=f"^{name} is not set.*\\.$") as raised:
        settings.require(name)
    assert raised.value.fix == problem.fix
    settings.require(*(other for other in REQUIRED if other != name))


def test_an_empty_environment_raises_nothing_and_names_every_variable_at_once() -> None:
    settings = parse_settings({})
    assert set(problems(settings)) == set(REQUIRED)
    assert settings.secrets == []


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("UPSTASH_REDIS_REST_URL", "KV_REST_API_URL"),
        ("UPSTASH_REDIS_REST_TOKEN", "KV_REST_API_TOKEN"),
        ("DATABASE_URL", "POSTGRES_URL"),
    ],
)
def test_the_names_that_integrations_set_do_as_well(name: str, alias: str) -> None:
    settings = parse({alias: COMPLETE[name]}, without=(name,))
    assert settings == parse()
    assert parse({alias: "ignored where the first name is set"}) == parse()
    assert alias in problems(parse(without=(name,)))[name]
    assert alias in problems(parse({alias: f'"{COMPLETE[name]}"'}, without=(name,)))[name]


BAD = {
    "quotes": ("QSTASH_TOKEN", '"eyJ"', "has quotes around its value"),
    "single quotes": ("QSTASH_CURRENT_SIGNING_KEY", "'sig_current'", "has quotes around its value"),
    "one quote alone": ("QSTASH_NEXT_SIGNING_KEY", '"', "has quotes around its value"),
    "URL in quotes": ("DATABASE_URL", '"postgresql://u:p@h/d"', "has quotes around its value"),
    "quoted admin key": ("ADMIN_API_KEY", '"key"', "has quotes around its value"),
    "quoted bypass secret": ("VERCEL_AUTOMATION_BYPASS_SECRET", "'s'", "has quotes around its value"),
    "line break": ("QSTASH_TOKEN", "eyJ\nabc", "holds a space or a line break"),
    "the redis protocol": ("UPSTASH_REDIS_REST_URL", "rediss://x:pw@h:6379", "address for the Redis protocol"),
    "no URL": ("UPSTASH_REDIS_REST_URL", "eu1.upstash.io", "is no http(s) URL"),
    "bad port": ("UPSTASH_REDIS_REST_URL", "https://h:port", "is no http(s) URL"),
    "port 0": ("UPSTASH_REDIS_REST_URL", "https://h:0", "is no http(s) URL"),
    "broken v6 address": ("UPSTASH_REDIS_REST_URL", "https://[::1", "is no http(s) URL"),
    "another region, no URL": ("QSTASH_URL", "eu-central-1", "is no http(s) URL"),
    "app over http": ("NEXT_PUBLIC_APP_URL", "http://shop.example.com", "must use https://"),
    "app with a path": ("NEXT_PUBLIC_APP_URL", "https://shop.example.com/api", "without a path"),
    "app with a query": ("NEXT_PUBLIC_APP_URL", "https://shop.example.com/?a=1", "without a path, query"),
    "app with a user": ("NEXT_PUBLIC_APP_URL", "https://me@shop.example.com", "user name"),
    "app without a scheme": ("NEXT_PUBLIC_APP_URL", "shop.example.com", "is no http(s) URL"),
    "another database": ("DATABASE_URL", "mysql://u:p@h/d", "is no Postgres URL"),
    "a library's dialect": ("DATABASE_URL", "postgresql+psycopg://u:p@h/d", "is no Postgres URL"),
    "database without a host": ("DATABASE_URL", "postgresql:///d", "is no Postgres URL"),
    "database with a bad port": ("DATABASE_URL", "postgresql://u:p@h:port/d", "is no Postgres URL"),
    "flag in words": ("ALLOW_UNSIGNED_LOCAL", "true", "must be 1 or 0"),
    "ticks that do not fit": ("ACTIONS_INTERVAL_SECONDS", "7", "must divide a minute"),
    "minutes that do not fit": ("ACTIONS_INTERVAL_SECONDS", "420", "must be whole minutes"),
    "no interval": ("ACTIONS_INTERVAL_SECONDS", "0", "must be a whole number from 1 to 1800"),
    "fraction": ("ACTIONS_INTERVAL_SECONDS", "2.5", "must be a whole number"),
    "words": ("CLAIM_MAX_ELEMENTS", "many", "must be a whole number from 1 to 20000, not 'many'"),
    "too long a number": ("CLAIM_MAX_ELEMENTS", "9" * 5_000, "must be a whole number"),
    "NaN": ("POPULARITY_HALF_LIFE_HOURS", "nan", "must be a number from 1 to 10000, not 'nan'"),
    "more than a discovery leaves": ("NEW_ITEMS_PER_PAGE", "11", "must be a whole number from 0 to 10"),
    "share of more than all": ("TOPIC_SHARE", "60", "must be a number from 0.05 to 1, not '60'"),
    "infinite": ("INTEREST_HALF_LIFE_DAYS", "inf", "must be a number from 0.01"),
    "half-life too short": ("POPULARITY_HALF_LIFE_HOURS", "0.9", "must be a number from 1 to 10000, not '0.9'"),
    "infinite half-life": ("POPULARITY_HALF_LIFE_HOURS", "inf", "must be a number from 1 to 10000, not 'inf'"),
    "weight of what is no action": ("ACTION_WEIGHTS", "view=1,read=2", "names 'read'; the actions are view, click"),
    "weight without a number": ("ACTION_WEIGHTS", "view", "must be a number from -100 to 100, not ''"),
    "trailing comma": ("ACTION_WEIGHTS", "view=1,", "names ''"),
}


@pytest.mark.parametrize(("name", "value", "message"), BAD.values(), ids=BAD)
def test_a_value_that_makes_no_sense_is_a_problem_that_says_so(name: str, value: str, message: str) -> None:
    settings = parse({name: value})
    [problem] = settings.problems
    assert problem.variable == name
    assert message in problem.message
    assert problem.fix


@pytest.mark.parametrize(
    "value",
    ["https://shop.example.com/", "https://shop.example.com:8443", "http://localhost:3000", "http://127.0.0.1:3000"],
)
def test_an_app_url_may_be_bare_https_or_this_machine(value: str) -> None:
    settings = parse({"NEXT_PUBLIC_APP_URL": f" {value}\n"})
    assert settings.problems == ()
    assert settings.app_url == value.rstrip("/")
    assert not settings.app_url_is_guessed


def test_vercels_production_url_stands_in_for_the_app_url_and_is_marked_as_a_guess() -> None:
    vercel = {"VERCEL_PROJECT_PRODUCTION_URL": "shop.vercel.app"}
    settings = parse(vercel, without=("NEXT_PUBLIC_APP_URL",))
    assert (settings.app_url, settings.app_url_is_guessed) == ("https://shop.vercel.app", True)
    assert settings.problems == ()
    assert parse(vercel) == parse()


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("ACTIONS_INTERVAL_SECONDS", "120", 120),
        ("CLAIM_LEASE_SECONDS", " 30 ", 30),
        ("POPULARITY_HALF_LIFE_HOURS", "288", 288.0),
        ("POPULARITY_HALF_LIFE_HOURS", "1", 1.0),
        ("POPULARITY_HALF_LIFE_HOURS", "49.5", 49.5),
        ("POPULARITY_HALF_LIFE_HOURS", "", None),
        ("INTEREST_HALF_LIFE_DAYS", "0.5", 0.5),
        ("NEW_CONTENT_MAX_AGE_DAYS", "2", 2.0),
        ("NEW_ITEMS_PER_PAGE", "0", 0),
        ("AUTHOR_SHARE", "1", 1.0),
        ("ALLOW_UNSIGNED_LOCAL", "1", True),
        ("ALLOW_UNSIGNED_LOCAL", "0", False),
        ("QSTASH_URL", "http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
    ],
)
def test_a_tunable_takes_its_value(name: str, value: str, wanted: Any) -> None:
    settings = parse({name: value})
    assert settings.problems == ()
    assert getattr(settings, name.lower()) == wanted


def test_weights_that_are_named_change_and_the_others_stay() -> None:
    settings = parse({"ACTION_WEIGHTS": "view = 0.5, hide=-3,click=0"})
    assert settings.action_weights == {**Settings().action_weights, "view": 0.5, "hide": -3.0, "click": 0.0}
    assert settings.positive_actions == ["comment", "dwell", "like", "purchase", "save", "share", "view"]


def test_a_bad_tunable_keeps_its_default_and_stops_every_job() -> None:
    settings = parse({"CACHE_TTL_SECONDS": "1", "ACTION_WEIGHTS": "read=1"})
    assert (settings.action_weights, settings.cache_ttl_seconds) == (Settings().action_weights, 7_200)
    with pytest.raises(SettingsError, match=r"^ACTION_WEIGHTS names 'read'"):
        settings.require()


@pytest.mark.parametrize(("vercel_env", "deployed"), [("", False), ("development", False), ("production", True)])
def test_a_function_is_deployed_where_vercel_says_so(vercel_env: str, deployed: bool) -> None:
    assert parse({"VERCEL_ENV": vercel_env}).is_deployed is deployed
    assert not parse({"VERCEL_ENV": vercel_env}).is_preview
    assert parse({"VERCEL_ENV": "preview"}).is_preview


@pytest.mark.parametrize(
    ("variables", "hidden"),
    [
        pytest.param(
            {"NEXT_PUBLIC_APP_URL": "https://4f1c.ngrok-free.app", "VERCEL_REGION": "dev1"}, True, id="public"
        ),
        pytest.param({"NEXT_PUBLIC_APP_URL": "http://localhost:3000", "VERCEL_REGION": "dev1"}, False, id="local"),
        pytest.param({"NEXT_PUBLIC_APP_URL": "https://4f1c.ngrok-free.app"}, False, id="another server"),
    ],
)
def test_vercel_dev_may_hide_a_tunnel_where_the_app_is_public(variables: dict[str, str], hidden: bool) -> None:
    assert parse(variables).may_hide_a_tunnel is hidden


def test_no_secret_is_in_what_python_shows_of_the_settings() -> None:
    for settings in (parse(), parse({name: f"'{value}'" for name, value in COMPLETE.items()})):
        assert not [secret for secret in SECRETS if secret in repr(settings) + str(settings.problems)]


def test_redacting_takes_out_every_secret_the_database_password_alone_too() -> None:
    settings = parse()
    assert set(SECRETS) < set(settings.secrets)
    text = settings.redact(" | ".join([*SECRETS, COMPLETE["DATABASE_URL"]]))
    assert text == " | ".join(["[secret]"] * (len(SECRETS) + 1))
    assert settings.redact("shop.example.com is fine") == "shop.example.com is fine"


def test_a_secret_that_holds_another_one_is_taken_out_whole() -> None:
    assert parse({"ADMIN_API_KEY": "bypass-1-and-more"}).redact("bypass-1-and-more") == "[secret]"


def test_the_example_file_names_every_tunable_with_its_default_and_empty_where_it_has_none() -> None:
    text = (Path(__file__).resolve().parent.parent / ".env.example").read_text()
    example = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, flags=re.MULTILINE))
    assert set(COMPLETE) <= set(example)
    settings = parse({name: value for name, value in example.items() if value})
    assert settings == parse()
    assert set(TUNABLES) <= set(example)
    without = {name for name in TUNABLES if getattr(Settings(), name.lower()) is None}
    assert {name for name, value in example.items() if value} == set(TUNABLES) - without
