import pytest

from lib.core.counts import counts_of_a_run, hit_rate, job_counts, last_hours


def test_a_run_counts_itself_its_time_and_what_adds_up() -> None:
    summary = {"claimed": 5, "applied": 3, "duplicates": 2, "rejected": 0, "pending": 70, "model_version": 9}
    counts = counts_of_a_run("process_user_actions", outcome="ok", duration_ms=40, summary=summary)
    assert counts == {
        "process_user_actions:runs": 1,
        "process_user_actions:ms": 40,
        "claimed": 5,
        "applied": 3,
        "duplicates": 2,
    }


def test_a_run_that_failed_counts_as_that_too() -> None:
    counts = counts_of_a_run("warm_cache", outcome="failed: Redis doesn't answer", duration_ms=9, summary={})
    assert job_counts(counts, "warm_cache") == {"runs": 1, "failed": 1, "ms": 9, "longest_ms": 0}


def test_the_last_day_ends_with_the_hour_that_has_begun() -> None:
    hours = last_hours(100 * 3_600 + 1)
    assert (len(hours), hours[0], hours[-1]) == (24, 77, 100)


@pytest.mark.parametrize(
    ("hours", "rate"),
    [
        ([], None),
        ([{}], None),
        ([{"cache_hits": 3}, {"cache_misses": 1}], 0.75),
        ([{"cache_misses": 2}], 0.0),
        ([{"cache_hits": 2}], 1.0),
    ],
)
def test_the_hit_rate_is_of_all_reads(hours: list[dict[str, int]], rate: float | None) -> None:
    assert hit_rate(hours) == rate
