"""Stored popularity is a function of the log, however its events came and went."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lib.jobs import prune_actions as prune_module
from lib.jobs.prune_actions import prune_old_actions
from lib.jobs.run import Deadline
from tests.jobs.site import Site, action, assert_popularity_follows_from_the_log


@dataclass(frozen=True)
class Push:
    """One action on the list."""

    event_id: int
    user_id: str
    content_id: str
    name: str
    days_ago: float


@dataclass(frozen=True)
class Drain:
    """What is on the list goes into the log."""


@dataclass(frozen=True)
class Prune:
    """Every event of these users that is in the log grows too old for it."""

    user_ids: frozenset[str]


USERS, CONTENTS = ["ann", "bob"], ["a", "b"]
pushes = st.builds(
    Push,
    event_id=st.integers(0, 15),  # few: the same id comes again, before and after it was pruned
    user_id=st.sampled_from(USERS),
    content_id=st.sampled_from(CONTENTS),
    name=st.sampled_from(["view", "hide"]),
    days_ago=st.sampled_from([0.0, 0.01, 0.5, 3.0, 90.0]) | st.floats(0, 1000),
)
prunes = st.builds(Prune, st.frozensets(st.sampled_from(USERS), min_size=1))
histories = st.lists(st.one_of(pushes, pushes, st.just(Drain()), prunes), min_size=8, max_size=25)
HIDDEN_BEFORE_IT_WAS_READ = [Push(1, "ann", "a", "hide", 2.0), Drain(), Push(2, "ann", "a", "view", 1.0)]


def run(site: Site, step: Push | Drain | Prune) -> None:
    if isinstance(step, Push):
        site.push(action(step.user_id, step.content_id, step.name, days_ago=step.days_ago, id=step.event_id))
    elif isinstance(step, Drain):
        site.drain()
    else:
        old = "UPDATE user_actions SET received_at = now() - interval '1000 days' WHERE user_id = ANY(%s)"
        site.query(old, sorted(step.user_ids))
        prune_old_actions(site.services, datetime.now(UTC), Deadline.after(60))


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=histories)
@example(history=HIDDEN_BEFORE_IT_WAS_READ)
def test_stored_popularity_equals_a_recompute_from_the_log(
    site: Site, monkeypatch: pytest.MonkeyPatch, history: list[Push | Drain | Prune]
) -> None:
    monkeypatch.setattr(prune_module, "EVENTS_AT_ONCE", 2)  # of several events of a pair each goes by itself
    site.query("TRUNCATE user_actions, recs_popularity")
    site.redis.execute("DEL", "pending_user_actions")
    for step in [*history, Drain()]:
        run(site, step)
        assert_popularity_follows_from_the_log(site)
