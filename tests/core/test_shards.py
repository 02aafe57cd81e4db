import pytest

from lib.core.schedules import MOST_PARTS, UPDATE_EMBEDDINGS, WARM_CACHE
from lib.core.shards import (
    CLOCK_LEEWAY_SECONDS,
    STRAGGLING_SECONDS,
    LatestRun,
    RunProgress,
    Shard,
    ShardProgress,
    flow_key,
    run_to_do,
    shard_deduplication_id,
    shard_of,
    slot_of,
    stragglers,
)

APP_URL = "https://shop.example.com"
HOUR = 3_600
NOON = 472_222 * HOUR


@pytest.mark.parametrize(
    ("body", "shard"),
    [
        pytest.param({"run": 7, "shard": 0}, Shard(7, 0), id="a first part"),
        pytest.param({"run": 7, "shard": 3, "part": 2}, Shard(7, 3, 2), id="a continuation"),
        pytest.param({"run": 7, "shard": 3, "part": MOST_PARTS + 1}, None, id="beyond the last part"),
        pytest.param({"run": 7, "shard": 3, "part": None}, None, id="no part"),
        pytest.param({"run": 7}, None, id="no shard"),
        pytest.param({"shard": 3}, None, id="no run"),
        pytest.param({"run": 7, "shard": -1}, None, id="negative"),
        pytest.param({"run": 7, "shard": 10**9}, None, id="more than there are"),
        pytest.param({"run": 7, "shard": True}, None, id="true"),
        pytest.param({"run": NOON * 1_000, "shard": 1}, None, id="milliseconds"),
    ],
)
def test_a_body_says_which_shard_it_asks_for(body: dict[str, object], shard: Shard | None) -> None:
    assert shard_of(body, NOON + 0.5) == shard


def test_a_shard_says_in_its_body_which_it_is_up_to_the_last_part() -> None:
    shard: Shard | None = Shard(7, 3)
    for part in range(1, MOST_PARTS + 1):
        assert shard is not None
        assert shard_of(shard.body, NOON) == Shard(7, 3, part)
        shard = shard.next
    assert shard is None


def test_no_two_jobs_hosts_runs_shards_or_parts_share_a_deduplication_id() -> None:
    shards = [Shard(run, number, part) for run in (1, 11) for number in (1, 11) for part in (1, 11)]
    hosts, jobs = (APP_URL, "http://localhost:3000"), (WARM_CACHE, UPDATE_EMBEDDINGS)
    ids = {shard_deduplication_id(host, job, shard) for host in hosts for job in jobs for shard in shards}
    assert len(ids) == len(hosts) * len(jobs) * len(shards)
    assert not any(":" in name for name in ids)
    assert len({flow_key(host) for host in hosts}) == len(hosts)


def test_a_coordinator_that_comes_late_or_whose_clock_is_a_little_behind_means_the_same_hour() -> None:
    for seconds in (-CLOCK_LEEWAY_SECONDS, -1, 0, 1, 1_800, HOUR - CLOCK_LEEWAY_SECONDS - 1):
        assert slot_of(NOON + seconds, HOUR) == NOON
    assert slot_of(NOON + HOUR - CLOCK_LEEWAY_SECONDS, HOUR) == NOON + HOUR


ELEVEN, ONE = NOON - HOUR, NOON + HOUR


@pytest.mark.parametrize(
    ("asked", "latest", "run", "is_begun"),
    [
        pytest.param(NOON, None, NOON, False, id="the very first"),
        pytest.param(NOON, LatestRun(ELEVEN, True), NOON, False, id="the next hour's"),
        pytest.param(NOON, LatestRun(ELEVEN, False), NOON, False, id="the next hour's, though one was not done"),
        pytest.param(NOON, LatestRun(NOON, False), NOON, True, id="the same"),
        pytest.param(NOON, LatestRun(NOON, True), NOON, True, id="the same, which is done"),
        pytest.param(NOON, LatestRun(ONE, False), ONE, True, id="an older one than the latest"),
        pytest.param(NOON + 30, LatestRun(NOON, False), NOON, True, id="one beside another that is not done"),
        pytest.param(NOON + 30, LatestRun(NOON, True), NOON + 30, False, id="a further one"),
        pytest.param(NOON + 30, LatestRun(ELEVEN, True), NOON, False, id="the first of its hour"),
        pytest.param(NOON + 30, LatestRun(NOON + 30, True), NOON + 30, True, id="the further one once more"),
    ],
)
def test_a_coordinator_begins_a_run_or_goes_on_with_the_latest(
    asked: int, latest: LatestRun | None, run: int, is_begun: bool
) -> None:
    assert run_to_do(asked, latest, HOUR) == (run, is_begun)


LATE = STRAGGLING_SECONDS + 1


def run_with(*left: ShardProgress, begun_ago: float = 9_000.0, touched_ago: float = 1.0) -> RunProgress:
    return RunProgress(NOON, NOON - begun_ago, NOON - touched_ago, None, 9, 900, 500, left)


def test_a_shard_that_was_begun_and_has_not_got_on_for_long_straggles_the_longest_first() -> None:
    late, later = ShardProgress(1, 100, 40, NOON - LATE), ShardProgress(2, 100, 0, NOON - 2 * LATE)
    at_work, waiting = ShardProgress(3, 100, 10, NOON - LATE + 2), ShardProgress(4, 100, 0, None)
    assert stragglers(run_with(late, later, at_work, waiting), NOON) == [later, late]


def test_shards_that_nobody_has_begun_straggle_when_nothing_gets_on_any_more() -> None:
    waiting, late = ShardProgress(4, 100, 0, None), ShardProgress(1, 100, 40, NOON - LATE)
    assert stragglers(run_with(waiting, late, touched_ago=LATE), NOON) == [late, waiting]
    assert stragglers(run_with(waiting, begun_ago=LATE, touched_ago=NOON), NOON) == [waiting], "nothing was ever begun"
    assert stragglers(run_with(waiting, begun_ago=LATE - 2, touched_ago=NOON), NOON) == []
