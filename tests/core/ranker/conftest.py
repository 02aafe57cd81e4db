import pytest

from lib.core.ranker.training import Trained, train
from tests.core.ranker.logs import NOW, VECTORS, WINDOW, community_log


@pytest.fixture(scope="session")
def trained() -> Trained:
    """By a log of communities, which has a ranker that is much better than popularity."""
    return train(community_log(1), NOW, WINDOW, VECTORS)
