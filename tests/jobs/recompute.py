"""Users' lists as they follow from the whole log and the pure core, without anything that production keeps."""

import dataclasses
from datetime import datetime
from typing import Any

import numpy as np

from lib.adapters.embedding_store import Model, read_active_model, read_content_vectors, read_training_actions
from lib.core.ranker.features import feature_names
from lib.core.ranker.learned import Learned, learned_as_text, learned_from_text
from lib.core.ranker.log import Mask
from lib.core.ranker.profiles import ATTRIBUTE_NAMES
from lib.core.ranker.serving import Ranked, rank_users
from lib.core.ranker.site import shared_pool, site_at
from lib.core.ranker.softmax_ranker import Model as Ranker
from lib.core.ranker.trained import INTERACTING, Trained
from lib.jobs.build_model import Training, ranker_vectors, training_of
from lib.jobs.document import LIST_LENGTH
from tests.jobs.site import Site

Items = list[dict[str, Any]]


def recomputed(site: Site, *, now: datetime) -> dict[str, Items]:
    """The list of everybody in the log, ranked by what the active model learned."""
    with site.services.database.transaction(vectors=True) as connection:
        rows = read_training_actions(connection, limit=1_000_000)
        training = training_of(rows, read_content_vectors(connection), site.services.settings)
    whole = site_at(training.log, now.timestamp(), ranker_vectors(training))
    items = dataclasses.replace(whole.items, available=_available(site, training))
    whole = dataclasses.replace(whole, items=items, pool=shared_pool(items))
    users = sorted({user_id for user_id, *_ in rows})
    ranked = rank_users(whole, learned(site).trained, np.arange(len(users)), n=LIST_LENGTH)
    return {user_id: _items(training, list_) for user_id, list_ in zip(users, ranked, strict=True)}


def _available(site: Site, training: Training) -> Mask:
    allowed = {content_id for (content_id,) in site.query("SELECT content_id FROM content WHERE available")}
    return np.array([content_id in allowed for content_id in training.content_ids])


def _items(training: Training, ranked: Ranked) -> Items:
    return [
        {
            "content_id": training.content_ids[item],
            "score": score,
            "source": source,
            **({} if similar < 0 else {"similar_to": training.content_ids[similar]}),
        }
        for item, score, source, similar in zip(
            ranked.items, ranked.scores, ranked.sources, ranked.similar_to, strict=True
        )
    ]


def assert_same_lists(found: dict[str, Items], wanted: dict[str, Items]) -> None:
    """The same items with the same scores and reasons, in the same order; equal scores may change places."""
    assert found.keys() == wanted.keys()
    for user_id, items in found.items():
        by_id = {item["content_id"]: item for item in wanted[user_id]}
        assert by_id.keys() == {item["content_id"] for item in items}, user_id
        scores = np.array([item["score"] for item in items])
        np.testing.assert_allclose(scores, [item["score"] for item in wanted[user_id]], atol=2e-6, err_msg=user_id)
        np.testing.assert_allclose(scores, [by_id[item["content_id"]]["score"] for item in items], atol=2e-6)
        for item in items:
            assert item == {**by_id[item["content_id"]], "score": item["score"]}, user_id


def active_model(site: Site) -> Model:
    with site.services.database.transaction() as connection:
        model = read_active_model(connection)
    assert model is not None
    return model


def learned(site: Site) -> Learned:
    return learned_from_text(active_model(site).learned)


def serve_a_ranker(site: Site, *, seed: int = 7) -> None:
    """As if replaying had taught the active model one: any weights do, to see that both compute the same by them."""
    rng = np.random.default_rng(seed)
    names = feature_names(2)
    ranker = Ranker(
        mean=rng.standard_normal(len(names)).astype(np.float32),
        scale=rng.uniform(0.2, 1.0, len(names)).astype(np.float32),
        attribute_mean=rng.standard_normal(len(ATTRIBUTE_NAMES)).astype(np.float32),
        attribute_scale=rng.uniform(0.2, 0.5, len(ATTRIBUTE_NAMES)).astype(np.float32),
        interacting=np.array([names.index(name) for name in INTERACTING]),
        weights=0.3 * rng.standard_normal(len(names) + len(INTERACTING) * len(ATTRIBUTE_NAMES)),
    )
    trained = Trained(position=2.0, model=ranker, gain=0.1, slices=5, users=200, window_seconds=86_400.0)
    store(site, dataclasses.replace(learned(site), trained=trained))


def store(site: Site, learned: Learned) -> None:
    """As what the active model learned."""
    site.query(
        "UPDATE recs_models SET learned = %s, half_life_position = %s WHERE active",
        learned_as_text(learned),
        learned.trained.position,
    )
