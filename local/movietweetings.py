"""Reads a folder of the MovieTweetings format.

ratings.dat (user::movie::rating::unix seconds), movies.dat (movie::title::genres) and vectors.npz (ids, vectors).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from local.embedded import ServerError

FILES = ("ratings.dat", "movies.dat", "vectors.npz")
ID_PREFIX = "movietweetings:"


@dataclass(frozen=True)
class Movie:
    title: str
    genres: list[str]

    @property
    def published_at(self) -> datetime | None:
        """Titles end in the year: Chance (2013)."""
        year = self.title[-5:-1]
        return datetime(int(year), 1, 1, tzinfo=UTC) if year.isdecimal() and int(year) > 0 else None


def missing_files(folder: Path) -> list[str]:
    return [name for name in FILES if not (folder / name).is_file()]


def read_folder(folder: Path, *, now: float) -> tuple[dict[str, Movie], list[dict[str, Any]]]:
    """The films by id, and the ratings as actions, the oldest first and the last of them at `now`.

    Raises ServerError where a file can't be read or a line isn't as it should be.
    """
    try:
        movies = {
            movie.lstrip("0"): Movie(title, genres.split("|") if genres else [])
            for movie, title, genres in _records(folder / "movies.dat")
        }
        ratings = sorted(
            ((user, movie, int(stars), int(time)) for user, movie, stars, time in _records(folder / "ratings.dat")),
            key=lambda rating: rating[3],
        )
    except (OSError, ValueError) as error:
        raise ServerError(f"{folder} can't be read as a MovieTweetings folder: {error}") from error
    if not ratings:
        raise ServerError(f"{folder} holds no ratings.")
    shift = now - ratings[-1][3]
    return movies, [_action(*rating, shift=shift) for rating in ratings]


def read_vectors(folder: Path) -> dict[str, NDArray[np.float32]]:
    """The films' content vectors by id."""
    with np.load(folder / "vectors.npz") as data:
        return dict(zip(data["ids"].tolist(), data["vectors"].astype(np.float32), strict=True))


def _records(file: Path) -> Iterator[list[str]]:
    return (line.split("::") for line in file.read_text(encoding="utf-8").splitlines())


def _action(user: str, movie: str, stars: int, seconds: int, *, shift: float) -> dict[str, Any]:
    return {
        "id": f"{ID_PREFIX}{user}:{movie}:{seconds}",
        "user_id": user,
        "content_id": movie.lstrip("0"),
        "action": "like" if stars >= 7 else "view" if stars >= 5 else "dislike",
        "value": stars,
        "timestamp": round(seconds + shift, 3),
    }
