"""scripts/evaluate --from-database, on logs that the real drain has written."""

import dataclasses
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.settings import Settings
from local.evaluation.cuts import cut_log
from local.evaluation.data import Ranking
from local.evaluation.from_database import read_log
from local.evaluation.main import main
from local.evaluation.production import rank_cut
from tests.adapters.roles import administer, limited_role
from tests.jobs.site import Site, action
from tests.local.evaluation import plainly
from tests.local.evaluation.logs import random_log, site_of_hits, site_of_tastes
from tests.local.evaluation.plainly import Act, PlainCut

NAMES = {1.0: "like", 0.6: "save", 0.3: "click", 0.0: "skip", -1.0: "dislike"}
WEIGHTS = {name: weight for weight, name in NAMES.items()}


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> None:
    """A folder without .env files, and a shell that names the site's database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("ACTION_WEIGHTS", ",".join(f"{name}={weight}" for name, weight in WEIGHTS.items()))


def fill(site: Site, log: Sequence[Act]) -> None:
    elements = [action(act.user, act.item, NAMES[act.weight], timestamp=act.at) for act in log]
    random.Random(4).shuffle(elements)  # noqa: S311 - no secrets; the log's order is that of time, not of arrival
    assert site.act(*elements)["applied"] == len(log)


def evaluate(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["--from-database", "--json", *options]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def complaint(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The one sentence of a command that ends with 2."""
    capsys.readouterr()
    assert main(["--from-database", *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.strip().splitlines()[0]


def test_where_everybody_has_a_taste_of_his_own_personalising_pays(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(site, site_of_tastes())
    answer = evaluate(capsys)
    assert answer["sentence"].startswith("Personalising pays here: NDCG +")
    assert answer["gain"]["ndcg"] > 0.1


def test_where_everybody_reads_what_is_popular_personalising_does_not_pay(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(site, site_of_hits())
    answer = evaluate(capsys)
    assert answer["sentence"].startswith("Personalising doesn't pay here yet: NDCG ")
    assert [list_["name"] for list_ in answer["lists"][:2]] == ["ours", "popularity"]


def test_with_too_little_data_it_says_so(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    fill(site, site_of_tastes(users=20))
    assert evaluate(capsys)["sentence"].startswith("Too little data to tell whether personalising pays: NDCG ")


def test_a_table_is_printed_and_the_plot_lies_in_the_current_folder(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill(site, site_of_tastes(users=30))
    monkeypatch.setenv("POPULARITY_HALF_LIFE_HOURS", "96")
    assert main(["--from-database"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("| list | R@20 | NDCG@20 |")
    assert "| popularity, half-life 96 h |" in printed
    assert "Cut 90: 378 actions before 20" in printed
    assert (tmp_path / "evaluation.svg").read_text(encoding="utf-8").startswith("<svg")


def test_the_lists_are_made_with_the_sites_own_settings(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(site, site_of_tastes(users=30))
    as_usual = evaluate(capsys)["lists"]
    assert evaluate(capsys)["lists"] == as_usual
    monkeypatch.setenv("POPULARITY_HALF_LIFE_HOURS", "3")
    [ours, popular, *peers] = evaluate(capsys)["lists"]
    assert peers == as_usual[2:]
    assert (ours, popular) != (as_usual[0], as_usual[1])


def test_it_needs_to_read_two_tables_and_nothing_more(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    fill(site, site_of_tastes(users=20))
    with limited_role(settings.database_url) as url:
        administer(settings.database_url, f"GRANT SELECT ON user_actions, content TO {url.split('/')[2].split(':')[0]}")
        monkeypatch.setenv("DATABASE_URL", url)
        assert evaluate(capsys)["actions"] == 280


def test_the_log_gives_the_lists_of_the_same_log_as_a_prepared_data_set(
    site: Site, settings: Settings, tmp_path: Path
) -> None:
    log = random_log()
    vectors = {
        item: np.random.default_rng(n).standard_normal(8).astype(np.float32) for n, item in enumerate(items(log))
    }
    fill(site, log)
    for item, vector in vectors.items():
        site.add_content(item, embedding=vector)
    settings = dataclasses.replace(settings, action_weights=WEIGHTS)
    read = read_log(settings)
    of_log = {cut.name: list(rank_cut(cut, read.content, alone=False, settings=settings)) for cut, _ in cut_log(read)}
    of_folder = rank_folder(tmp_path, plainly.split(log), vectors)
    for name in ("80", "90"):
        of_same_users = {ranking.user_id: ranking for ranking in of_folder[name]}
        assert of_log[name] == [of_same_users[ranking.user_id] for ranking in of_log[name]]
        assert len(of_log[name]) > 20
        assert any(ranking.new_items for ranking in of_log[name])


def items(log: Sequence[Act]) -> list[str]:
    return sorted({act.item for act in log})


def rank_folder(folder: Path, cuts: Sequence[PlainCut], vectors: dict[str, Any]) -> dict[str, list[Ranking]]:
    """What scripts/evaluate DIR makes of these cuts."""
    np.savez(folder / "vectors.npz", ids=np.array(list(vectors)), vectors=np.stack(list(vectors.values())))
    for name, cut in zip(("80", "90"), cuts, strict=True):
        made = folder / "log" / f"cut{name}"
        made.mkdir(parents=True)
        (made / "meta.json").write_text(json.dumps({"T": cut.now, "end": cut.end}))
        rows = [f"{act.user},{act.item},{act.at!r},{act.weight},{int(act.weight > 0)}" for act in cut.train]
        new = sorted(set().union(*cut.read_new.values()))
        for file, lines in (
            ("train", ["user_id,item_id,timestamp,weight,positive", *rows]),
            ("candidates", ["item_id", *cut.candidates]),
            ("new_candidates", ["item_id", *new]),
            ("users", ["user_id", *sorted(cut.read)]),
        ):
            (made / f"{file}.csv").write_text("\n".join(lines) + "\n")
    out, given = folder / "lists.jsonl", ["--vectors", str(folder / "vectors.npz")]
    assert main([str(folder / "log"), "--out", str(out), *given]) == 0
    ranked: dict[str, list[Ranking]] = {"80": [], "90": []}
    for line in out.read_text().splitlines():
        told = json.loads(line)
        ranked[told["cut"]].append(Ranking(told["user_id"], told["items"], told["new_items"]))
    return ranked


def test_no_more_than_the_latest_actions_count_and_the_report_says_so(
    site: Site, settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(site, [Act(f"early {n}", "an early item", 1.0 + n, 1.0) for n in range(50)])
    fill(site, site_of_tastes(users=100, reads=10))
    monkeypatch.setenv("MODEL_MAX_ACTIONS", "1000")
    answer = evaluate(capsys)
    assert answer["actions"] == 1_000
    assert answer["notes"][-1] == "Only the latest 1,000 actions count (MODEL_MAX_ACTIONS)."
    assert answer["notes"][0].startswith("Cut 80: 800 actions before 2023")
    assert "an early item" not in read_log(dataclasses.replace(settings, model_max_actions=1_000)).item_ids


def test_items_without_a_row_of_content_are_no_candidates_and_unavailable_ones_are(
    site: Site, settings: Settings
) -> None:
    fill(site, [Act(f"user {n % 7}", f"item {n % 5}", 1.0 + n, 1.0) for n in range(70)])
    assert read_log(settings).may_be_shown.tolist() == [True] * 5
    site.add_content("item 0", "item 1", "another")
    site.add_content("item 4", available=False)
    assert read_log(settings).may_be_shown.tolist() == [True, True, False, False, True]


def test_content_vectors_of_another_size_than_most_are_left_out(site: Site, settings: Settings) -> None:
    fill(site, [Act(f"user {n}", "a", 1.0 + n, 1.0) for n in range(3)])
    assert read_log(settings).content is None
    for item, size in (("a", 3), ("b", 3), ("c", 2)):
        site.add_content(item, embedding=np.ones(size, np.float32))
    content = read_log(settings).content
    assert content is not None
    assert sorted(content) == ["a", "b"]


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        pytest.param([], "no actions yet", id="an empty log"),
        pytest.param([Act("ann", f"item {n}", 1.0 + n, 1.0) for n in range(9)], "of one user only", id="one user"),
        pytest.param(
            [Act(f"user {n}", "item", 1.0 + n, -1.0) for n in range(9)], "positive weight", id="dislikes only"
        ),
        pytest.param(
            [Act(f"user {n}", f"item {n}", 1.0 + n, 1.0) for n in range(9)], "Too little data", id="no returns"
        ),
    ],
)
def test_a_log_that_says_nothing_is_told_in_one_sentence(
    site: Site, capsys: pytest.CaptureFixture[str], log: list[Act], sentence: str
) -> None:
    if log:
        fill(site, log)
    assert sentence in complaint(capsys)


def test_a_log_of_nothing_that_content_holds_is_told_in_one_sentence(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(site, [Act(f"user {n % 7}", f"item {n % 5}", 1.0 + n, 1.0) for n in range(70)])
    site.add_content("another item")
    assert "content holds nothing of what users acted on" in complaint(capsys)


def test_a_database_that_is_not_named_away_or_empty_is_told_in_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, make_database: Any
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("POSTGRES_URL", raising=False)
    assert complaint(capsys) == "❌ DATABASE_URL is not set (nor is POSTGRES_URL)."
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret-word@127.0.0.1:9/db")
    assert "Postgres doesn't answer" in (said := complaint(capsys))
    assert "secret-word" not in said
    monkeypatch.setenv("DATABASE_URL", make_database())
    assert complaint(capsys).startswith("❌ The database")


def test_a_plot_that_cannot_be_written_is_told_before_the_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("local.evaluation.site.read_log", None)
    assert "must end in .svg" in complaint(capsys, "--plot", "plot.png")
    assert "there is no such folder" in complaint(capsys, "--plot", str(tmp_path / "missing" / "plot.svg"))
