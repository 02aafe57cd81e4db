import json
import math
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest

from local.evaluation.compare import Comparison
from local.evaluation.metrics import Judged
from local.evaluation.plot import draw
from local.evaluation.report import as_json, as_markdown, conclude


def judged(ndcg: float, *, spread: float = 0.0, users: int = 400) -> Judged:
    """Half of the users above and half below."""
    scores = np.full((users, 2), ndcg)
    scores[::2] += spread
    scores[1::2] -= spread
    return Judged({"warm": scores, "tail": scores / 4, "few": scores[:10], "cold": scores[:0]}, 0.25, 0.0)


def comparison(ours: Judged, popular: Judged, *, half_life_hours: float = 36.0) -> Comparison:
    return Comparison(
        {"ours": [ours], "popularity": [popular]}, half_life_hours, 1_000, 400, ["Cut 80: <all> & everything."]
    )


@pytest.mark.parametrize(
    ("ours", "answer", "sentence"),
    [
        pytest.param(
            judged(0.211, spread=0.02), "pays", r"Personalising pays here: NDCG \+.011 ± .001 over", id="clearly more"
        ),
        pytest.param(
            judged(0.201, spread=0.02), "does_not_pay", r"doesn't pay here yet: NDCG \+.001 ± .001", id="hardly more"
        ),
        pytest.param(judged(0.19, spread=0.02), "does_not_pay", "yet: NDCG −.010 ± .001 against", id="less"),
        pytest.param(
            judged(0.1, spread=0.3), "does_not_pay", "NDCG −.100 ± .015", id="surely less, though not by how much"
        ),
        pytest.param(
            judged(0.21, spread=0.3), "too_little_data", "Too little data to tell .* from 400 users", id="a wide error"
        ),
        pytest.param(judged(0.3, users=99), "too_little_data", "from 99 users", id="few users"),
        pytest.param(judged(0.2), "does_not_pay", r"NDCG \+.000 ± .000", id="the same lists"),
    ],
)
def test_the_sentence_says_whether_personalising_pays(ours: Judged, answer: str, sentence: str) -> None:
    verdict = conclude(comparison(ours, judged(0.2, users=len(ours.slices["warm"]))))
    assert verdict.answer == answer
    assert re.search(sentence, verdict.sentence)


def test_the_table_has_a_row_a_list_and_a_dash_where_nobody_is_in_a_slice() -> None:
    lines = as_markdown(comparison(judged(0.2, spread=0.02), judged(0.1))).splitlines()
    assert lines[2] == "| ours | .200 | .200 ± .001 | .050 | .050 ± .000 | .200 | – | .250 | .000 |"
    assert lines[3].startswith("| popularity, half-life 36 h | .100 |")
    assert len({line.count("|") for line in lines[:4]}) == 1
    assert lines[-1].startswith("Personalising pays here")


def test_json_says_the_same_and_never_what_json_does_not_know() -> None:
    data: dict[str, Any] = json.loads(
        json.dumps(as_json(comparison(judged(0.2), judged(0.1), half_life_hours=math.inf)), allow_nan=False)
    )
    assert data["sentence"] == "Personalising pays here: NDCG +.100 ± .000 over the popularity list."
    assert data["lists"][0]["warm"] == pytest.approx({"recall": 0.2, "ndcg": 0.2, "error": 0.0, "users": 400})
    assert data["lists"][0]["cold"] is None
    assert data["popularity_half_life_hours"] is None


def test_the_plot_is_well_formed_and_has_a_bar_with_its_error_for_each_list_and_panel() -> None:
    drawn = draw(comparison(judged(0.2, spread=0.1), judged(0.1), half_life_hours=math.inf))
    svg = ElementTree.fromstring(drawn)  # noqa: S314 - our own
    texts = [element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == conclude(comparison(judged(0.2, spread=0.1), judged(0.1))).sentence
    assert {"ours", "popularity, all time", "NDCG@20, all items"} <= set(texts)
    bars = [element for element in svg.iter("{http://www.w3.org/2000/svg}rect") if element.get("class") != "page"]
    assert [bar.get("class") for bar in bars] == ["ours", "bar"] * 2
    assert float(bars[0].get("width", 0)) == pytest.approx(2 * float(bars[1].get("width", 0)), abs=0.2)
    assert len(list(svg.iter("{http://www.w3.org/2000/svg}path"))) == 4


@pytest.mark.parametrize("ndcg", [0.0, 0.0007, 0.01, 0.05, 0.3, 0.999, 1.0])
def test_no_bar_leaves_its_panel(ndcg: float) -> None:
    drawn = draw(comparison(judged(ndcg), judged(ndcg / 2)))
    svg = ElementTree.fromstring(drawn)  # noqa: S314 - our own
    bars = [element for element in svg.iter("{http://www.w3.org/2000/svg}rect") if element.get("class") != "page"]
    assert all(0 <= float(bar.get("width", -1)) <= 300.1 for bar in bars)
