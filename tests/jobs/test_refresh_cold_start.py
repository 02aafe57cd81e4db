from datetime import UTC, datetime
from typing import Any

import pytest

from lib.errors import SchemaMissing
from lib.jobs.refresh_cold_start import refresh_cold_start
from lib.jobs.run import Deadline, Summary
from tests.jobs.site import Site, action


def refresh(site: Site, *, now: datetime | None = None) -> Summary:
    return refresh_cold_start(site.services, now or datetime.now(UTC), Deadline.after(60))


def act(site: Site, content_id: str, *, users: int, days_ago: float = 0.0) -> None:
    """So many users act on it."""
    site.act(*[action(f"user {number} of {content_id}", content_id, days_ago=days_ago) for number in range(users)])


def topics(site: Site) -> dict[tuple[str, str | None], dict[str, Any]]:
    return {(topic["topic"], topic["language"]): topic for topic in site.services.cache.trending_topics()}


def test_popular_content_is_published_the_most_popular_of_now_first(site: Site) -> None:
    site.add_content("once", "now", "new")
    act(site, "once", users=5, days_ago=30)
    act(site, "now", users=2)
    assert refresh(site) == {"contents": 3, "topics": 0, "pruned": 0}
    document = site.services.cache.cold_start()
    assert document is not None
    assert (document["user_id"], document["source"]) == (None, "cold_start")
    items = {item["content_id"]: item for item in document["items"]}
    assert list(items) == ["now", "once", "new"]
    assert items["now"]["score"] == pytest.approx(2.0, abs=1e-3)
    assert items["new"] == {"content_id": "new", "score": 0.0, "source": "new"}


def test_an_empty_site_is_fine(site: Site) -> None:
    assert refresh(site) == {"contents": 0, "topics": 0, "pruned": 0}
    assert site.recommend("stranger")["items"] == []


def test_where_nothing_is_popular_the_newest_is_published(site: Site) -> None:
    for day in (2, 3, 1):
        site.add_content(f"of day {day}", published_at=datetime(2024, 1, day, tzinfo=UTC))
    refresh(site)
    document = site.services.cache.cold_start()
    assert document is not None
    assert [item["content_id"] for item in document["items"]] == ["of day 3", "of day 2", "of day 1"]


def test_a_topic_is_scored_by_its_burst_in_each_language(site: Site) -> None:
    site.add_content("eclipse en", topics=["eclipse"], language="en")
    site.add_content("eclipse de", topics=["eclipse"], language="de")
    act(site, "eclipse en", users=7)
    act(site, "eclipse en", users=14, days_ago=3)  # a usual day has two
    act(site, "eclipse de", users=3)
    refresh(site)
    english, german = topics(site)["eclipse", "en"], topics(site)["eclipse", "de"]
    assert english == {"topic": "eclipse", "language": "en", "users": 7, "score": round((7 - 2) / 3**0.5, 4)}
    assert german == {"topic": "eclipse", "language": "de", "users": 3, "score": 3.0}
    assert list(topics(site)) == [("eclipse", "de"), ("eclipse", "en")]


def test_a_topic_that_is_always_there_does_not_trend_however_many_read_it(site: Site) -> None:
    site.add_content("weather", topics=["weather"])
    site.add_content("comet", topics=["comet"])
    act(site, "weather", users=4)
    act(site, "weather", users=35, days_ago=3)
    act(site, "comet", users=1)
    refresh(site)
    assert list(topics(site)) == [("comet", None)]


def test_one_user_who_reads_all_of_a_topic_is_one_user(site: Site) -> None:
    site.add_content(*[f"comet {number}" for number in range(9)], topics=["comet"])
    site.act(*[action("fan", f"comet {number}") for number in range(9)])
    refresh(site)
    assert topics(site)["comet", None]["users"] == 1


def test_what_is_disliked_or_not_available_makes_no_topic_trend(site: Site) -> None:
    site.add_content("scandal", topics=["scandal"])
    site.add_content("secret", topics=["secret"], available=False)
    site.act(action("ann", "scandal", "hide"), action("ann", "secret"))
    assert refresh(site)["topics"] == 0


def test_both_lists_have_a_time_to_live(site: Site) -> None:
    refresh(site)
    for key in ("recommend:cold-start", "recommend:trending-topics"):
        assert 86_300 < site.redis.execute("TTL", key) <= 86_400


def test_topics_that_no_longer_trend_go(site: Site) -> None:
    site.add_content("comet", topics=["comet"])
    act(site, "comet", users=3)
    assert refresh(site)["topics"] == 1
    site.query("UPDATE user_actions SET occurred_at = occurred_at - interval '2 days'")
    assert refresh(site)["topics"] == 0
    assert topics(site) == {}


def test_what_is_older_than_the_retention_is_pruned(site: Site) -> None:
    act(site, "a", users=3)
    site.query("UPDATE user_actions SET received_at = now() - interval '366 days'")
    assert refresh(site)["pruned"] == 3
    assert site.count_events() == 0


def test_the_log_is_pruned_though_topics_cannot_be_counted(site: Site) -> None:
    site.add_content("old", "new")
    act(site, "old", users=3, days_ago=30)
    site.query("UPDATE user_actions SET received_at = received_at - interval '400 days'")
    site.query("ALTER TABLE content DROP COLUMN topics")
    with pytest.raises(SchemaMissing):
        refresh(site)
    assert site.query("SELECT count(*) FROM user_actions") == [(0,)]
    document = site.services.cache.cold_start()
    assert document is not None
    assert {item["content_id"] for item in document["items"]} == {"old", "new"}
