"""Users' lists, for a read as for the warm run: gather what ranking needs, rank, name the reasons.

Nothing is ranked within the transaction: its connection is for whoever waits for one.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from lib.adapters.embedding_store import Model, read_active_model
from lib.adapters.services import Services
from lib.core.ranker.learned import learned_from_text
from lib.core.ranker.serving import Arrangement, Ranked, rank_users
from lib.jobs.assemble_site import AssembledSite, assemble_site
from lib.jobs.document import LIST_LENGTH, Document, document_of
from lib.jobs.gather_items import Basis
from lib.jobs.gathered import Gathered
from lib.settings import Settings

GATHERING_SECONDS = 60.0


def rank_lists(
    services: Services,
    user_ids: Sequence[str],
    *,
    language: str | None,
    now: datetime,
    gathered: Gathered | None = None,
) -> dict[str, Document]:
    """The list of each of these users of whom the log knows anything. `gathered` is what a run shares that ranks some
    users after others, as of the same `now`."""
    with services.database.transaction(seconds=GATHERING_SECONDS, vectors=True) as connection:
        basis = basis_of(services.settings, read_active_model(connection), now)
        gathered = gathered or Gathered()
        assembled = assemble_site(connection, services, basis, user_ids, language=language, gathered=gathered)
    ranked = rank_assembled(basis, assembled)
    return {
        user_id: document_of(user_id, _items(assembled, list_), source="cache", now=now)
        for user_id, list_ in zip(assembled.user_ids, ranked, strict=True)
    }


def basis_of(settings: Settings, model: Model | None, now: datetime) -> Basis:
    """What a ranking at that time stands on."""
    learned = learned_from_text(model.learned if model else None)
    if settings.popularity_position is not None:  # it may have been set since
        learned = replace(learned, trained=replace(learned.trained, position=settings.popularity_position))
    return Basis(settings, model, learned, now)


def rank_assembled(basis: Basis, assembled: AssembledSite) -> list[Ranked]:
    """The list of each of the site's users."""
    arrangement = Arrangement(assembled.tastes, assembled.variety, basis.settings.new_items_per_page)
    users = np.arange(len(assembled.user_ids))
    return rank_users(assembled.site, basis.learned.trained, users, n=LIST_LENGTH, arrangement=arrangement)


def _items(assembled: AssembledSite, ranked: Ranked) -> list[dict[str, Any]]:
    """What the list says of each item: its source, and of a personal one what it is like."""
    ids, columns = assembled.content_ids, (ranked.items.tolist(), ranked.scores.round(6).tolist())
    items: list[dict[str, Any]] = []
    for index, score, source, similar in zip(*columns, ranked.sources, ranked.similar_to.tolist(), strict=True):
        item = {"content_id": ids[index], "score": score, "source": source}
        if similar >= 0:
            item["similar_to"] = ids[similar]
        items.append(item)
    return items
