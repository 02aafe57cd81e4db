"""Lists as production makes them: the one place that knows the model.

For a cut: what can be learned before it, as the two-hourly run learns it (lib/jobs/build_model.py), then a list for
each user, ranked as for a read (lib/jobs/rank_lists.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lib.core.defaults import TEXT_SIZE
from lib.core.diversity import Variety
from lib.core.embeddings import learn_text_projection
from lib.core.half_lives import DEFAULT_POSITION
from lib.core.ranker.half_life import blend_weights, choose_position
from lib.core.ranker.items import log_popularity, popularity_of, seen_between
from lib.core.ranker.log import Floats, Indices, Log, first_reads, make_log
from lib.core.ranker.profiles import profiles_of
from lib.core.ranker.reads import user_reads
from lib.core.ranker.serving import Arrangement, rank_users
from lib.core.ranker.site import site_at
from lib.core.ranker.training import Trained, train
from lib.core.ranking import top_n
from lib.core.taste.learned_map import map_users
from lib.core.taste.learning import Taste, learn_new_items, learn_taste
from lib.core.taste.new_items import user_tastes
from lib.core.taste.states import embed_log
from lib.jobs.build_model import ranker_vectors
from lib.jobs.gather_training import Training
from lib.settings import Settings
from local.evaluation.data import LIST_LENGTH, Content, Cut, Ranking, seen_candidates

DEFAULTS = Settings()
SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True)
class _Learned:
    """What is known at a cut: the log with what the app says of content, and tastes."""

    training: Training
    taste: Taste

    @property
    def half_life_seconds(self) -> float:
        """Of interests."""
        return self.taste.half_life_days * SECONDS_PER_DAY


def rank_cut(cut: Cut, content: Content | None, *, alone: bool, settings: Settings = DEFAULTS) -> Iterator[Ranking]:
    """A list for each user to rank for, in their order, and one of new items where content vectors are given.

    With `alone` nothing but the user's embedding ranks; a user without one gets no items then.
    """
    learned = _learn(cut, content, settings)
    lists = _by_embedding(cut, learned) if alone else _by_ranker(cut, learned, settings)
    new_lists = [None] * cut.n_ranked_users if content is None else _new_items(cut, learned)
    for user_id, items, new_items in zip(cut.user_ids, lists, new_lists, strict=False):
        ids = None if new_items is None else [cut.item_ids[item] for item in new_items]
        yield Ranking(user_id, [cut.item_ids[item] for item in items], ids)


def train_at_cut(cut: Cut, training: Training, settings: Settings = DEFAULTS) -> Trained:
    """What the ranking learns; its lists are to serve until the end of the cut."""
    position = position_at_cut(cut, settings)
    return train(training.log, cut.now, cut.end - cut.now, ranker_vectors(training), position=position)


def position_at_cut(cut: Cut, settings: Settings = DEFAULTS) -> float:
    """How fast popularity decays (lib/core/half_lives.py): as the settings say, else as replaying the log does."""
    if settings.popularity_position is not None:
        return settings.popularity_position
    log = _log(cut).before(cut.now)
    return choose_position(log, cut.now, cut.end - cut.now, default=DEFAULT_POSITION)


def popularity_at_cut(cut: Cut, settings: Settings = DEFAULTS) -> Floats:
    """Decayed popularity of every candidate (n_candidates,) at the cut, as a logarithm, as it is served."""
    popularity = popularity_of(first_reads(_log(cut).before(cut.now)), cut.now)
    served: Floats = log_popularity(popularity[cut.candidates]) @ blend_weights(position_at_cut(cut, settings))
    return served


def training_at_cut(cut: Cut, content: Content | None) -> Training:
    """The log, and content's vectors (n_items, TEXT_SIZE) on their principal axes, zeros for items without."""
    raw = np.zeros((len(cut.item_ids), 1), np.float32)
    if content:
        absent = np.zeros_like(next(iter(content.values())))
        raw = np.stack([content.get(item_id, absent) for item_id in cut.item_ids])
    projection = learn_text_projection(raw, size=TEXT_SIZE)
    return Training(_log(cut), cut.item_ids, projection.of(raw))


def _log(cut: Cut) -> Log:
    n_users, n_items = len(cut.user_ids), len(cut.item_ids)
    return make_log(cut.users, cut.items, cut.times, cut.weights, cut.positive, n_users, n_items)


def _learn(cut: Cut, content: Content | None, settings: Settings) -> _Learned:
    training = training_at_cut(cut, content)
    days = settings.interest_half_life_days
    return _Learned(training, learn_taste(training.log, cut.now, training.text, half_life_days=days))


def _by_ranker(cut: Cut, learned: _Learned, settings: Settings) -> Iterator[Indices]:
    trained = train_at_cut(cut, learned.training, settings)
    site = site_at(learned.training.log, cut.now, ranker_vectors(learned.training))
    variety = Variety(cut.topics, learned.training.text, settings.topic_share, settings.author_share)
    users, arrangement = np.arange(cut.n_ranked_users), Arrangement(variety=variety)
    for ranked in rank_users(site, trained, users, n=LIST_LENGTH, arrangement=arrangement):
        yield ranked.items


def _by_embedding(cut: Cut, learned: _Learned) -> Iterator[Indices]:
    taste, log = learned.taste, learned.training.log
    states = embed_log(log, cut.now, taste.vectors, half_life_seconds=learned.half_life_seconds)
    embeddings = map_users(states[: cut.n_ranked_users], taste.learned_map)
    vectors = taste.vectors[cut.candidates]
    for embedding, excluded in zip(embeddings, seen_candidates(cut), strict=True):
        n = LIST_LENGTH if embedding.any() else 0
        yield cut.candidates[top_n(vectors @ embedding, n, excluded=excluded)]


def _new_items(cut: Cut, learned: _Learned) -> Iterator[Indices]:
    """Nobody has acted on a new item: its content vector is all of it."""
    log, users = learned.training.log.before(cut.now), np.arange(cut.n_ranked_users)
    text, half_life_seconds = learned.training.text, learned.half_life_seconds
    taste, circles = learn_new_items(log, cut.now, text, learned.taste.vectors, half_life_seconds=half_life_seconds)
    tastes = user_tastes(
        taste,
        profiles_of(user_reads(first_reads(log)), users),
        seen_between(log)[0],
        text,
        circles,
        cut.now,
        half_life_seconds=half_life_seconds,
    )
    for user in users.tolist():
        yield cut.new_candidates[top_n(tastes.of(user, cut.new_candidates), LIST_LENGTH)]
