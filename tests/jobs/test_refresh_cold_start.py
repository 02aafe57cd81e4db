from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lib.errors import OutOfTime
from lib.jobs.refresh_cold_start import refresh_cold_start
from lib.jobs.run import Deadline, Summary
from tests.jobs.site import Site, action


def refresh(site: Site, *, now: datetime | None = None) -> Summary:
    return refresh_cold_start(site.services, now or datetime.now(UTC), Deadline.after(60))


def act(site: Site, content_id: str, *, users: int, days_ago: float = 0.0) -> None:
    """So many users act on it, other ones at any other time."""
    site.act(
        *[action(f"{number} of {days_ago} of {content_id}", content_id, days_ago=days_ago) for number in range(users)]
    )


def topics(site: Site) -> dict[tuple[str, str | None], dict[str, Any]]:
    return {(topic["topic"], topic["language"]): topic for topic in site.services.cache.trending_topics()}


def test_popular_content_is_published_the_most_popular_of_now_first(site: Site) -> None:
    site.add_content("once", "now", "new")
    act(site, "once", users=5, days_ago=30)
    act(site, "now", users=2)
    assert refresh(site) == {"contents": 3, "topics": 0, "pruned": 0, "indexed": 0}
    document = site.services.cache.cold_start()
    assert document is not None
    assert (document["user_id"], document["source"]) == (None, "cold_start")
    items = {item["content_id"]: item for item in document["items"]}
    assert list(items) == ["now", "once", "new"]
    assert items["now"]["score"] == pytest.approx(2.0, abs=1e-3)
    assert items["new"] == {"content_id": "new", "score": 0.0, "source": "new"}


def test_an_empty_site_is_fine(site: Site) -> None:
    assert refresh(site) == {"contents": 0, "topics": 0, "pruned": 0, "indexed": 0}
    assert site.recommend("stranger")["items"] == []


def test_where_nothing_is_popular_the_newest_is_published(site: Site) -> None:
    for day in (2, 3, 1):
        site.add_content(f"of day {day}", published_at=datetime(2024, 1, day, tzinfo=UTC))
    refresh(site)
    document = site.services.cache.cold_start()
    assert document is not None
    assert [item["content_id"] for item in document["items"]] == ["of day 3", "of day 2", "of day 1"]


@pytest.fixture
def tea_and_milk(site: Site) -> Site:
    """With four contents on each of two topics, both read by four users a day for twelve days."""
    for topic in ("tea", "milk"):
        site.add_content(*contents_of(topic), topics=[topic], language="en")
        for number, content_id in enumerate(contents_of(topic)):
            for day in range(12):
                act(site, content_id, users=1, days_ago=day + number / 4 + 0.1)
    return site


def contents_of(topic: str) -> list[str]:
    return [f"{topic} {number}" for number in range(4)]


def test_a_topic_that_stands_out_of_its_usual_share_is_published(tea_and_milk: Site) -> None:
    site = tea_and_milk
    assert refresh(site)["topics"] == 0
    for content_id in contents_of("tea"):
        act(site, content_id, users=8, days_ago=0.2)
    assert refresh(site)["topics"] == 1
    [tea] = site.services.cache.trending_topics()
    assert tea.keys() == {"topic", "score", "language", "users"}
    assert (tea["topic"], tea["language"], tea["users"]) == ("tea", "en", 8 * 4 + 8)
    assert 2 < tea["score"] < 10


def test_a_topic_that_is_always_there_does_not_trend_however_many_read_it(tea_and_milk: Site) -> None:
    site = tea_and_milk
    site.add_content("weather", topics=["weather"], language="en")
    for day in range(14):
        act(site, "weather", users=30, days_ago=day + 0.5)
    assert refresh(site)["topics"] == 0


def test_a_user_who_reads_all_of_a_topic_makes_nothing_trend(tea_and_milk: Site) -> None:
    site = tea_and_milk
    site.add_content(*[f"comet {number}" for number in range(50)], topics=["comet"], language="en")
    site.act(*[action("fan", f"comet {number}") for number in range(50)])
    assert refresh(site)["topics"] == 0


def test_tags_of_one_article_fill_no_list(tea_and_milk: Site) -> None:
    site = tea_and_milk
    site.add_content("match", topics=["world cup", "football", "sport", "author:ann"], language="en")
    site.add_content("game", topics=["football", "sport", "author:bob"], language="en")
    act(site, "match", users=20)
    act(site, "game", users=2)
    assert refresh(site)["topics"] == 1


def test_an_author_is_never_published_and_brings_one_topic_at_most(tea_and_milk: Site) -> None:
    site = tea_and_milk
    for topic in ("chess", "go", "bridge"):
        site.add_content(topic, f"more {topic}", topics=[topic, "author:bob"], language="en")
        act(site, topic, users=10)
        act(site, f"more {topic}", users=10)
    assert refresh(site)["topics"] == 1
    assert not [topic for topic, _ in topics(site) if topic.startswith("author:")]


def test_of_two_topics_of_a_burst_the_one_that_was_published_before_stays(tea_and_milk: Site) -> None:
    site = tea_and_milk
    for number in range(3):
        site.add_content(f"match {number}", topics=["world cup", "football"], language="en")
        act(site, f"match {number}", users=9)
    for topic in ("football", "world cup"):
        site.services.cache.store_trending_topics([{"topic": topic, "language": "en"}, {"not": "ours"}])
        refresh(site)
        assert list(topics(site)) == [(topic, "en")]


def test_what_is_disliked_or_not_available_makes_no_topic_trend(tea_and_milk: Site) -> None:
    site = tea_and_milk
    site.add_content("scandal", topics=["scandal"], language="en")
    site.add_content("secret", topics=["secret"], language="en", available=False)
    site.act(*[action(f"user {user}", "scandal", "hide") for user in range(20)])
    act(site, "secret", users=20)
    assert refresh(site)["topics"] == 0


def test_of_a_log_that_is_too_long_a_sample_of_the_users_is_counted(
    tea_and_milk: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tea_and_milk
    for content_id in contents_of("tea"):
        act(site, content_id, users=40)
    monkeypatch.setattr("lib.core.trending.MOST_ACTIONS", 150)  # of 256
    assert refresh(site)["topics"] == 1
    users = topics(site)["tea", "en"]["users"]
    assert users % 2 == 0
    assert 100 < users < 240  # of 168


def test_both_lists_have_a_time_to_live(site: Site) -> None:
    refresh(site)
    for key in ("recommend:cold-start", "recommend:trending-topics"):
        assert 86_300 < site.redis.execute("TTL", key) <= 86_400


def test_topics_that_no_longer_trend_go(tea_and_milk: Site) -> None:
    site = tea_and_milk
    for content_id in contents_of("tea"):
        act(site, content_id, users=8)
    assert refresh(site)["topics"] == 1
    assert refresh(site, now=datetime.now(UTC) + timedelta(days=2))["topics"] == 0
    assert topics(site) == {}


def test_what_is_older_than_the_retention_is_pruned(site: Site) -> None:
    act(site, "a", users=3)
    site.query("UPDATE user_actions SET received_at = now() - interval '366 days'")
    assert refresh(site)["pruned"] == 3
    assert site.count_events() == 0


def test_the_log_is_pruned_and_popular_content_published_though_topics_cannot_be_counted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_too_long(*_: object, **__: object) -> int:
        raise OutOfTime

    site.add_content("old", "new")
    act(site, "old", users=3, days_ago=30)
    site.query("UPDATE user_actions SET received_at = received_at - interval '400 days'")
    monkeypatch.setattr("lib.jobs.refresh_cold_start.count_acted", take_too_long)
    with pytest.raises(OutOfTime):
        refresh(site)
    assert site.query("SELECT count(*) FROM user_actions") == [(0,)]
    document = site.services.cache.cold_start()
    assert document is not None
    assert {item["content_id"] for item in document["items"]} == {"old", "new"}
