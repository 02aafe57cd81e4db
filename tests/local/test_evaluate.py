import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from local.evaluation.main import main
from local.evaluation.prepared import read_cut

NOW = 1_700_000_000
HOUR = 3600
CANDIDATES = ["comedy1", "comedy2", "comedy3", "drama1", "drama2", "drama3"]
NEW = ["newcomedy", "newdrama"]
GENRES = ("comedy", "drama")
# Five friends of each genre; ann read two comedies, dan disliked a comedy, nobody knows newbie.
TRAIN = [
    *[(f"{genre}fan{fan}", f"{genre}{part}", 0.6, 1) for genre in GENRES for fan in range(5) for part in (1, 2, 3)],
    *[(f"crowd{fan}", "drama3", 0.6, 1) for fan in range(9)],
    ("ann", "comedy1", 0.8, 1),
    ("ann", "comedy2", 0.8, 1),
    ("dan", "drama1", 0.8, 1),
    ("dan", "comedy1", -1.0, 0),
]


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """A prepared data set with two cuts, without any test file: the truth isn't read."""
    for name in ("80", "90"):
        cut = tmp_path / "tiny" / f"cut{name}"
        cut.mkdir(parents=True)
        (cut / "meta.json").write_text(json.dumps({"dataset": "tiny", "cut": name, "T": NOW, "end": NOW + HOUR}))
        rows = [f"{user},{item},{NOW - HOUR * n},RATE,8,{w},{p}" for n, (user, item, w, p) in enumerate(TRAIN, 1)]
        write(cut / "train.csv", "user_id,item_id,timestamp,event,value,weight,positive", *rows)
        write(cut / "candidates.csv", "item_id,first_seen,events", *[f"{item},{NOW},1" for item in CANDIDATES])
        write(cut / "new_candidates.csv", "item_id", *NEW)
        write(cut / "users.csv", "user_id,history", "ann,2", "dan,1", "newbie,0")
    vectors = [
        [1.0, 0.1 * n, 0.0] if "comedy" in item else [0.0, 0.1 * n, 1.0] for n, item in enumerate(CANDIDATES + NEW)
    ]
    np.savez(tmp_path / "vectors.npz", ids=np.array(CANDIDATES + NEW), vectors=np.array(vectors, np.float16))
    return tmp_path / "tiny"


def write(path: Path, *lines: str) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def evaluate(data_set: Path, *options: str) -> list[dict[str, Any]]:
    out = data_set.parent / "rankings.jsonl"
    assert main([str(data_set), "--out", str(out), *options]) == 0
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def of_user(lines: list[dict[str, Any]], user_id: str) -> dict[str, Any]:
    return next(line for line in lines if line["user_id"] == user_id and line["cut"] == "80")


def vectors_of(data_set: Path) -> str:
    return str(data_set.parent / "vectors.npz")


def test_every_user_of_every_cut_gets_a_line(data_set: Path) -> None:
    lines = evaluate(data_set)
    assert [(line["dataset"], line["cut"], line["user_id"]) for line in lines] == [
        ("tiny", cut, user) for cut in ("80", "90") for user in ("ann", "dan", "newbie")
    ]


def test_a_list_holds_every_candidate_that_the_user_has_not_acted_on_in_any_way(data_set: Path) -> None:
    lines = evaluate(data_set)
    assert sorted(of_user(lines, "ann")["items"]) == ["comedy3", "drama1", "drama2", "drama3"]
    assert sorted(of_user(lines, "dan")["items"]) == ["comedy2", "comedy3", "drama2", "drama3"]


def test_the_users_own_kind_comes_first_when_his_embedding_ranks_alone(data_set: Path) -> None:
    lines = evaluate(data_set, "--alone")
    assert of_user(lines, "ann")["items"][0] == "comedy3"
    assert set(of_user(lines, "dan")["items"][:2]) == {"drama2", "drama3"}


def test_a_user_without_history_gets_the_popular_and_nothing_when_his_embedding_ranks_alone(data_set: Path) -> None:
    assert of_user(evaluate(data_set), "newbie")["items"][0] == "drama3"
    assert len(of_user(evaluate(data_set), "newbie")["items"]) == len(CANDIDATES)
    assert of_user(evaluate(data_set, "--alone"), "newbie")["items"] == []


def test_new_items_are_ranked_by_their_content_vectors(data_set: Path) -> None:
    lines = evaluate(data_set, "--vectors", vectors_of(data_set))
    assert of_user(lines, "ann")["new_items"] == ["newcomedy", "newdrama"]
    assert of_user(lines, "dan")["new_items"] == ["newdrama", "newcomedy"]


def test_without_vectors_no_new_items_are_ranked(data_set: Path) -> None:
    assert "new_items" not in of_user(evaluate(data_set), "ann")


def test_the_same_data_give_the_same_rankings(data_set: Path) -> None:
    assert evaluate(data_set, "--vectors", vectors_of(data_set)) == evaluate(
        data_set, "--vectors", vectors_of(data_set)
    )


def test_progress_goes_to_standard_error(data_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(data_set)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "tiny, cut 80" in printed.err
    assert "3 of 3 users" in printed.err


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        pytest.param("train.csv", None, "train.csv can't be read", id="a missing file"),
        pytest.param("train.csv", "user_id,item_id,timestamp,weight\n", "no column positive", id="a missing column"),
        pytest.param("users.csv", "", "no column user_id", id="an empty file"),
        pytest.param("users.csv", "user_id\n\udcff\n", "UTF-8", id="another encoding"),
        pytest.param(
            "train.csv",
            "user_id,item_id,timestamp,weight,positive\nann,comedy1,yesterday,1,1\n",
            "yesterday",
            id="a word for a number",
        ),
        pytest.param(
            "train.csv", "user_id,item_id,timestamp,weight,positive\nann,comedy1,nan,1,1\n", "finite", id="not a time"
        ),
        pytest.param("train.csv", "user_id,item_id,timestamp,weight,positive\nann\n", "train.csv", id="a short row"),
        pytest.param("meta.json", '{"dataset": "tiny"}', "meta.json", id="no time of the cut"),
        pytest.param("meta.json", "[", "meta.json", id="no JSON"),
    ],
)
def test_a_data_set_that_cannot_be_used_is_told_in_one_sentence(
    data_set: Path, capsys: pytest.CaptureFixture[str], file: str, text: str | None, complaint: str
) -> None:
    path = data_set / "cut80" / file
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
    assert main([str(data_set), "--out", str(data_set / "out.jsonl")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert complaint in line


def test_a_folder_without_cuts_an_unwritable_file_and_bad_vectors_are_told_too(
    data_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(data_set / "cut80"), "--out", str(data_set / "out.jsonl")]) == 2
    assert "no folder cut*" in capsys.readouterr().err
    assert main([str(data_set), "--out", str(data_set / "missing" / "out.jsonl")]) == 2
    assert "out.jsonl can't be written" in capsys.readouterr().err
    np.savez(data_set / "bad.npz", ids=np.array(["a"]), vectors=np.zeros((2, 3)))
    for vectors, complaint in (("bad.npz", "fit together"), ("cut80/train.csv", "ids and vectors"), ("no", "No such")):
        assert main([str(data_set), "--out", str(data_set / "out.jsonl"), "--vectors", str(data_set / vectors)]) == 2
        assert complaint in capsys.readouterr().err


def test_genres_are_topics_and_an_item_without_a_line_has_none(data_set: Path) -> None:
    write(
        data_set / "items.csv",
        "item_id,title,genres",
        "comedy1,One,Comedy Short",
        "drama1,Two,Drama|War",
        "drama2,Three,",
    )
    cut = read_cut(data_set / "cut80")
    topics = dict(zip(cut.item_ids, cut.topics, strict=True))
    assert topics["comedy1"] == {"Comedy", "Short"}
    assert topics["drama1"] == {"Drama", "War"}
    assert topics["drama2"] == topics["comedy3"] == frozenset()
