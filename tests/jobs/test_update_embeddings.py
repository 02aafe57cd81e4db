import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray
from pgvector import Vector

from lib.adapters.embedding_store import Model, read_active_model, read_learned_map
from lib.adapters.item_vectors import read_item_vectors
from lib.adapters.services import Services
from lib.core.defaults import EMBEDDING_SIZE
from lib.core.taste.learned_map import map_users
from lib.errors import OutOfTime
from lib.jobs import embed_users as embed_module
from lib.jobs.build_model import model_is_due
from lib.jobs.embed_users import read_taste, update_users
from lib.time_limit import time_limit
from tests.jobs.site import Site, action

TWO_HOURS = timedelta(hours=2)
GENRES = ("comedy", "drama")


@pytest.fixture
def readers(site: Site) -> Site:
    """A site with content vectors of two genres, four items each, and six readers of each."""
    rng = np.random.default_rng(1)
    for genre, axis in zip(GENRES, np.eye(8)[:2], strict=True):
        for number in range(4):
            site.add_content(f"{genre}{number}", embedding=Vector(axis + 0.1 * rng.standard_normal(8)))
    fans = [(f"{genre} fan {fan}", genre) for genre in GENRES for fan in range(6)]
    site.act(*[action(fan, f"{genre}{number}") for fan, genre in fans for number in range(3)])
    return site


def embeddings(site: Site) -> dict[str, tuple[NDArray[np.float32], datetime, int]]:
    rows = site.query("SELECT user_id, embedding, updated_at, model_version FROM user_embeddings")
    return {user_id: (vector.to_numpy(), updated_at, version) for user_id, vector, updated_at, version in rows}


def updated_since(site: Site, moment: datetime) -> set[str]:
    return {user_id for user_id, (_, updated_at, _) in embeddings(site).items() if updated_at >= moment}


def item_vector(site: Site, content_id: str) -> NDArray[np.float32]:
    with site.services.database.transaction(vectors=True) as connection:
        model = read_active_model(connection)
        assert model is not None
        [vector] = read_item_vectors(connection, model.version, [content_id])
    return np.asarray(vector)


def learned_map(site: Site) -> NDArray[np.float64]:
    with site.services.database.transaction() as connection:
        model = read_active_model(connection)
        assert model is not None
        return read_learned_map(connection, model)


def let_time_pass(site: Site) -> None:
    """As if all of this had been received two hours ago, with a complete run after it."""
    site.query("UPDATE user_actions SET received_at = received_at - interval '2 hours'")
    site.embed()


def test_a_single_user_with_a_single_action_on_an_empty_database_has_a_fresh_embedding(site: Site) -> None:
    site.act(action("ann", "a"))
    before = datetime.now(UTC)
    summary = site.embed()
    assert (summary["users_updated"], summary["users_left"]) == (1, 0)
    [(user_id, updated_at)] = site.query(
        "SELECT user_id, updated_at FROM user_embeddings ORDER BY updated_at DESC LIMIT 10"
    )
    assert user_id == "ann"
    assert before <= updated_at <= datetime.now(UTC)


def test_a_site_without_users_is_no_work(site: Site) -> None:
    summary = site.embed()
    assert (summary["users_updated"], summary["users_left"], summary["items"]) == (0, 0, 0)


def test_an_embedding_is_a_unit_vector_of_our_own_size_near_what_the_user_read(readers: Site) -> None:
    readers.embed()
    embedding, _, _ = embeddings(readers)["comedy fan 0"]
    assert embedding.shape == (EMBEDDING_SIZE,)
    assert np.linalg.norm(embedding) == pytest.approx(1.0, abs=1e-5)
    assert embedding @ item_vector(readers, "comedy3") > 0.2 + embedding @ item_vector(readers, "drama3")


def test_without_any_content_vector_items_are_learned_from_who_read_what(site: Site) -> None:
    fans = [(f"{genre} fan {fan}", genre) for genre in GENRES for fan in range(6)]
    site.act(*[action(fan, f"{genre}{number}") for fan, genre in fans for number in range(4) if fan[-1] != str(number)])
    site.embed()
    embedding, _, _ = embeddings(site)["comedy fan 3"]
    assert embedding @ item_vector(site, "comedy3") > 0.2 + embedding @ item_vector(site, "drama3")


def test_a_negative_action_pushes_away(readers: Site) -> None:
    readers.act(action("grump", "drama0", "dislike"), action("grump", "drama1", "hide"))
    readers.embed()
    embedding, _, _ = embeddings(readers)["grump"]
    assert embedding @ item_vector(readers, "drama2") < -0.2


def test_what_the_model_does_not_know_says_nothing(readers: Site) -> None:
    readers.embed()
    readers.act(action("ann", "unknown"), action("bob", "unknown"), action("bob", "comedy0"))
    readers.embed()
    users = embeddings(readers)
    assert not users["ann"][0].any()
    comedy = item_vector(readers, "comedy0")[None]
    np.testing.assert_allclose(users["bob"][0], map_users(comedy, learned_map(readers))[0], atol=1e-6)


def test_only_users_who_acted_since_are_updated(readers: Site) -> None:
    let_time_pass(readers)
    before = datetime.now(UTC)
    readers.act(action("comedy fan 0", "drama0"))
    assert readers.embed()["users_updated"] == 1
    assert updated_since(readers, before) == {"comedy fan 0"}


def test_an_action_that_was_committed_while_a_run_was_under_way_is_not_passed_over(readers: Site) -> None:
    let_time_pass(readers)
    readers.act(action("comedy fan 0", "drama0"))
    readers.embed(now=datetime.now(UTC) + timedelta(seconds=60))
    before = datetime.now(UTC)
    readers.embed()
    assert updated_since(readers, before) == {"comedy fan 0"}


MODEL = Model(
    version=1,
    built_at=datetime(2030, 1, 1, tzinfo=UTC),
    actions=100,
    items=10,
    skipped=0,
    interest_half_life_days=30.0,
    position=2.5,
    learned="{}",
)


@pytest.mark.parametrize(
    ("hours_later", "actions", "due"),
    [
        pytest.param(23, 109, False, id="young and hardly longer"),
        pytest.param(24, 100, True, id="old"),
        pytest.param(0, 111, True, id="a tenth longer"),
    ],
)
def test_a_model_is_due_when_it_is_old_or_the_log_has_grown(hours_later: float, actions: int, due: bool) -> None:
    now = MODEL.built_at + timedelta(hours=hours_later)
    assert model_is_due(MODEL, now=now, actions=actions, max_age_hours=24) is due


def test_a_new_version_is_learned_when_the_log_has_grown_and_all_users_follow(readers: Site) -> None:
    first = readers.embed()["model_version"]
    let_time_pass(readers)
    readers.act(*[action("newcomer", f"item{number}") for number in range(5)])
    before = datetime.now(UTC)
    summary = readers.embed()
    assert summary["model_version"] > first
    assert updated_since(readers, before) == embeddings(readers).keys()
    assert {version for _, _, version in embeddings(readers).values()} == {summary["model_version"]}


def test_a_new_version_is_learned_when_the_last_is_a_day_old(readers: Site) -> None:
    first = readers.embed()["model_version"]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert readers.embed()["model_version"] == first
    assert readers.embed(now=tomorrow)["model_version"] > first


def test_a_user_whose_actions_are_gone_loses_his_embedding_at_the_next_version(readers: Site) -> None:
    readers.embed()
    readers.query("DELETE FROM user_actions WHERE user_id = 'comedy fan 0'")
    readers.embed(now=datetime.now(UTC) + timedelta(days=1))
    assert len(embeddings(readers)) == 11


def test_content_vectors_of_another_size_than_most_are_skipped_and_counted(readers: Site) -> None:
    readers.add_content("odd", "odder", embedding=Vector([1.0, 0.0]))
    readers.add_content("absent")
    readers.embed()
    with readers.services.database.transaction() as connection:
        model = read_active_model(connection)
    assert model is not None
    assert (model.items, model.skipped) == (8, 2)


def test_content_vectors_may_change_their_size_from_version_to_version(readers: Site) -> None:
    readers.embed()
    readers.query("UPDATE content SET embedding = '[1,2,3]'::vector")
    readers.embed(now=datetime.now(UTC) + timedelta(days=1))
    assert len(embeddings(readers)) == 12


def test_the_same_log_gives_the_same_embeddings_whatever_order_it_came_in(readers: Site) -> None:
    history = [action("ann", f"comedy{number}", days_ago=number) for number in range(4)]
    readers.act(*history)
    readers.act(*[element.replace('"ann"', '"bob"').replace("event", "again") for element in reversed(history)])
    readers.embed()
    users = embeddings(readers)
    np.testing.assert_allclose(users["ann"][0], users["bob"][0], atol=1e-6)


def test_interests_fade_as_the_log_teaches_and_as_a_setting_says(
    readers: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ann read a drama two days after a comedy."""
    readers.act(action("ann", "comedy1", days_ago=3), action("ann", "drama1", days_ago=1))
    monkeypatch.setattr("lib.core.taste.learning.choose_interest_half_life", lambda *_, **__: 0.25)
    forget_models(readers)
    readers.embed()
    learned = embedding_of(readers, "ann")
    assert readers.query("SELECT interest_half_life_days FROM recs_models WHERE active") == [(0.25,)]
    for days, same in ((0.25, True), (100.0, False)):
        settings = dataclasses.replace(readers.services.settings, interest_half_life_days=days)
        told = Site(Services(settings), readers.redis)
        forget_models(told)
        told.embed()
        assert np.allclose(embedding_of(told, "ann"), learned, atol=1e-6) == same
        told.services.close()


@pytest.mark.parametrize("connections", [1, 2, 4])
def test_users_that_are_updated_some_at_a_time_get_what_they_would_together(
    readers: Site, monkeypatch: pytest.MonkeyPatch, connections: int
) -> None:
    readers.act(action("grump", "drama0", "dislike"), action("ann", "unknown"))
    readers.embed()
    together = embeddings(readers)
    readers.query("DELETE FROM user_embeddings")
    monkeypatch.setattr(embed_module, "AT_ONCE", 3)
    settings = dataclasses.replace(readers.services.settings, database_max_connections=connections)
    some = Site(Services(settings), readers.redis)
    assert some.embed()["users_updated"] == len(together) == 14
    some.services.close()
    apart = embeddings(readers)
    assert apart.keys() == together.keys()
    for user_id, (embedding, _, _) in apart.items():
        np.testing.assert_allclose(embedding, together[user_id][0], atol=1e-6)


def test_a_time_limit_holds_for_all_of_the_threads_that_update_users(readers: Site) -> None:
    readers.embed()
    settings = readers.services.settings
    with readers.services.database.transaction() as connection:
        model = read_active_model(connection)
        assert model is not None
        taste = read_taste(connection, model, settings)
    with time_limit(0.0), pytest.raises(OutOfTime):
        update_users(readers.services, ["comedy fan 0"], taste, now=datetime.now(UTC))


def forget_models(site: Site) -> None:
    site.query("DELETE FROM recs_models")


def embedding_of(site: Site, user_id: str) -> NDArray[np.float32]:
    vector, _, _ = embeddings(site)[user_id]
    return vector
