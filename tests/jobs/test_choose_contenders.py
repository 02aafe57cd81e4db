"""Whatever users do after contenders were chosen, the pool is what looking at the whole catalogue would give."""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from lib.adapters import candidate_pool as pool_module
from lib.adapters.candidate_pool import read_pool
from lib.adapters.catalogue import decay_parameters
from lib.adapters.contender_store import read_chosen, read_met
from lib.adapters.database import QUERIES, Connection
from lib.adapters.embedding_store import read_active_model
from lib.adapters.services import Services
from lib.core.contenders import Met
from lib.core.defaults import HALF_LIVES_HOURS
from lib.core.pools import pools_of
from lib.core.ranker import site as site_module
from lib.errors import PostgresUnavailable
from lib.jobs import choose_contenders as job_module
from lib.jobs.choose_contenders import choose_contenders
from lib.jobs.forget_user import forget_user
from lib.jobs.run import Deadline
from lib.jobs.warm_cache import warm_cache
from lib.settings import Settings
from tests.jobs.site import Site, action

LANGUAGES = (None, "en", "de")
CONTENTS, USERS = 90, 60


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_module, "_PER_HALF_LIFE", 4)
    monkeypatch.setattr(site_module, "_NEWEST", 3)


@pytest.fixture
def busy(site: Site) -> Site:
    """Contents in two languages and in none, of which all but the last ten were met before the model was built."""
    for number in range(CONTENTS):
        site.add_content(f"item {number:02}", language=("en", "en", "de", None)[number % 4])
    act(site, np.random.default_rng(1), 800, CONTENTS - 10, days=40.0)
    site.embed(seconds=0)
    return site


def act(site: Site, rng: np.random.Generator, count: int, contents: int, *, days: float) -> None:
    site.act(*made(rng, count, contents, days=days))


def made(rng: np.random.Generator, count: int, contents: int, *, days: float) -> list[str]:
    users, ages = rng.integers(0, USERS, count), days * rng.random(count)
    numbers = (contents * rng.random(count) ** 2).astype(int)
    names = rng.choice(["view", "like", "hide"], count)
    return [
        action(f"user {user}", f"item {number:02}", name, days_ago=age)
        for user, number, name, age in zip(users, numbers, names, ages, strict=True)
    ]


def pools(site: Site, monkeypatch: pytest.MonkeyPatch, *, by_contenders: bool) -> list[list[str]]:
    """The pool of each language, by contenders alone or without any."""

    def refuse(connection: Connection, version: int | None, *, language: str | None) -> Iterator[Met]:
        raise AssertionError("the contenders did not suffice")

    now = datetime.now(UTC).timestamp()
    with monkeypatch.context() as patch, site.services.database.transaction() as connection:
        patch.setattr(pool_module, "read_met", refuse if by_contenders else read_met)
        if not by_contenders:
            patch.setattr(pool_module, "read_chosen", lambda _: None)
        model = read_active_model(connection)
        version = model.version if model else None
        return [read_pool(connection, version, language=language, now=now, new_since=now) for language in LANGUAGES]


def assert_contenders_suffice(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    found = pools(site, monkeypatch, by_contenders=True)
    assert found == pools(site, monkeypatch, by_contenders=False)
    assert all(found)
    assert most_popular(site, by_contenders=True) == most_popular(site, by_contenders=False)


def most_popular(site: Site, *, by_contenders: bool) -> list[list[tuple[Any, ...]]]:
    """The first of each language at each half-life, among the contenders or everything."""
    now = datetime.now(UTC).timestamp() // 600 * 600
    query = QUERIES["popular_contenders" if by_contenders else "popular"]
    with site.services.database.transaction() as connection:
        return [
            connection.execute(
                query, {"n": 4, "language": language, "pools": pools_of(language), **decay_parameters(now, position)}
            ).fetchall()
            for language in LANGUAGES
            for position in range(len(HALF_LIVES_HOURS))
        ]


def test_once_a_model_is_built_contenders_are_chosen_by_it(busy: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_contenders_suffice(busy, monkeypatch)
    [(count,)] = busy.query("SELECT count(*) FROM recs_contenders WHERE pool = 'all'")
    assert count < CONTENTS - 20


@pytest.mark.parametrize("seed", range(4))
def test_as_users_act_the_pool_stays_that_of_the_whole_catalogue(
    busy: Site, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(4):
        act(busy, rng, int(rng.integers(1, 40)), CONTENTS, days=float(rng.choice([0.1, 50.0])))
        assert_contenders_suffice(busy, monkeypatch)


@pytest.mark.parametrize("seed", range(3))
def test_as_drains_write_at_once_the_pool_stays_that_of_the_whole_catalogue(
    busy: Site, settings: Settings, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    few = dataclasses.replace(settings, claim_max_elements=5)
    drains = [dataclasses.replace(busy, services=Services(few)) for _ in range(3)]
    busy.push(*made(np.random.default_rng(seed), 90, CONTENTS, days=[0.1, 5.0, 50.0][seed]))
    with ThreadPoolExecutor() as threads:
        applied = [summary["applied"] for summary in threads.map(Site.drain, drains)]
    for drain in drains:
        drain.services.close()
    assert sum(applied) == 90
    assert_contenders_suffice(busy, monkeypatch)


def test_as_users_are_forgotten_the_pool_stays_that_of_the_whole_catalogue(
    busy: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user in range(4):
        forget_user(busy.services, f"user {user}", Deadline.after(60))
        act(busy, np.random.default_rng(user), 5, CONTENTS, days=1.0)
        assert usual_pools(busy) == pools(busy, monkeypatch, by_contenders=False)


def usual_pools(site: Site) -> list[list[str]]:
    """As a read gets them."""
    now = datetime.now(UTC).timestamp()
    with site.services.database.transaction() as connection:
        model = read_active_model(connection)
        version = model.version if model else None
        return [read_pool(connection, version, language=language, now=now, new_since=now) for language in LANGUAGES]


def generation_of(site: Site) -> int:
    with site.services.database.transaction() as connection:
        chosen = read_chosen(connection)
    return 0 if chosen is None else chosen.generation


def test_a_drain_chooses_anew_only_when_there_are_many_more_contenders(
    busy: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = generation_of(busy)
    act(busy, np.random.default_rng(5), 100, CONTENTS, days=0.1)
    assert generation_of(busy) == before
    monkeypatch.setattr(job_module, "GROWTH", 0)
    monkeypatch.setattr(job_module, "SLACK", 40)
    act(busy, np.random.default_rng(6), 1, CONTENTS, days=0.1)
    assert generation_of(busy) == before + 1
    assert_contenders_suffice(busy, monkeypatch)


def test_warming_chooses_anew(busy: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = generation_of(busy)
    warm_cache(busy.services, datetime.now(UTC), Deadline.after(60))
    assert generation_of(busy) == before + 1
    assert_contenders_suffice(busy, monkeypatch)


def test_the_first_drain_chooses(site: Site) -> None:
    assert generation_of(site) == 0
    site.act(action("ann", "a"))
    assert generation_of(site) == 1


def test_actions_are_in_the_log_though_contenders_cannot_be_chosen(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise PostgresUnavailable("away")

    monkeypatch.setattr(job_module, "choose_contenders", fail)
    assert site.act(action("ann", "a"))["applied"] == 1


def test_content_that_becomes_available_is_in_the_pool_once_contenders_are_chosen(
    busy: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy.query("UPDATE content SET available = false WHERE content_id < 'item 06'")
    choose_contenders(busy.services)
    busy.query("UPDATE content SET available = true")
    choose_contenders(busy.services)
    assert_contenders_suffice(busy, monkeypatch)
    assert "item 00" in pools(busy, monkeypatch, by_contenders=True)[0]


def test_before_there_is_a_model_contenders_serve_as_well(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(CONTENTS):
        site.add_content(f"item {number:02}", language="en")
    act(site, np.random.default_rng(1), 100, CONTENTS, days=40.0)
    choose_contenders(site.services)
    act(site, np.random.default_rng(2), 10, CONTENTS, days=40.0)
    [everything, english, _] = usual_pools(site)
    assert everything == english
    assert [everything, english] == pools(site, monkeypatch, by_contenders=False)[:2]
