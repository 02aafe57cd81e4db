"""Reads prepared data sets: a folder with a folder for each cut, and content vectors beside it."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from lib.core.diversity import Topics
from local.evaluation.data import Content, Cut, Floats, Indices, UnusableDataError


def read_cut(folder: Path) -> Cut:
    """Reads one prepared cut; UnusableDataError where a file, a column or a number is missing."""
    meta = _read_meta(folder / "meta.json")
    train = folder / "train.csv"
    users, items, *numbers = _read_columns(train, "user_id", "item_id", "timestamp", "weight", "positive")
    times, weights, positive = (_numbers(train, column) for column in numbers)
    ranked_users = _read_ids(folder / "users.csv", "user_id")
    candidates = _read_ids(folder / "candidates.csv", "item_id")
    new_candidates = _read_ids(folder / "new_candidates.csv", "item_id")
    user_ids = list(dict.fromkeys([*ranked_users, *users]))
    item_ids = sorted({*candidates, *new_candidates, *items})
    return Cut(
        **meta,
        user_ids=user_ids,
        n_ranked_users=len(ranked_users),
        item_ids=item_ids,
        topics=_read_topics(folder.parent / "items.csv", item_ids),
        candidates=np.sort(_positions(candidates, item_ids)),
        new_candidates=np.sort(_positions(new_candidates, item_ids)),
        users=_positions(users, user_ids),
        items=_positions(items, item_ids),
        times=times,
        weights=weights,
        positive=positive > 0,
    )


def read_content(path: Path) -> Content:
    """The content vectors of an .npz file with the arrays `ids` (n,) and `vectors` (n, M)."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            ids, vectors = arrays["ids"], arrays["vectors"].astype(np.float32)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UnusableDataError(f"{path} must hold the arrays ids and vectors: {error}") from error
    if vectors.ndim != 2 or ids.shape != vectors.shape[:1]:
        raise UnusableDataError(f"{path}: ids {ids.shape} and vectors {vectors.shape} don't fit together.")
    return dict(zip(ids.astype(str).tolist(), vectors, strict=True))


def _read_meta(path: Path) -> dict[str, Any]:
    """What a Cut knows of itself. Where the end isn't told, it is now: nothing but a learner of windows asks for it."""
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
        return {
            "now": float(meta["T"]),
            "dataset": str(meta.get("dataset", path.parent.parent.name)),
            "name": str(meta.get("cut", path.parent.name.removeprefix("cut"))),
            "end": float(meta.get("end", meta["T"])),
        }
    except OSError as error:
        raise UnusableDataError(f"{path} can't be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UnusableDataError(f"{path} must be a JSON object with the time of the cut as T, unix seconds.") from error


def _read_topics(path: Path, item_ids: Sequence[str]) -> list[Topics]:
    """The genres of the items, as words; none where the file or an item in it is missing."""
    if not path.exists():
        return [frozenset()] * len(item_ids)
    genres = dict(zip(*_read_columns(path, "item_id", "genres"), strict=True))
    return [frozenset(genres.get(item_id, "").replace("|", " ").split()) for item_id in item_ids]


def _read_ids(path: Path, column: str) -> list[str]:
    return list(dict.fromkeys(_read_columns(path, column)[0]))


def _read_columns(path: Path, *names: str) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle, restval="")
            missing = [name for name in names if name not in (reader.fieldnames or ())]
            if missing:
                raise UnusableDataError(f"{path} has no column {', '.join(missing)}.")
            rows = [[row[name] for name in names] for row in reader]
    except OSError as error:
        raise UnusableDataError(f"{path} can't be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnusableDataError(f"{path} is no CSV file in UTF-8: {error}.") from error
    return [[row[position] for row in rows] for position in range(len(names))]


def _numbers(path: Path, column: Sequence[str]) -> Floats:
    try:
        numbers = np.array(column, dtype=np.float64)
    except ValueError as error:
        raise UnusableDataError(f"{path}: {error}.") from error
    if not np.isfinite(numbers).all():
        raise UnusableDataError(f"{path} holds a number that is not finite.")
    return numbers


def _positions(ids: Sequence[str], known_ids: Sequence[str]) -> Indices:
    position_of = {known: position for position, known in enumerate(known_ids)}
    return np.array([position_of[id_] for id_ in ids], dtype=np.intp)
