"""Users' lists as they follow from the whole log and the pure core, without anything that production keeps."""

import dataclasses
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from lib.adapters.embedding_store import Model, read_active_model
from lib.adapters.training_data import read_training_actions
from lib.core import exploration
from lib.core.defaults import TEXT_SIZE
from lib.core.diversity import Topics, Variety
from lib.core.embeddings import TextProjection, learn_text_projection
from lib.core.ranker.features import feature_names
from lib.core.ranker.items import Items as SiteItems
from lib.core.ranker.learned import Learned, learned_as_text, learned_from_text
from lib.core.ranker.log import DAY, Mask, Vectors
from lib.core.ranker.profiles import ATTRIBUTE_NAMES, profiles_of
from lib.core.ranker.serving import Arrangement, Ranked, rank_users
from lib.core.ranker.site import Site as Whole
from lib.core.ranker.site import shared_pool, site_at
from lib.core.ranker.softmax_ranker import Model as Ranker
from lib.core.ranker.trained import INTERACTING, Trained
from lib.core.ranker.vectors import co_read_vectors
from lib.core.taste.learning import item_vectors
from lib.core.taste.new_items import UserTastes, learn_new_item_taste, user_tastes
from lib.jobs.document import LIST_LENGTH
from lib.jobs.gather_training import Training, training_of
from tests.jobs.site import Site

Items = list[dict[str, Any]]
Content = dict[str, Vectors]  # the app's own vectors


def recomputed(site: Site, *, now: datetime) -> dict[str, Items]:
    """The list of everybody in the log, ranked by what the active model learned. Nobody has acted since it was built,
    but content may have come."""
    settings, model = site.services.settings, active_model(site)
    with site.services.database.transaction(vectors=True) as connection:
        actions = read_training_actions(connection, limit=1_000_000)
    rows = site.query("SELECT content_id, embedding FROM content ORDER BY content_id")
    content = {content_id: vector.to_numpy() for content_id, vector in rows if vector is not None}
    stored = site.query("SELECT content_id FROM recs_items WHERE version = %s", model.version)
    known = {content_id: content[content_id] for (content_id,) in stored if content_id in content}
    projection = learn_text_projection(_of_commonest_size(known), size=TEXT_SIZE)
    everything = [content_id for content_id, _ in rows]
    training = training_of(actions, everything, _text(everything, projection, content), settings)
    at_building = training_of(actions, list(known), _text(list(known), projection, known), settings)
    text = training.text
    whole = site_at(training.log, now.timestamp(), [co_read_vectors, lambda *_: text])
    items = dataclasses.replace(whole.items, available=_available(site, training))
    pool = shared_pool(items) | _new_ones(site, training, items, now)
    whole = dataclasses.replace(whole, items=items, pool=pool)
    users = sorted(user_id for (user_id,) in site.query("SELECT DISTINCT user_id FROM user_actions"))
    ranked = rank_users(
        whole,
        learned(site).trained,
        np.arange(len(users)),
        n=LIST_LENGTH,
        arrangement=Arrangement(
            tastes=_tastes(whole, training, at_building, text, model, learned(site)),
            variety=Variety(_topics(site, training), text, settings.topic_share, settings.author_share),
            new_per_page=settings.new_items_per_page,
        ),
    )
    return {user_id: _items(training, list_) for user_id, list_ in zip(users, ranked, strict=True)}


def _of_commonest_size(content: Content) -> Vectors:
    [(size, _)] = Counter(len(vector) for vector in content.values()).most_common(1)
    return np.array([vector for vector in content.values() if len(vector) == size])


def _text(content_ids: list[str], projection: TextProjection, content: Content) -> Vectors:
    """What content says (n, TEXT_SIZE), on the axes of what there was when the model was built."""
    absent = np.zeros(len(projection.centre), np.float32)
    said = [content.get(content_id, absent) for content_id in content_ids]
    return projection.of(np.array([vector if len(vector) == len(absent) else absent for vector in said]))


def _tastes(
    whole: Whole, training: Training, at_building: Training, text: Vectors, model: Model, known: Learned
) -> UserTastes:
    """Learned anew from the whole log as of the building, and applied to everybody."""
    assert known.new_items is not None
    built_at, half_life_seconds = model.built_at.timestamp(), model.interest_half_life_days * DAY
    vectors = item_vectors(at_building.log, at_building.text)
    taste, circles = learn_new_item_taste(
        at_building.log,
        built_at,
        at_building.text,
        vectors,
        half_life_seconds=half_life_seconds,
        circle_reads=known.new_items.circle_reads,
    )
    circle_of = dict(zip(at_building.content_ids, circles, strict=True))
    nothing = np.zeros(circles.shape[1], np.float32)
    return user_tastes(
        taste,
        profiles_of(whole.reads, np.arange(len(whole.reads.ends))),
        whole.items.first_seen,
        text,
        np.array([circle_of.get(content_id, nothing) for content_id in training.content_ids]),
        whole.now,
        half_life_seconds=half_life_seconds,
    )


def _available(site: Site, training: Training) -> Mask:
    allowed = {content_id for (content_id,) in site.query("SELECT content_id FROM content WHERE available")}
    return np.array([content_id in allowed for content_id in training.content_ids])


def _topics(site: Site, training: Training) -> list[Topics]:
    topics_of = dict(site.query("SELECT content_id, topics FROM content"))
    return [frozenset(topics_of.get(content_id, ())) for content_id in training.content_ids]


def _new_ones(site: Site, training: Training, items: SiteItems, now: datetime) -> Mask:
    """The candidates among what nobody has met (n,)."""
    published = dict(site.query("SELECT content_id, coalesce(published_at, updated_at) FROM content"))
    unmet = np.flatnonzero(items.available & ~items.met).tolist()
    unmet.sort(key=lambda item: published[training.content_ids[item]], reverse=True)
    since = now - timedelta(days=site.services.settings.new_content_max_age_days)
    recent = [item for item in unmet if published[training.content_ids[item]] >= since]
    chosen = np.zeros(len(items), bool)
    chosen[recent[: exploration.MOST_NEW] + unmet[: exploration.FEWEST_NEW]] = True
    return chosen


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
