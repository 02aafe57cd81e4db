"""A folder of the MovieTweetings format, as scripts/dev --replay and scripts/evaluate read it."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from local.embedded import ServerError
from local.movietweetings import FILES, Movie, missing_files, read_folder, read_vectors

NOW = 1_800_000_000.25
RATINGS = "2::0104257::8::1364690200\n1::1074638::4::1364690100\n1::0104257::7::1364690300\n"
MOVIES = "0104257::A Few Good Men (1992)::Crime|Drama\n1074638::Skyfall (2012)::\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ratings.dat").write_text(RATINGS)
    (tmp_path / "movies.dat").write_text(MOVIES)
    np.savez(tmp_path / "vectors.npz", ids=np.array(["104257"]), vectors=np.eye(1, 3))
    return tmp_path


def test_the_oldest_action_comes_first_and_the_last_is_now(folder: Path) -> None:
    _, actions = read_folder(folder, now=NOW)
    assert [action["timestamp"] for action in actions] == [NOW - 200, NOW - 100, NOW]


def test_an_id_is_made_of_the_rating_and_does_not_change_with_the_clock(folder: Path) -> None:
    ids = [[action["id"] for action in read_folder(folder, now=now)[1]] for now in (NOW, NOW + 3600)]
    assert ids[0] == ids[1]
    assert ids[0][0] == "movietweetings:1:1074638:1364690100"
    assert len(set(ids[0])) == 3


def test_ratings_of_one_second_stay_in_the_order_of_the_file(folder: Path) -> None:
    (folder / "ratings.dat").write_text("9::1::8::100\n3::1::8::100\n5::1::8::100\n")
    _, actions = read_folder(folder, now=NOW)
    assert [action["user_id"] for action in actions] == ["9", "3", "5"]


@pytest.mark.parametrize(
    ("stars", "action"),
    [(10, "like"), (7, "like"), (6, "view"), (5, "view"), (4, "dislike"), (0, "dislike")],
)
def test_stars_become_an_action_and_its_value(folder: Path, stars: int, action: str) -> None:
    (folder / "ratings.dat").write_text(f"1::2::{stars}::100\n")
    _, [rated] = read_folder(folder, now=NOW)
    assert (rated["action"], rated["value"]) == (action, stars)


def test_films_have_titles_genres_and_the_year_they_appeared(folder: Path) -> None:
    movies, actions = read_folder(folder, now=NOW)
    assert movies == {
        "104257": Movie("A Few Good Men (1992)", ["Crime", "Drama"]),
        "1074638": Movie("Skyfall (2012)", []),
    }
    assert movies["104257"].published_at == datetime(1992, 1, 1, tzinfo=UTC)
    assert {action["content_id"] for action in actions} == set(movies)


@pytest.mark.parametrize("title", ["Untitled", "", "Unknown (????)", "Year (0000)"])
def test_a_title_without_a_year_has_no_time(title: str) -> None:
    assert Movie(title, []).published_at is None


def test_vectors_have_the_ids_of_the_films(folder: Path) -> None:
    vectors = read_vectors(folder)
    assert list(vectors) == ["104257"]
    assert vectors["104257"].dtype == np.float32
    assert vectors["104257"].tolist() == [1, 0, 0]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    assert missing_files(folder) == []
    (folder / name).unlink()
    assert missing_files(folder) == [name]


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        pytest.param("ratings.dat", "1::2::8\n", "can't be read", id="a-field-too-few"),
        pytest.param("ratings.dat", "1::2::good::100\n", "can't be read", id="stars-in-words"),
        pytest.param("movies.dat", "1::Title\n", "can't be read", id="a-film-without-genres"),
        pytest.param("ratings.dat", "", "holds no ratings", id="empty"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused_in_words(
    folder: Path, file: str, content: str, said: str
) -> None:
    (folder / file).write_text(content)
    with pytest.raises(ServerError, match=said):
        read_folder(folder, now=NOW)
