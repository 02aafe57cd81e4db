"""scripts/migrate: brings the database's schema up to date, with an owner's DATABASE_URL."""

from lib.adapters.database import Database
from lib.adapters.schema import migrate
from lib.errors import RecommenderError
from local.configuration import read_configuration


def main() -> int:
    settings = read_configuration()
    try:
        settings.require("DATABASE_URL")
        database = Database(settings.database_url, max_connections=1)
        changed = migrate(database)
        database.close()
    except RecommenderError as error:
        print(f"❌ {settings.redact(error.message)}\n   → {error.fix}")
        return 1
    print("✅ The schema is up to date now." if changed else "✅ The schema was up to date already.")
    return 0
