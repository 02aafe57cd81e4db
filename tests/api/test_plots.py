import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from lib.web.plots import HEIGHT, STEP, bars

SVG = "{http://www.w3.org/2000/svg}"


def drawing(values: list[float], **texts: str) -> ElementTree.Element:
    texts = {"name": "x", "title": "Actions", "description": "None.", **texts}
    svg = str(bars(values, **texts)).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return ElementTree.fromstring(svg)  # noqa: S314 - of our own making


def rectangles(svg: ElementTree.Element) -> list[dict[str, float]]:
    return [{name: float(value) for name, value in rect.attrib.items()} for rect in svg.iter(f"{SVG}rect")]


def test_there_is_a_bar_for_each_value_that_isn_t_zero_and_it_stands_on_the_ground() -> None:
    found = rectangles(drawing([0, 5, 10, 0]))
    assert [rect["x"] // STEP for rect in found] == [1, 2]
    assert [rect["height"] for rect in found] == [HEIGHT / 2, HEIGHT]
    assert {rect["y"] + rect["height"] for rect in found} == {HEIGHT}


def test_bars_stay_inside_the_drawing_and_beside_one_another() -> None:
    svg = drawing([3.0] * 24)
    width = float(svg.attrib["viewBox"].split()[2])
    found = rectangles(svg)
    assert found[-1]["x"] + found[-1]["width"] <= width
    assert all(b["x"] >= a["x"] + a["width"] for a, b in pairwise(found))


def test_a_small_value_beside_a_large_one_can_still_be_seen() -> None:
    small, large = rectangles(drawing([1, 1_000_000]))
    assert large["height"] == HEIGHT
    assert small["height"] >= 1


@pytest.mark.parametrize("values", [[], [0, 0, 0]], ids=["no values", "zeros alone"])
def test_where_nothing_happened_there_is_no_bar(values: list[float]) -> None:
    assert rectangles(drawing(values)) == []


def test_a_screen_reader_is_told_what_it_is_and_what_it_shows() -> None:
    svg = drawing([1], name="applied", title="Actions an hour", description="12 in all.")
    assert svg.attrib["role"] == "img"
    named = {element.attrib["id"]: element.text for element in svg.iter() if "id" in element.attrib}
    assert named[svg.attrib["aria-labelledby"]] == "Actions an hour"
    assert named[svg.attrib["aria-describedby"]] == "12 in all."


def test_texts_are_texts_and_nothing_is_styled_in_place() -> None:
    markup = str(bars([1], name="x", title='<b>"&', description="</svg><script>"))
    assert "<script>" not in markup
    assert not re.search(r"\sstyle=|\son\w+=", markup)
    assert drawing([1], title='<b>"&').findtext(f"{SVG}title") == '<b>"&'
