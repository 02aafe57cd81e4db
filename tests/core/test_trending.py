import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.core.trending import (
    LEAST_SCORE,
    MOST_ACTIONS,
    RECENT_DAYS,
    burst_scores,
    least_score,
    trending_topics,
    user_sample,
)
from tests.core.topic_log import Content, Read, count_readers, count_topics, trends

HOUR = 1 / 24
_users = itertools.count()

seeds = st.integers(0, 2**32 - 1)
Log = tuple[list[Read], dict[str, Content]]


def reads_of(*content_ids: str, users: float, days: float = 14.0, until: float = 0.0) -> list[Read]:
    """So many new users a day, evenly from `days` ago until `until` days ago, each of them on one of the contents."""
    n = round(users * (days - until))
    ages = until + (np.arange(n) + 0.5) / users
    return [
        Read(f"user {next(_users)}", content_ids[number % len(content_ids)], age)
        for number, age in enumerate(ages.tolist())
    ]


def site(*topics: str, language: str | None = None, contents: int = 4) -> dict[str, Content]:
    """Each of these topics with contents of its own."""
    return {f"{topic} {number}": Content([topic], language) for topic in topics for number in range(contents)}


def of(topic: str, contents: dict[str, Content]) -> list[str]:
    return [content_id for content_id, content in contents.items() if topic in content.topics]


def usual(contents: dict[str, Content], *, users: float = 40.0, days: float = 14.0) -> list[Read]:
    """The site's topics as ever, some read twice as much as others."""
    topics = sorted({topic for content in contents.values() for topic in content.topics})
    return [
        read
        for number, topic in enumerate(topics)
        for read in reads_of(*of(topic, contents), users=users * (1 + number % 2), days=days)
    ]


def random_log(seed: int) -> Log:
    """Thirty contents in two languages with some of twelve topics and three authors each, and one that bursts."""
    rng = np.random.default_rng(seed)
    labels = [f"topic {number}" for number in range(12)] + [f"author:{number}" for number in range(3)]
    contents = {
        f"content {number}": Content(
            [str(label) for label in rng.choice(labels, size=rng.integers(1, 5), replace=False)],
            [None, "en"][int(rng.integers(2))],
        )
        for number in range(30)
    }
    weights = rng.exponential(1.0, 30)
    picks = rng.choice(30, p=weights / weights.sum(), size=600).tolist() + rng.choice(4, size=60).tolist()
    ages = np.concatenate([rng.uniform(0, 14, 600), rng.uniform(0, 1, 60)]).tolist()
    users = rng.integers(200, size=660).tolist()
    reads = [Read(f"user {user}", f"content {pick}", age) for user, pick, age in zip(users, picks, ages, strict=True)]
    return reads, contents


def names(log: list[Read], contents: dict[str, Content], *, n: int = 50) -> list[str]:
    return [trend.topic for trend in trends(log, contents, n=n)]


@given(seeds)
@settings(deadline=None, max_examples=50)
def test_the_order_of_what_is_counted_is_free(seed: int) -> None:
    log, contents = random_log(seed)
    counts, readers = count_topics(log, contents), count_readers(log, contents)
    rng = np.random.default_rng(seed)
    shuffled_counts = [counts[place] for place in rng.permutation(len(counts))]
    shuffled_readers = [readers[place] for place in rng.permutation(len(readers))]
    assert trending_topics(shuffled_counts, shuffled_readers, n=50) == trending_topics(counts, readers, n=50)


@given(seeds)
@settings(deadline=None, max_examples=50)
def test_what_topics_languages_and_users_are_called_decides_nothing_but_which_of_two_twins_is_shown(seed: int) -> None:
    log, contents = random_log(seed)
    new_numbers = np.random.default_rng(seed).permutation(12)
    new_topics = {f"topic {old}": f"topic {new}" for old, new in enumerate(new_numbers)}
    new_language = {None: None, "en": "zh"}
    renamed = {
        content_id: Content([new_topics.get(topic, topic) for topic in topics], new_language[language])
        for content_id, (topics, language) in contents.items()
    }
    others = [read._replace(user_id=f"reader {read.user_id}") for read in log]
    wanted = [(score, new_language[language], users) for _, score, language, users in trends(log, contents)]
    assert [trend[1:] for trend in trends(others, renamed)] == wanted


@pytest.mark.parametrize("times", [0.5, 1, 2, 10])
def test_traffic_that_grows_everywhere_makes_nothing_trend(times: float) -> None:
    contents = site(*"abcdefgh")
    today = usual(contents, users=40 * times, days=RECENT_DAYS)
    before = [read for read in usual(contents) if read.days_ago > RECENT_DAYS]
    assert trends(today + before, contents) == []


def test_at_the_busiest_hour_nothing_trends_that_does_not_at_the_quietest() -> None:
    contents = site(*"abcdefgh")
    log = usual(contents)
    evening = [read for read in log if read.days_ago % 1 < 6 * HOUR]
    morning = [read for read in log if read.days_ago % 1 > 18 * HOUR]
    assert trends(evening, contents) == trends(morning, contents) == []


@pytest.mark.parametrize("times", [2, 5])
def test_a_burst_trends_alone_whatever_the_traffic(times: int) -> None:
    contents = site(*"abcdefgh")
    log = usual(contents) + reads_of(*of("b", contents), users=100, days=1)
    more = [read._replace(user_id=f"{copy} {read.user_id}") for read in log for copy in range(times)]
    assert names(log, contents) == names(more, contents) == ["b"]


@given(seeds)
@settings(deadline=None, max_examples=50)
def test_what_stands_out_does_so_the_more_where_every_user_has_a_double(seed: int) -> None:
    log, contents = random_log(seed)
    contents |= site(*(f"alone {number}" for number in range(6)))
    rng = np.random.default_rng(seed)
    for number in range(6):
        log += reads_of(
            *of(f"alone {number}", contents), users=float(rng.uniform(3, 12)), days=float(rng.uniform(2, 9))
        )
    doubled = [read._replace(user_id=f"{copy} {read.user_id}") for read in log for copy in "ab"]
    once = {trend.topic: trend.score for trend in trends(log, contents) if trend.topic.startswith("alone")}
    twice = {trend.topic: trend.score for trend in trends(doubled, contents)}
    assert all(twice[topic] > score for topic, score in once.items())


@pytest.mark.parametrize(
    ("hours", "users"), [(0.1, 60_000), (0.5, 60), (6, 60), (12, 60), (24, 60), (48, 60), (96, 60), (200, 60)]
)
def test_a_young_site_has_no_trends_as_long_as_it_is_read_as_it_was(hours: float, users: float) -> None:
    contents = site(*"abcdefgh")
    assert trends(usual(contents, users=users, days=hours * HOUR), contents) == []


def test_a_burst_on_a_site_of_yesterday_trends() -> None:
    contents = site(*"abcdefgh")
    log = usual(contents, users=60, days=1) + reads_of(*of("c", contents), users=1_000, days=2 * HOUR)
    assert names(log, contents) == ["c"]


def test_of_a_site_without_a_past_what_stands_out_of_the_present_trends() -> None:
    contents = site("hot", "mild", "cold")
    log = reads_of(*of("hot", contents), users=400, days=0.1)
    log += reads_of(*of("mild", contents), users=50, days=0.1) + reads_of(*of("cold", contents), users=50, days=0.1)
    assert names(log, contents) == ["hot"]


def test_a_topic_with_the_same_users_every_day_does_not_trend() -> None:
    contents = site("novelty", "loyal", *"abcdef")
    loyal = [
        Read(f"fan {user}", f"loyal {user % 4}", day + hour * HOUR)
        for user in range(200)
        for day in range(14)
        for hour in (1, 9, 23)
    ]
    assert trends(usual(contents) + loyal, contents) == []


@given(seeds)
@settings(deadline=None, max_examples=50)
def test_a_site_of_two_users_has_no_trends_whatever_they_do(seed: int) -> None:
    log, contents = random_log(seed)
    rng = np.random.default_rng(seed)
    log = [read._replace(user_id=f"user {rng.integers(2)}") for read in log]
    assert trends(log, contents) == []


@pytest.mark.parametrize(("users", "trending"), [(1, []), (2, []), (3, ["quiet"])])
def test_it_takes_three_users_and_not_fifty_contents_to_make_a_topic_trend(users: int, trending: list[str]) -> None:
    quiet, others = site("quiet", contents=50), site(*"abcdefgh")
    log = [Read(f"fan {user}", content_id, 0.1) for user in range(users) for content_id in quiet]
    assert names(log + usual(others), quiet | others) == trending


def test_a_score_does_not_jump_while_a_burst_passes() -> None:
    contents = site(*"abcdefgh")
    burst = reads_of(*of("b", contents), users=300, days=0.5)
    scores = []
    for hours in range(24 * 3):
        moved = [read._replace(days_ago=read.days_ago + hours * HOUR) for read in burst]
        scores.append(sum(trend.score for trend in trends(usual(contents) + moved, contents)))
    assert scores[0] > 8
    assert scores[-1] == 0
    shown = [score for score in scores if score > 0]
    assert max(earlier - later for earlier, later in itertools.pairwise(shown)) < scores[0] / 20
    assert shown[-1] < 1.5


def test_a_topic_that_is_shown_stays_until_its_score_is_two_thirds_of_what_it_takes_to_be_shown() -> None:
    contents = site(*"abcdefgh")
    between = 0
    for users in range(1, 80):
        log = usual(contents) + reads_of(*of("b", contents), users=users, days=1)
        counts = [count for count in count_topics(log, contents) if count.topic == "b"]
        [score] = burst_scores(counts, np.zeros(1))
        assert names(log, contents) == (["b"] if score >= LEAST_SCORE else [])
        assert names_shown(log, contents, "b") == (["b"] if score >= LEAST_SCORE / 1.5 else [])
        between += LEAST_SCORE / 1.5 <= score < LEAST_SCORE
    assert between


def test_of_two_topics_of_a_burst_the_one_that_is_shown_stays() -> None:
    contents = {f"match {number}": Content(["world cup", "football"]) for number in range(5)}
    log = bursting(contents)
    assert [names_shown(log, contents, topic) for topic in ("football", "world cup")] == [["football"], ["world cup"]]


def names_shown(log: list[Read], contents: dict[str, Content], topic: str) -> list[str]:
    return [trend.topic for trend in trends(log, contents, shown=[(topic, None)])]


def test_each_language_is_compared_with_itself() -> None:
    english, german = site("eclipse", "tea", language="en"), site("Finsternis", "Tee", language="de")
    busy = [read for read in usual(english, users=2_000) if read.days_ago < 1]
    log = busy + usual(english) + usual(german) + reads_of(*of("Finsternis", german), users=100, days=1)
    contents = english | german
    assert [(trend.topic, trend.language) for trend in trends(log, contents)] == [("Finsternis", "de")]


@pytest.mark.parametrize(("n", "small"), [(50, 3), (20, 3), (6, 3), (4, 2), (2, 1)])
def test_a_small_language_has_its_share_beside_a_large_one(n: int, small: int) -> None:
    large, little = [f"english {number}" for number in range(60)], [f"dansk {number}" for number in range(3)]
    english, danish = site(*large, "rest", language="en"), site(*little, "andet", language="da")
    log = reads_of(*of("rest", english), users=2_000) + reads_of(*of("andet", danish), users=50)
    for number, topic in enumerate(large):
        log += reads_of(*of(topic, english), users=500 + 5 * number, days=1)
    for topic in little:
        log += reads_of(*of(topic, danish), users=20, days=1)
    published = trends(log, english | danish, n=n)
    assert len(published) == n
    assert sum(trend.language == "da" for trend in published) == small
    assert [trend.score for trend in published] == sorted((trend.score for trend in published), reverse=True)


def test_content_without_a_language_is_a_group_of_its_own() -> None:
    spoken, silent = site("tea", "milk", language="en"), site("photos", "maps")
    log = usual(spoken) + usual(silent) + reads_of(*of("photos", silent), users=200, days=1)
    assert [(trend.topic, trend.language) for trend in trends(log, spoken | silent)] == [("photos", None)]


def bursting(contents: dict[str, Content], *, per_content: int = 100) -> list[Read]:
    """On a site of other topics too, so many users on each of these contents within the last day."""
    others = site(*"abcdefgh")
    log = usual(others) + [read for content_id in contents for read in reads_of(content_id, users=per_content, days=1)]
    contents |= others
    return log


def test_topics_of_the_same_contents_are_shown_once() -> None:
    contents = {f"match {number}": Content(["world cup", "football", "sport"]) for number in range(5)}
    log = bursting(contents)
    assert len(names(log, contents)) == 1


def test_a_topic_that_is_nearly_all_within_a_higher_one_is_not_shown_beside_it() -> None:
    contents = {f"match {number}": Content(["world cup", *(["final"] if number < 3 else [])]) for number in range(6)}
    log = bursting(contents) + reads_of("essay", users=10, days=1)
    contents["essay"] = Content(["final"])
    assert names(log, contents) == ["world cup"]


def test_a_topic_with_readers_of_its_own_is_shown_beside_a_higher_one_that_it_overlaps() -> None:
    contents = {f"match {number}": Content(["world cup", *(["final"] if number < 2 else [])]) for number in range(6)}
    contents |= {f"election {number}": Content(["final"]) for number in range(2)}
    log = bursting(contents)
    assert names(log, contents) == ["world cup", "final"]


def test_a_topic_within_one_that_half_of_the_site_has_is_shown_beside_it() -> None:
    contents = {f"drama {number}": Content(["drama", *(["war"] if number < 5 else [])]) for number in range(20)}
    contents |= {f"war {number}": Content(["war"]) for number in range(1)} | site(*"abcd")
    log = reads_of(*of("drama", contents), users=300) + reads_of(*of("war", contents), users=10) + usual(contents)
    log += reads_of(*of("drama", contents), users=4_000, days=1) + reads_of(*of("war", contents), users=300, days=1)
    published = names(log, contents)
    assert published == ["drama", "war"]


@pytest.mark.parametrize("source", ["an author", "a content"])
def test_a_source_brings_one_topic_to_the_list_however_many_it_fills(source: str) -> None:
    topics = [f"spam {number}" for number in range(20)]
    if source == "an author":
        contents = {f"post {topic} {number}": Content([topic, "author:bob"]) for topic in topics for number in range(3)}
    else:
        contents = {"the post": Content(topics)}
        contents |= {f"other {topic}": Content([topic]) for topic in topics}
    log = bursting(contents, per_content=20)
    if source == "a content":
        log += reads_of("the post", users=200, days=1)
    assert len(names(log, contents)) == 1


def test_topics_of_different_authors_are_shown_beside_each_other() -> None:
    contents = {f"post {number}": Content([f"topic {number % 3}", f"author:{number % 3}"]) for number in range(9)}
    assert len(names(bursting(contents), contents)) == 3


def test_readers_of_one_author_count_half_beside_readers_of_several() -> None:
    contents = {
        "one": Content(["mine", "author:bob"]),
        "two": Content(["mine", "author:bob"]),
        "three": Content(["ours", "author:ann"]),
        "four": Content(["ours", "author:eve"]),
    }
    published = {trend.topic: trend.score for trend in trends(bursting(contents), contents)}
    assert published["mine"] == pytest.approx(published["ours"] / 2, rel=1e-3)


def test_a_site_of_one_author_has_trends_still() -> None:
    contents = {key: Content([*topics, "author:me"]) for key, (topics, _) in site(*"abcdefgh").items()}
    log = usual(site(*"abcdefgh")) + reads_of("b 0", "b 1", "b 2", users=100, days=1)
    assert names(log, contents) == ["b"]


def test_an_author_is_no_topic() -> None:
    contents = {f"post {number}": Content([f"author:{number % 3}", "news"]) for number in range(6)}
    log = bursting(contents)
    assert names(log, contents) == ["news"]


@pytest.mark.parametrize("n_topics", [1, 10, 100, 10_000])
def test_of_many_topics_that_nothing_happens_to_few_stand_out_by_chance(n_topics: int) -> None:
    scores = np.random.default_rng(3).standard_normal((200, n_topics))
    assert np.mean(np.sum(scores >= least_score(n_topics), axis=1)) < 4


@pytest.mark.parametrize("n_actions", [0, 1, MOST_ACTIONS, MOST_ACTIONS + 1, 2 * MOST_ACTIONS + 1, 50 * MOST_ACTIONS])
def test_of_a_log_of_any_size_no_more_than_the_limit_is_counted_and_no_less_than_half_of_it(n_actions: int) -> None:
    sample = user_sample(n_actions)
    assert n_actions / sample <= MOST_ACTIONS
    assert sample == 1 or n_actions / sample > MOST_ACTIONS / 2
    assert sample & (sample - 1) == 0
