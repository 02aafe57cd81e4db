"""A large site for measuring: content, a log, the popularity that follows from it, and a model.

The rows have the shapes of real ones. What a model would have learned is drawn, for learning it takes minutes.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from pgvector import Vector

from lib.adapters.database import Connection
from lib.adapters.embedding_store import activate_model, add_model, write_learned
from lib.adapters.item_store import add_items
from lib.core.defaults import CO_READ_SIZE, EMBEDDING_SIZE, HALF_LIVES_HOURS, TEXT_SIZE
from lib.core.embeddings import TextProjection, unit_rows
from lib.core.half_lives import DEFAULT_POSITION
from lib.core.ranker.features import feature_names
from lib.core.ranker.items import Items
from lib.core.ranker.learned import Learned, learned_as_text
from lib.core.ranker.log import Mask, Vectors
from lib.core.ranker.neighbours import CHANNELS, Rows
from lib.core.ranker.profiles import ATTRIBUTE_NAMES
from lib.core.ranker.reads import COHORT_HALF_LIVES_DAYS
from lib.core.ranker.site import NEIGHBOURS
from lib.core.ranker.softmax_ranker import Model
from lib.core.ranker.trained import INTERACTING, Trained
from lib.core.taste.new_items import NewItemTaste

CONTENT_SIZE = 384  # dimensions of the app's own vectors
MET_SHARE = 0.96  # of the contents; the newest are unmet
LANGUAGES = ("en", "en", "en", "en", "en", "en", "de", "de", "de", "fi")
PUBLISHED_DAYS = 400  # over which all of it came
DAYS = 60  # of log
MODEL_AGE = timedelta(hours=6)

# Half of the actions are on what is always popular, and half on what was published shortly before.
_ADD_ACTIONS = """
INSERT INTO user_actions
SELECT 'event-' || number, 'user-' || number %% %(users)s,
       'content-' || floor(CASE WHEN number %% 2 = 0 THEN %(met)s * power(random(), 2)
                           ELSE greatest(%(met)s * (1 - age / %(published)s - power(random(), 4) / 8), 0) END)::int,
       CASE WHEN number %% 10 = 0 THEN 'hide' ELSE 'view' END, NULL,
       %(now)s - age * interval '1 day', %(now)s - age * interval '1 day'
FROM (SELECT number, %(days)s * random() AS age FROM generate_series(1, %(actions)s) number OFFSET 0) drawn
"""
_SUMS = ", ".join(
    f"sum(power(0.5::float8, least((as_of - at) / {hours * 3600}, 500)))" if math.isfinite(hours) else "count(*)"
    for hours in HALF_LIVES_HOURS
)
_ADD_POPULARITY = """
INSERT INTO recs_popularity (content_id, as_of, sums, first_at)
SELECT content_id, as_of, ARRAY[{sums}], min(at)
FROM (SELECT content_id, at, max(at) OVER (PARTITION BY content_id) AS as_of
      FROM (SELECT content_id, extract(epoch FROM min(occurred_at))::float8 AS at
            FROM user_actions WHERE action = 'view' GROUP BY content_id, user_id) firsts) dated
GROUP BY content_id, as_of
"""


@dataclass(frozen=True)
class Sizes:
    """Of a site; a user has `actions` / `users` actions."""

    contents: int
    users: int
    actions: int


def sizes_of(contents: int) -> Sizes:
    return Sizes(contents, users=2 * contents, actions=100 * contents)


def fill_site(connection: Connection, sizes: Sizes, *, now: datetime, seed: int = 5) -> None:
    """Fills an empty database, whose connection knows vectors, the same for a seed."""
    rng = np.random.default_rng(seed)
    connection.execute("SELECT setseed(0.5), set_config('work_mem', '256MB', true)")
    _add_content(connection, rng, sizes.contents, now)
    met = int(sizes.contents * MET_SHARE)
    days = {"days": DAYS, "published": PUBLISHED_DAYS}
    log = {"users": sizes.users, "actions": sizes.actions, "met": met, "now": now, **days}
    connection.execute(_ADD_ACTIONS, log)
    connection.execute(_ADD_POPULARITY.format(sums=_SUMS).encode())
    known = int(sizes.contents * (1 - MODEL_AGE / timedelta(days=PUBLISHED_DAYS)))
    _add_model(connection, rng, known, met, built_at=now - MODEL_AGE)


def _add_content(connection: Connection, rng: np.random.Generator, count: int, now: datetime) -> None:
    vectors = _unit_vectors(rng, count, CONTENT_SIZE)
    with connection.cursor().copy("COPY content FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["text", "vector", "text[]", "text", "timestamptz", "bool", "timestamptz"])
        for number, vector in enumerate(vectors):
            published = now - timedelta(days=PUBLISHED_DAYS * (1 - number / count))
            language = LANGUAGES[number % len(LANGUAGES)]
            topics = [f"topic-{number % 37}", f"topic-{number % 101}"]
            copy.write_row((f"content-{number}", Vector(vector), topics, language, published, True, published))


def _add_model(connection: Connection, rng: np.random.Generator, count: int, met: int, *, built_at: datetime) -> None:
    """Of the first `count` contents in the order of their ids, each with as many neighbours as one may have."""
    numbers = sorted(range(count), key=str)
    content_ids = [f"content-{number}" for number in numbers]
    axes = _unit_vectors(rng, TEXT_SIZE, CONTENT_SIZE).T
    version = add_model(
        connection,
        content_ids=content_ids,
        vectors=_unit_vectors(rng, count, EMBEDDING_SIZE),
        built_at=built_at,
        actions=count,
        skipped=0,
        interest_half_life_days=30.0,
        learned_map=np.eye(EMBEDDING_SIZE),
        text_projection=TextProjection(np.zeros(CONTENT_SIZE, np.float32), axes),
    )
    learned = Learned(_ranker(rng), count, 1.0, _new_item_taste(rng, built_at.timestamp()))
    write_learned(connection, version, position=DEFAULT_POSITION, learned=learned_as_text(learned))
    items = _items(rng, np.array(numbers) < met, built_at.timestamp())
    add_items(connection, version, content_ids, items, _rows(rng, count), _unit_vectors(rng, count, TEXT_SIZE))
    activate_model(connection, version)


def _new_item_taste(rng: np.random.Generator, end: float) -> NewItemTaste:
    centre, everybody = _unit_vectors(rng, 2, TEXT_SIZE).astype(np.float64)
    return NewItemTaste(end - DAYS * 86_400, end, centre, everybody, circle_reads=1.0)


def _ranker(rng: np.random.Generator) -> Trained:
    names = feature_names(2)
    model = Model(
        mean=np.zeros(len(names), np.float32),
        scale=np.ones(len(names), np.float32),
        attribute_mean=np.zeros(len(ATTRIBUTE_NAMES), np.float32),
        attribute_scale=np.ones(len(ATTRIBUTE_NAMES), np.float32),
        interacting=np.array([names.index(name) for name in INTERACTING]),
        weights=0.1 * rng.standard_normal(len(names) + len(INTERACTING) * len(ATTRIBUTE_NAMES)),
    )
    return Trained(DEFAULT_POSITION, model, gain=0.1, slices=40, users=7_000, window_seconds=86_400.0)


def _items(rng: np.random.Generator, met: Mask, built_at: float) -> Items:
    count = len(met)
    first_seen = built_at - DAYS * 86_400 * rng.random(count)
    return Items(
        popularity=np.zeros((count, len(HALF_LIVES_HOURS))),
        first_seen=np.where(met, first_seen, np.inf),
        last_seen=np.where(met, first_seen + (built_at - first_seen) * rng.random(count), -np.inf),
        readers=np.where(met, np.ceil(200 * rng.random(count)), 0.0),
        mean_weight=rng.random(count),
        unique_share=rng.uniform(0.5, 1.0, count),
        idf=rng.uniform(5.0, 10.0, count),
        reach=rng.random(count),
        cohort_popularity=rng.random((count, len(COHORT_HALF_LIVES_DAYS)), dtype=np.float32),
        vectors=(_unit_vectors(rng, count, CO_READ_SIZE), _unit_vectors(rng, count, TEXT_SIZE)),
        available=np.ones(count, bool),
    )


def _rows(rng: np.random.Generator, count: int) -> Rows:
    """Neighbours, ascending, with values that differ from item to item."""
    size = min(NEIGHBOURS, count)
    steps = rng.integers(1, count // size + 1, (count, size), dtype=np.int32)
    neighbours = np.cumsum(steps, axis=1, dtype=np.int32) - 1
    values = rng.random((count * size, len(CHANNELS)), dtype=np.float32)
    return Rows(np.arange(count + 1) * size, neighbours.ravel(), values)


def _unit_vectors(rng: np.random.Generator, count: int, size: int) -> Vectors:
    return unit_rows(rng.standard_normal((count, size), dtype=np.float32))
