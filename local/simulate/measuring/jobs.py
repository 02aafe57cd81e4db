"""The jobs that run every few hours."""

from dataclasses import replace

from lib.core.schedules import REFRESH_COLD_START, UPDATE_EMBEDDINGS, WARM_CACHE
from lib.jobs.warm_cache import CHUNK
from local.simulate.measuring.laboratory import Laboratory
from local.simulate.measuring.shares import Run, solve
from local.simulate.usage import Usage

QUIET_SECONDS = 280.0
_NOT_WRITTEN = {"rows_written": 0.0, "index_writes": 0.0, "wal_bytes": 0.0}


def measure_embeddings(lab: Laboratory) -> dict[str, Usage]:
    """A run that updates everybody and one that finds nobody, of users who have an embedding already."""
    _forget_drained_users(lab)
    lab.deliver(UPDATE_EMBEDDINGS)
    runs: list[Run] = []
    for everybody in (True, False) * (1 if lab.quick else 3):
        days = -1_000 if everybody else 1
        lab.execute("UPDATE user_embeddings SET updated_at = now() + %s * interval '1 day'", days)
        users = lab.number("SELECT count(*) FROM user_embeddings") if everybody else 0
        # What was read until then no longer counts: everything may be missing.
        lab.execute("DELETE FROM recs_state WHERE name = 'embeddings_read_until'")
        used = lab.measure(lambda: lab.deliver(UPDATE_EMBEDDINGS))
        runs.append(({"embedding_run": 1, "embedded_user": users}, used))
    return solve(("embedding_run", "embedded_user"), runs)


def measure_warm(lab: Laboratory) -> dict[str, Usage]:
    """Runs of which nobody, half a round of users, and some rounds are active."""
    runs: list[Run] = []
    rounds = (0.0, 0.1, 0.2) if lab.quick else (0.0, 0.5, 3.0)
    for share in rounds * (1 if lab.quick else 2):
        users = int(share * CHUNK)
        set_active(lab, users)
        used = lab.measure(lambda: lab.deliver(WARM_CACHE))
        runs.append(({"warm_run": 1, "warm_chunk": -(-users // CHUNK), "warmed_user": users}, used))
    return solve(("warm_run", "warm_chunk", "warmed_user"), runs)


def set_active(lab: Laboratory, users: int) -> None:
    """The first of the site's users have acted just now, and nobody else."""
    lab.execute(
        "UPDATE user_actions SET received_at = now() - interval '1 day' WHERE received_at > now() - interval '1 day'"
    )
    lab.execute(
        "UPDATE user_actions SET received_at = now(), occurred_at = now() WHERE event_id IN "
        "(SELECT min(event_id) FROM user_actions GROUP BY user_id ORDER BY user_id LIMIT %s)",
        users,
    )


def measure_refresh(lab: Laboratory) -> dict[str, Usage]:
    """Of a log with nothing too old in it, and with some that is."""
    refresh = lab.measure_often(2, lambda: lab.deliver(REFRESH_COLD_START))
    old = lab.sizes.actions // 4
    lab.execute(
        "UPDATE user_actions SET received_at = now() - interval '400 days' WHERE event_id IN "
        "(SELECT event_id FROM user_actions WHERE event_id LIKE 'event-%%' ORDER BY event_id LIMIT %s)",
        old,
    )
    pruning = lab.measure(lambda: lab.deliver(REFRESH_COLD_START))
    return {"refresh": refresh, "pruned_action": 1 / old * (pruning - refresh)}


def measure_learning(lab: Laboratory, embedded_user: Usage) -> dict[str, Usage]:
    """New models, each in as many parts as it takes, of the log as it is and of a third of it. What is written is a
    matter of the contents, and not of the actions."""
    runs: list[Run] = []
    for one_in in (1, 3):
        lab.execute("DELETE FROM user_actions WHERE abs(hashtext(user_id)) %% %s <> 0", one_in)
        lab.execute("VACUUM ANALYZE user_actions")
        used = _learn(lab) - lab.number("SELECT count(DISTINCT user_id) FROM user_actions") * embedded_user
        actions = lab.number("SELECT count(*) FROM user_actions")
        contents = lab.number("SELECT items FROM recs_models WHERE active")
        runs.append(({"learning": 1, "learned_action": actions, "learned_content": contents}, used))
    written = solve(("learned_content",), runs)["learned_content"]
    times = [(counts, replace(used, **_NOT_WRITTEN)) for counts, used in runs]
    return solve(("learning", "learned_action"), times) | {
        "learned_content": Usage(**{name: getattr(written, name) for name in _NOT_WRITTEN})
    }


def _learn(lab: Laboratory) -> Usage:
    """Its parts are counted by how long they take, and not as messages."""
    lab.execute("UPDATE recs_models SET actions = 1")

    def learn() -> None:
        lab.deliver(UPDATE_EMBEDDINGS)
        lab.stage.wait_until_quiet(QUIET_SECONDS)

    return replace(lab.measure(learn), messages=0.0, invocations=0.0)


def _forget_drained_users(lab: Laboratory) -> None:
    """Their histories are shorter than those of the site's own."""
    lab.execute("DELETE FROM user_actions WHERE event_id NOT LIKE 'event-%'")
    lab.execute("VACUUM ANALYZE user_actions")
