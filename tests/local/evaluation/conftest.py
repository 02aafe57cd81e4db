"""A site of each test's own, as for the jobs."""

from collections.abc import Iterator

import pytest

from lib.adapters.redis_client import RedisClient
from lib.adapters.services import Services
from tests.jobs.site import Site


@pytest.fixture
def site(services: Services, redis_credentials: tuple[str, str]) -> Iterator[Site]:
    """Empty, and without QStash."""
    redis = RedisClient(*redis_credentials)
    yield Site(services, redis)
    redis.close()
