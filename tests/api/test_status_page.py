"""The page of /api/status, from documents as report_status makes them."""

import copy
import re
from typing import Any

import pytest

from lib.core.attention import FAILED
from lib.core.counts import HOURS_SHOWN
from lib.core.ranker.kinds import KINDS as FEATURE_KINDS
from lib.core.schedules import JOBS
from lib.text import Text
from lib.web.pages import render
from lib.web.status_page import KINDS, first_kinds, status_values
from lib.web.times import duration
from lib.web.translation import CHINESE, ENGLISH
from tests.api.test_pages import Tags

AT = "2026-11-25T12:00:05+00:00"


def hour(number: int) -> dict[str, Any]:
    jobs = {name: {"runs": 0, "failed": 0, "ms": 0, "longest_ms": 0} for name in JOBS}
    return {"hour": f"2026-11-24T{number:02}:00:00+00:00", "applied": 0, "jobs": jobs}


STATUS: dict[str, Any] = {
    "generated_at": "2026-11-25T12:00:05.123456+00:00",
    "errors": [],
    "attention": [],
    "pending": 1_234,
    "pending_bytes": 99_999,
    "in_flight": 7,
    "dead_letters": {"count": 0, "latest": []},
    "set_aside": [],
    "jobs": {
        name: {"last_run": AT, "outcome": "ok", "duration_ms": 37, "runs": [
            {"at": AT, "outcome": "ok", "duration_ms": 37, "summary": {"applied": 3}},
        ]}
        for name in JOBS
    },
    "fan_out": {},
    "last_day": {"hours": [hour(number) for number in range(HOURS_SHOWN)], "cache_hit_rate": 0.956},
    "user_embeddings": {"users": 60, "updated_at": AT},
    "model": {"version": 3, "built_at": AT, "items": 188, "skipped": 0, "popularity_half_life_hours": 36.0, "ranker": {
        "serves": True, "gain": 0.0123, "slices": 5, "users": 200,
        "weights": {"popularity": 0.6, "similar_reads": 0.399, "similar_text": 0.001},
    }},
    "tuning": {
        "popularity_half_life_hours": 36.0, "popularity_half_life_chosen_by": "replay",
        "interest_half_life_days": 30.0, "history_length": 200, "action_weights": {"like": 3.0, "skip": -0.5},
    },
    "cache": {"cold_start_generated_at": AT, "cold_start_contents": 100, "ttl_seconds": 7_200, "trending_topics": [
        {"topic": "tea", "score": 3.0, "language": None, "users": 12},
    ]},
}  # fmt: skip


@pytest.fixture
def status() -> dict[str, Any]:
    """In which all is well; a test's own to change."""
    return copy.deepcopy(STATUS)


def page_of(status: dict[str, Any], language: str = ENGLISH) -> str:
    page = render("status.html", language, **status_values(status))
    Tags(page)  # every tag is closed
    return page


def words_of(page: str) -> str:
    """What a person reads: no tags, no style sheet."""
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", text)


def test_where_all_is_well_it_says_so_first(status: dict[str, Any]) -> None:
    page = page_of(status)
    assert '<h1 class="good">All is well</h1>' in page
    assert re.search(r"<title>✅ All is well</title>", page)
    words = words_of(page)
    for said in (
        "Pending actions 1,234",
        "In flight 7",
        "Lists found in the cache 96 %",
        "learned from 200 replays of users, NDCG@20 +0.012 against popularity",
        "how popular content is (60 %), what goes with what he read (40 %)",
        "36 hours , chosen by replaying the log",
        "like=3 skip=-0.5",
        "tea 12 users",
    ):
        assert said.replace(" ,", ",") in words.replace(" ,", ",")
    assert "alike" not in words, "a kind that weighs nothing isn't named"


def test_what_needs_a_look_comes_first_and_colours_the_headline(status: dict[str, Any]) -> None:
    status["attention"] = [
        {"code": "failed", "status": "error", "message": Text("{job} failed: {error}", job="X", error="it broke")},
        {"code": "dead_letters", "status": "warning", "message": Text("{n} actions could not be applied.", n=2)},
    ]
    page = page_of(status)
    assert '<h1 class="bad">2 things need a look</h1>' in page
    assert page.index("X failed: it broke") < page.index("2 actions could not be applied")
    del status["attention"][0]
    assert '<h1 class="care">1 thing needs a look</h1>' in page_of(status)


def test_a_day_with_actions_is_drawn_and_told_in_words(status: dict[str, Any]) -> None:
    status["last_day"]["hours"][5] |= {"applied": 1_000}
    status["last_day"]["hours"][9] |= {"applied": 4_000}
    status["last_day"]["hours"][9]["jobs"]["warm_cache"] |= {"failed": 2, "longest_ms": 61_000}
    tags = Tags(page_of(status))
    pictures = [attributes["aria-labelledby"] for attributes in tags.named("svg")]
    assert pictures == ["applied-title", "failed-title", "warm_cache-title"]
    assert len(tags.named("rect")) == 4
    words = words_of(page_of(status))
    assert "5,000 in the last 24 hours; the most, 4,000, in the hour from 09:00 UTC." in words
    assert "2 in the last 24 hours; the most, 2, in the hour from 09:00 UTC." in words
    assert "The longest took 61.0 s, in the hour from 09:00 UTC." in words


def test_a_day_on_which_nothing_happened_has_words_instead_of_empty_plots(status: dict[str, Any]) -> None:
    page = page_of(status)
    assert "<svg" not in page
    assert words_of(page).count("None in the last 24 hours.") == 2


def test_a_job_that_failed_and_one_that_never_ran_say_so(status: dict[str, Any]) -> None:
    status["jobs"]["warm_cache"] |= {"outcome": f"{FAILED}Postgres doesn't answer"}
    status["jobs"]["refresh_cold_start"] = {
        "last_run": None, "outcome": "never ran", "duration_ms": None, "runs": [],
    }  # fmt: skip
    words = words_of(page_of(status))
    assert "failed : Postgres doesn&#39;t answer" in words
    assert "Last run never Outcome never ran Took –" in words


def test_what_could_not_be_applied_is_shown_with_the_commands_that_settle_it(status: dict[str, Any]) -> None:
    raw = "<script>alert(1)</script>" + "x" * 500
    status["dead_letters"] = {"count": 1, "latest": [{"id": "0a1b2c3d4e", "raw": raw, "reason": "<b>", "at": AT}]}
    status["set_aside"] = [{"batch_id": "b" * 32, "at": AT, "elements": 5_000, "tries": 5, "error": ""}]
    page = page_of(status)
    assert "<script>" not in page
    assert '<td role="cell" data-label="Reason">&lt;b&gt;</td>' in page
    assert "<summary><code>&lt;script&gt;alert(1)&lt;/script&gt;xxx" in page, "the whole of a long one is folded away"
    for command in ("put-back 0a1b2c3d4e", "drop 0a1b2c3d4e", f"put-back {'b' * 32}"):
        assert f"scripts/dead_letters {command}" in page
    assert "Its drains ended without a word." in page
    assert "5,000" in page


@pytest.mark.parametrize("language", [ENGLISH, CHINESE])
def test_parts_that_can_t_be_read_leave_a_page_with_the_rest(status: dict[str, Any], language: str) -> None:
    parts = [key for key in status if key not in ("generated_at", "errors", "attention")]
    together = ["jobs", "last_day"]  # of one read
    for gone in (parts, together, *([part] for part in parts if part not in together)):
        tags = Tags(page_of(status | dict.fromkeys(gone), language))
        assert len(tags.named("h1")) == 1


def test_a_model_of_an_older_release_and_no_model_have_a_page_too(status: dict[str, Any]) -> None:
    status["model"] |= {"ranker": None, "popularity_half_life_hours": None}
    status["tuning"] |= {"popularity_half_life_hours": None, "popularity_half_life_chosen_by": "setting"}
    words = words_of(page_of(status))
    assert "similarity and popularity: too little to learn from yet, or no gain" in words
    assert "never: it does not decay , set by POPULARITY_HALF_LIFE_HOURS".replace(" ,", ",") in words.replace(" ,", ",")
    assert "Ranking and item vectors never" in words_of(page_of(status | {"model": None}))


def test_in_chinese_nothing_of_ours_is_left_in_english(status: dict[str, Any]) -> None:
    status["last_day"]["hours"][5] |= {"applied": 1_000}
    status["dead_letters"] = {"count": 1, "latest": [{"id": "0a", "raw": "1", "reason": "2", "at": AT}]}
    status["set_aside"] = [{"batch_id": "0b", "at": AT, "elements": 1, "tries": 5, "error": "3"}]
    page = page_of(status, CHINESE)
    code = re.compile(r"<style>.*?</style>|<code[^>]*>.*?</code>|<[^>]+>", re.DOTALL)
    english = set(re.findall(r"[A-Za-z]{3,}", code.sub(" ", page)))
    assert english == {"UTC", "NDCG", "Postgres", "tea"}


def test_every_kind_of_feature_has_its_words() -> None:
    assert set(FEATURE_KINDS) < set(KINDS)
    assert first_kinds({}) == []


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [(0, "0 ms"), (999, "999 ms"), (1_000, "1.0 s"), (99_949, "99.9 s"), (100_000, "1.7 min"), (240_000, "4.0 min")],
)
def test_a_duration_is_said_in_its_fitting_unit(milliseconds: int, said: str) -> None:
    assert duration(milliseconds) == said


RUN = {
    "run": 1_795_608_000, "begun_at": AT, "ended_at": None, "shards": 50, "shards_done": 37, "users": 100_000,
    "users_done": 74_500, "stragglers": {"count": 0, "longest": []},
}  # fmt: skip


@pytest.mark.parametrize(
    ("language", "words"),
    [(ENGLISH, "37 of 50 done, 74,500 of 100,000 users"), (CHINESE, "已完成 37/50，用户 74,500/100,000")],
)
def test_a_run_in_shards_says_how_far_it_has_come(status: dict[str, Any], language: str, words: str) -> None:
    status["fan_out"] = {"warm_cache": RUN}
    shown = words_of(page_of(status, language))
    assert shown.count(words) == 1
    assert "Stragglers" not in shown


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (ENGLISH, ["shard 7: 900 users left, last seen", "shard 8: 2,000 users left, last seen never", "3 more"]),
        (CHINESE, ["分片 7：剩余 900 个用户，最近进展", "分片 8：剩余 2,000 个用户", "另有 3 个"]),
    ],
)
def test_shards_that_stand_still_are_named(status: dict[str, Any], language: str, words: list[str]) -> None:
    longest = [
        {"shard": 7, "users_left": 900, "since": AT},
        {"shard": 8, "users_left": 2_000, "since": None},
    ]
    status["fan_out"] = {"warm_cache": {**RUN, "stragglers": {"count": 5, "longest": longest}}}
    shown = words_of(page_of(status, language))
    assert [each for each in words if each not in shown] == []


def test_a_run_in_shards_that_has_ended_says_when(status: dict[str, Any]) -> None:
    status["fan_out"] = {"process_user_embeddings": {**RUN, "shards_done": 50, "ended_at": AT}}
    assert "Ended" in words_of(page_of(status))
