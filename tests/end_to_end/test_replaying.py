"""scripts/dev --replay on a small folder of the MovieTweetings format."""

import random
from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.checkout import FAST_TICKS, Checkout
from tests.support import eventually

RATINGS = 300
USERS = 15
FILMS = 60
FIRST_SECOND = 1_362_062_307


@pytest.fixture
def ratings_folder(checkout: Checkout) -> Path:
    """Everybody rates twenty films of sixty, over some months of 2013."""
    chance = random.Random(11)  # noqa: S311 - no secrets
    folder = checkout.folder / "ratings"
    folder.mkdir()
    films = [f"{number:07d}" for number in range(1, FILMS + 1)]
    (folder / "movies.dat").write_text(
        "".join(f"{film}::Film No {film} ({1950 + int(film)})::Drama|Comedy\n" for film in films)
    )
    pairs = [(user, film) for user in range(1, USERS + 1) for film in chance.sample(films, RATINGS // USERS)]
    chance.shuffle(pairs)
    (folder / "ratings.dat").write_text(
        "".join(
            f"{user}::{film}::{chance.randint(3, 10)}::{FIRST_SECOND + chance.randrange(10_000_000)}\n"
            for user, film in pairs
        )
    )
    vectors = np.random.default_rng(11).standard_normal((FILMS, 24)).astype(np.float16)
    np.savez(folder / "vectors.npz", ids=np.array([film.lstrip("0") for film in films]), vectors=vectors)
    return folder


def test_a_replay_applies_every_rating_once_and_shows_what_an_action_changes(
    checkout: Checkout, ratings_folder: Path
) -> None:
    dev = checkout.run("--replay", str(ratings_folder), variables=FAST_TICKS).wait_until_ready()
    eventually(lambda: dev.output.count(" s later sees Film No ") == 3, timeout=60)
    assert dev.has_said("pushed 300, applied 300, rejected 0")
    assert dev.has_said("15 users have an embedding")
    assert dev.rows("SELECT count(*) FROM content WHERE embedding IS NOT NULL") == [(FILMS,)]
    last = "SELECT abs(extract(epoch FROM now() - max(occurred_at))) < 60 FROM user_actions"
    assert dev.rows(f"{last} WHERE starts_with(event_id, 'movietweetings:')") == [(True,)]
    dev.end()

    dev = checkout.run("--replay", str(ratings_folder), variables=FAST_TICKS).wait_until_ready()
    eventually(lambda: dev.has_said("pushed 300, applied 0, rejected 0"), timeout=60)
    assert dev.get("/api/status").json()["dead_letters"]["count"] == 0
    dev.end()
