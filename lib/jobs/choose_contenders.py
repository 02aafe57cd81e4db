"""Chooses from the whole catalogue what can be a candidate for everybody (lib/core/contenders.py): every hour, by every
new model, and when users suddenly act much more.

1. Begin, in a transaction of its own: from then on drains add what they touch.
2. Read everything that somebody has met, some at a time, and choose among all of it, and among what is of each
   language.
3. Store that.
"""

from lib.adapters.contender_store import begin_choice, count_contenders, end_choice, read_chosen, read_met
from lib.adapters.database import Connection
from lib.adapters.embedding_store import read_active_model
from lib.adapters.services import Services
from lib.core.contenders import choose as choose_among
from lib.core.ranker.site import pool_sizes

GROWTH, SLACK = 2, 1_000  # contenders, each of which takes a read some 10 microseconds


def choose_contenders(services: Services) -> None:
    """By the active model."""
    generation = begin(services)
    with services.database.transaction(seconds=60) as connection:
        model = read_active_model(connection)
        choose(connection, generation, model.version if model else None)


def choose_contenders_if_grown(services: Services) -> None:
    """Where there was no choice yet, or so many have been added since that reads would become slow: then users act so
    much more than before that the bounds of before hold little back."""
    with services.database.transaction() as connection:
        chosen = read_chosen(connection)
        is_due = chosen is None or count_contenders(connection) > GROWTH * chosen.size + SLACK
    if is_due:
        choose_contenders(services)


def begin(services: Services) -> int:
    """The generation of a choice that may now be made."""
    with services.database.transaction() as connection:
        return begin_choice(connection)


def choose(connection: Connection, generation: int, version: int | None) -> None:
    """As the model of that version knows the contents. Another choice that has begun since has it its own way."""
    choice = choose_among(read_met(connection, version, language=None), pool_sizes())
    end_choice(connection, choice, generation=generation, version=version)
