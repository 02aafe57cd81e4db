"""A Postgres role that may do less than the owner."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg


@contextmanager
def limited_role(owner_url: str) -> Iterator[str]:
    """The database's URL for a new role that owns nothing and may read nothing."""
    role, password = f"limited_{secrets.token_hex(4)}", secrets.token_hex(8)
    administer(owner_url, f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
    try:
        place = urlsplit(owner_url)
        yield f"postgresql://{role}:{password}@{place.hostname}:{place.port}{place.path}"
    finally:
        administer(owner_url, f"DROP OWNED BY {role}; DROP ROLE {role}")


def administer(owner_url: str, statements: str) -> None:
    """Runs statements as the owner."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(statements.encode())
