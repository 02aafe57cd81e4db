"""warm_cache: computes the lists of users who acted lately, before they ask. Every hour.

It begins with choosing anew what can be a candidate for everybody, for the lists that are read in the next hour too.
For some users at a time, the latest first, as long as there is time: note their generations, rank their lists by the
function of /api/recommend, store them. A user who acts in the meantime bumps his generation, and the list computed
before is not stored.
"""

from datetime import datetime, timedelta

from lib.adapters.catalogue import read_active_users
from lib.adapters.embedding_store import read_active_model
from lib.adapters.services import Services
from lib.jobs.choose_contenders import choose_contenders
from lib.jobs.gathered import Gathered
from lib.jobs.rank_lists import rank_lists
from lib.jobs.run import Deadline, Summary

CHUNK = 200  # users; their profiles have some thousand items, whose neighbours take some 20 MB
CHUNK_SECONDS = 10.0


def warm_cache(services: Services, now: datetime, deadline: Deadline) -> Summary:
    """Answers users_warmed, and users_left for want of time."""
    settings = services.settings
    choose_contenders(services)
    with services.database.transaction(seconds=60) as connection:
        users = read_active_users(connection, since=now - timedelta(days=settings.active_user_days))
    done, warmed, gathered = 0, 0, Gathered()
    while done < len(users) and (deadline.seconds_left > CHUNK_SECONDS or not done):
        chunk = users[done : done + CHUNK]
        generations = dict(zip(chunk, services.cache.generations(chunk), strict=True))
        with services.database.transaction(seconds=60, vectors=True) as connection:
            model = read_active_model(connection)
            lists = rank_lists(connection, services, model, chunk, language=None, now=now, gathered=gathered)
        warmed += services.cache.store_user_lists(lists, generations)
        done += len(chunk)
    return {"users_warmed": warmed, "users_left": len(users) - done}
