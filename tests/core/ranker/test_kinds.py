import pytest

from lib.core.ranker.features import feature_names
from lib.core.ranker.kinds import KINDS, kind_of, shares_of_kinds


def test_every_feature_has_a_kind_and_every_kind_a_feature() -> None:
    assert {kind_of(name) for name in feature_names(2)} == set(KINDS)


def test_shares_are_of_the_sizes_of_weights_and_the_largest_comes_first() -> None:
    shares = shares_of_kinds(["pop3d", "age", "pop12d", "knn"], [0.1, -0.5, -0.2, 0.2])
    assert list(shares.items())[:3] == [("freshness", 0.5), ("popularity", 0.3), ("similar_reads", 0.2)]
    assert sum(shares.values()) == pytest.approx(1.0)


def test_weights_of_nothing_and_features_of_another_release_have_shares_too() -> None:
    assert set(shares_of_kinds(["pop3d"], [0.0]).values()) == {0.0}
    assert shares_of_kinds(["moon_phase"], [1.0])["other"] == 1.0
