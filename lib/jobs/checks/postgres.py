"""Postgres: pgvector, what our role may do, and the shape of the tables."""

from collections.abc import Iterator

from lib.adapters.schema import column_problems, grants, is_current, is_too_old, missing_rights, server_versions
from lib.adapters.services import Services
from lib.jobs.checks.check import Check
from lib.text import Text


def check_postgres(services: Services) -> Iterator[Check]:
    with services.database.transaction() as connection:
        version, vector, available = server_versions(connection)
        yield Check("postgres", "ok", Text("Postgres {version} answers.", version=version))
        if vector is None:
            fix = (
                Text("As an owner of the database run this SQL:\nCREATE EXTENSION vector;")
                if available
                else Text("Use a Postgres that has pgvector, such as Neon.")
            )
            message = Text("The extension pgvector is not installed in this database.")
            yield Check("pgvector", "error", message, fix)
            return
        if is_too_old(vector):
            message = Text("pgvector {version} is too old: half precision came with 0.7.", version=vector)
            fix = Text("As an owner of the database run this SQL, then open /api/init:\nALTER EXTENSION vector UPDATE;")
            yield Check("pgvector", "error", message, fix)
            return
        yield Check("pgvector", "ok", Text("pgvector {version} is installed.", version=vector))
        if missing := missing_rights(connection):
            message = Text("The role in DATABASE_URL lacks rights: {rights}.", rights="; ".join(missing))
            fix = Text("As an owner of the tables run this SQL:\n{sql}", sql=grants(connection))
            yield Check("rights", "error", message, fix)
            return
        if not is_current(connection):
            fix = Text("Open /api/init, or run this with an owner's DATABASE_URL:\nscripts/migrate")
            yield Check("schema", "error", Text("The tables are missing or out of date."), fix)
            return
        problems = column_problems(connection)
        for relation, problem in problems:
            message = Text("{relation} isn't as expected: {problem}.", relation=relation, problem=problem)
            fix = Text(
                "Change {relation} so that it has the columns of lib/adapters/schema.sql (a view may cast them).",
                relation=relation,
            )
            yield Check("schema", "error", message, fix)
        if not problems:
            yield Check("schema", "ok", Text("The tables are in place."))
