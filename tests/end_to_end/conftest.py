"""Copies of the project to run, and one scripts/dev that runs for all tests that change nothing of it."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.checkout import Checkout, Dev, copied

# What another project may have left in the shell, and must not lead us elsewhere.
FOREIGN_SHELL = {
    "DATABASE_URL": "postgresql://somebody@db.invalid/other",
    "UPSTASH_REDIS_REST_URL": "https://redis.invalid",
    "QSTASH_TOKEN": "somebody-elses",
    "PGSSLMODE": "require",
    "PGHOSTADDR": "192.0.2.1",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
}


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    """A copy of the test's own."""
    with copied() as checkout:
        yield checkout


@pytest.fixture(scope="session")
def dev() -> Iterator[Dev]:
    """scripts/dev as anybody starts it, but for the sample traffic."""
    with copied() as checkout:
        dev = checkout.run("--no-sample", variables=FOREIGN_SHELL).wait_until_ready()
        yield dev
        dev.end()
