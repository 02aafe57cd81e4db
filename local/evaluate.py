"""scripts/evaluate: ranks prepared data sets with the very functions that production calls.

For each cut of a data set: what can be learned before the cut (item vectors, user embeddings, popularity), then a
list for each user, as one line of JSON. The truth is never read; a judge of its own scores the lines.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.core.co_reads import learn_item_vectors
from lib.core.defaults import (
    HALF_LIVES_HOURS,
    HISTORY_LENGTH,
    INTEREST_HALF_LIFE_DAYS,
    LEARNED_SIZE,
    POOL_SIZE,
    POPULARITY_HALF_LIFE_HOURS,
    POPULARITY_WEIGHT,
    TEXT_SHARE,
    TEXT_SIZE,
)
from lib.core.embeddings import join_vectors, latest_per_user, project_text_vectors, user_embeddings
from lib.core.popularity import carry, decayed_sums, first_action_changes
from lib.core.ranking import rank, top_n
from local.prepared_data import Content, Cut, Floats, UnusableDataError, Vectors, read_content, read_cut

LIST_LENGTH = 100
SECONDS_PER_DAY = 86_400.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the rankings and answers the exit code: 0, or 2 after one sentence about what can't be used."""
    options = _parser().parse_args(arguments)
    try:
        content = read_content(options.vectors) if options.vectors else None
        folders = sorted(options.folder.glob("cut*/"))
        if not folders:
            raise UnusableDataError(f"{options.folder} holds no folder cut*: prepare the data set first.")
        cuts = (read_cut(folder) for folder in folders)
        _write(options.out, cuts, content, alone=options.alone)
    except UnusableDataError as error:
        print(f"❌ {error}", file=sys.stderr)
        return 2
    return 0


def learn_items(cut: Cut, content: Content | None) -> Vectors:
    """The joined vectors of the cut's items (n_items, d), from its co-reads and the content vectors of its items."""
    learned = learn_item_vectors(
        cut.users[cut.positive],
        cut.items[cut.positive],
        cut.times[cut.positive],
        n_items=len(cut.item_ids),
        size=LEARNED_SIZE,
    )
    text = np.zeros((len(cut.item_ids), 1), np.float32)
    if content:
        absent = np.zeros_like(next(iter(content.values())))
        text = np.stack([content.get(item_id, absent) for item_id in cut.item_ids])
    return join_vectors(learned, project_text_vectors(text, size=TEXT_SIZE), text_share=TEXT_SHARE)


def embed_users(cut: Cut, item_vectors: Vectors) -> Vectors:
    """The embeddings at the cut of the users to rank for (n_ranked_users, d)."""
    latest = latest_per_user(cut.users, cut.items, cut.times, limit=HISTORY_LENGTH)
    rows = latest[cut.users[latest] < cut.n_ranked_users]
    return user_embeddings(
        cut.users[rows],
        cut.items[rows],
        cut.weights[rows],
        cut.now - cut.times[rows],
        item_vectors,
        n_users=cut.n_ranked_users,
        half_life_seconds=INTEREST_HALF_LIFE_DAYS * SECONDS_PER_DAY,
    )


def popularity_at_cut(cut: Cut) -> Floats:
    """Decayed popularity of every item (n_items,): each user's first positive action on it, at the cut."""
    n_items = len(cut.item_ids)
    keys, pair_of_action = np.unique(cut.users[cut.positive] * n_items + cut.items[cut.positive], return_inverse=True)
    unknown = np.full(len(keys), np.nan)
    pairs, times, signs = first_action_changes(pair_of_action, cut.times[cut.positive], unknown)
    as_of, sums = decayed_sums(times, signs, keys[pairs] % n_items, n_items)
    return carry(sums, as_of, cut.now)[:, HALF_LIVES_HOURS.index(POPULARITY_HALF_LIFE_HOURS)]


def rankings(cut: Cut, content: Content | None, *, alone: bool) -> Iterator[dict[str, Any]]:
    """One line a user: up to 100 candidates he hasn't acted on, and the new items where content vectors are given.

    With `alone` nothing but the user's embedding ranks; a user without one gets no items then.
    """
    item_vectors = learn_items(cut, content)
    embeddings = embed_users(cut, item_vectors)
    popularity = popularity_at_cut(cut)[cut.candidates]
    candidate_vectors, new_vectors = item_vectors[cut.candidates], item_vectors[cut.new_candidates]
    for user, (embedding, excluded) in enumerate(zip(embeddings, _seen_candidates(cut), strict=True)):
        personal = candidate_vectors @ embedding
        if alone:
            best = top_n(personal, LIST_LENGTH if embedding.any() else 0, excluded=excluded)
        else:
            best, _, _ = rank(
                personal,
                popularity,
                excluded=excluded,
                n=LIST_LENGTH,
                popularity_weight=POPULARITY_WEIGHT,
                pool_size=POOL_SIZE,
            )
        line: dict[str, Any] = {"dataset": cut.dataset, "cut": cut.name, "user_id": cut.user_ids[user]}
        line["items"] = [cut.item_ids[item] for item in cut.candidates[best]]
        if content is not None:  # nobody has acted on a new item, so its content vector is all of it
            best_new = cut.new_candidates[top_n(new_vectors @ embedding, LIST_LENGTH)]
            line["new_items"] = [cut.item_ids[item] for item in best_new]
        yield line


def _seen_candidates(cut: Cut) -> Iterator[NDArray[np.bool_]]:
    """For each user to rank for: which candidates (n_candidates,) he has acted on in any way."""
    order = np.argsort(cut.users, kind="stable")
    bounds = np.searchsorted(cut.users[order], np.arange(cut.n_ranked_users + 1))
    for user in range(cut.n_ranked_users):
        seen = np.zeros(len(cut.item_ids), bool)
        seen[cut.items[order[bounds[user] : bounds[user + 1]]]] = True
        yield seen[cut.candidates]


def _write(path: Path, cuts: Iterable[Cut], content: Content | None, *, alone: bool) -> None:
    try:
        with path.open("w", encoding="utf-8") as handle:
            for cut in cuts:
                started = time.monotonic()
                _say(f"{cut.dataset}, cut {cut.name}: {len(cut.times):,} actions, {len(cut.candidates):,} candidates")
                for n_lines, line in enumerate(rankings(cut, content, alone=alone), start=1):
                    handle.write(json.dumps(line) + "\n")
                    if n_lines % 1_000 == 0 or n_lines == cut.n_ranked_users:
                        _say(f"  {n_lines:,} of {cut.n_ranked_users:,} users, {time.monotonic() - started:.1f} s")
    except OSError as error:
        raise UnusableDataError(f"{path} can't be written: {error.strerror}.") from error


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/evaluate",
        description="Ranks the cuts of a prepared data set with the functions of production, as lines of JSON.",
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the data set: a folder that holds cut*/")
    parser.add_argument("--vectors", metavar="FILE.npz", type=Path, help="content vectors: the arrays ids and vectors")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="where the rankings go, as JSONL")
    parser.add_argument("--alone", action="store_true", help="rank by the user's embedding, without any popularity")
    return parser
