"""scripts/forget_user ID: forgets a user: his actions, his embedding, his cached list, his dead letters.

Reads the environment, then .env.local and .env of the current folder. Running it again does no harm.
"""

import argparse

from lib.adapters.services import Services
from lib.core.actions import identifier_problem
from lib.errors import RecommenderError
from lib.jobs.forget_user import forget_user
from lib.jobs.run import Deadline
from local.configuration import read_configuration
from local.problem import as_lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/forget_user", description=__doc__)
    parser.add_argument("user_id", metavar="ID", help="as the app's actions name him")
    parser.add_argument("--seconds", type=float, default=120.0, help="to wait for what is pending (default 120)")
    options = parser.parse_args()
    if problem := identifier_problem(options.user_id):
        parser.error(f"ID {problem}")
    settings = read_configuration()
    services = Services(settings)
    try:
        settings.require("DATABASE_URL", "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")
        forgotten = forget_user(services, options.user_id, Deadline.after(options.seconds))
    except RecommenderError as error:
        print(f"{as_lines(error, settings)}\n   → Then run this again.")
        return 1
    finally:
        services.close()
    print(f"✅ Forgotten: {forgotten.events} actions, {forgotten.dead_letters} dead letters, embedding, cached list.")
    if not forgotten.is_complete:
        print(
            "❌ Some actions that were pushed before are still waiting, and may speak of this user.\n"
            "   → Run this again when /api/status shows none pending, in flight or set aside "
            "(scripts/dead_letters lists and settles batches that were set aside)."
        )
        return 1
    return 0
