"""The database's schema: bring it up to date, and look whether it fits."""

from functools import reduce
from pathlib import Path

from lib.adapters.database import QUERIES, Connection, Database
from lib.text import Text

SCHEMA_SQL = Path(__file__).with_name("schema.sql").read_text()
OLDEST_VECTOR = (0, 7)  # of pgvector: the first with halfvec
SCHEMA_VERSION = "8"

_TEXT = ("text", "character varying")
_TIME = ("timestamp with time zone",)

# What others rely on: relation -> column -> the types it may have. `content` may be a view or a foreign table.
EXPECTED_COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "content": {
        "content_id": _TEXT,
        "embedding": ("vector",),
        "topics": ("text[]", "character varying[]"),
        "language": _TEXT,
        "published_at": _TIME,
        "available": ("boolean",),
        "updated_at": _TIME,
    },
    "user_actions": {
        "event_id": _TEXT,
        "user_id": _TEXT,
        "content_id": _TEXT,
        "action": _TEXT,
        "value": ("double precision",),
        "occurred_at": _TIME,
        "received_at": _TIME,
    },
    "user_embeddings": {
        "user_id": _TEXT,
        "embedding": ("vector",),
        "updated_at": _TIME,
        "model_version": ("bigint",),
    },
}


def migrate(database: Database) -> bool:
    """Brings the schema up to date; answers whether there was anything to do. Two callers take turns."""
    with database.transaction() as connection:
        if is_current(connection):
            return False
    with database.transaction(seconds=60) as connection:
        connection.execute(QUERIES["lock_schema"])
        connection.execute(SCHEMA_SQL.encode())
    return True


def grants(connection: Connection) -> str:
    """What an owner of the tables runs so that the role of this connection may use them."""
    row = connection.execute(QUERIES["grants"]).fetchone()
    assert row is not None
    return str(row[0])


def missing_rights(connection: Connection) -> list[str]:
    """What the functions need and the role of this connection lacks, such as "INSERT, DELETE on user_actions, content",
    of the tables that are there."""
    rights: dict[str, list[str]] = {}
    for table, right in connection.execute(QUERIES["missing_rights"]).fetchall():
        rights.setdefault(table, []).append(right)
    tables: dict[str, list[str]] = {}
    for table, lacking in rights.items():
        tables.setdefault(", ".join(lacking), []).append(table)
    return [f"{lacking} on {', '.join(those)}" for lacking, those in tables.items()]


def is_current(connection: Connection) -> bool:
    if not _columns(connection, "recs_state"):
        return False
    row = connection.execute(QUERIES["state"], {"name": "schema"}).fetchone()
    return row is not None and row[0] == SCHEMA_VERSION


def column_problems(connection: Connection) -> list[tuple[str, Text]]:
    """(relation, what is wrong with it) for each relation that isn't as others rely on it."""
    problems = []
    for relation, expected in EXPECTED_COLUMNS.items():
        found = _columns(connection, relation)
        missing = [Text("it has no column {name}", name=name) for name in expected if name not in found]
        odd = [
            Text("{name} is {type}", name=name, type=found[name])
            for name in expected
            if name in found and found[name] not in expected[name]
        ]
        if not found:
            problems.append((relation, Text("it is missing")))
        elif missing or odd:
            several = reduce(lambda said, more: Text("{said}; {more}", said=said, more=more), missing + odd)
            problems.append((relation, several))
    return problems


def server_versions(connection: Connection) -> tuple[str, str | None, str | None]:
    """Postgres's version, the installed version of pgvector, and the one that could be installed."""
    row = connection.execute(QUERIES["server"]).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def is_too_old(vector_version: str) -> bool:
    """Whether this pgvector lacks what the schema is made of."""
    major, minor = (int(part) for part in vector_version.split(".")[:2])
    return (major, minor) < OLDEST_VECTOR


def _columns(connection: Connection, relation: str) -> dict[str, str]:
    return dict(connection.execute(QUERIES["columns"], {"relation": relation}).fetchall())
