"""The pages as people see them: in both languages and colour schemes, on a desktop and a phone, by eye and by key."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser

from lib.web.translation import CHINESE, ENGLISH
from local.functions import ROOT
from tests.browser.chromium import SCHEMES, Scheme, violations
from tests.browser.conftest import DESKTOP, PHONE, PHONE_HEIGHT, Visit, visiting
from tests.browser.states import STATES, State

IMAGES = ROOT / "docs" / "images"
MOST_BYTES = 150_000  # of a picture

# An early phone's and a desktop's at 200 % (WCAG 1.4.10 and 1.4.4), and either without a zoom.
WIDTHS = (320, PHONE, DESKTOP // 2, DESKTOP)
UNFOLD = "document.querySelectorAll('details').forEach(details => details.open = true)"
# What sticks out of the column that everything stands in; what scrolls by itself and what is for screen readers may.
STICKING_OUT = """() => {
  const found = [], style = getComputedStyle(document.body), column = document.body.getBoundingClientRect();
  const right = column.right - parseFloat(style.paddingRight) + 0.5;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const range = document.createRange();
    range.selectNodeContents(text);
    const sticksOut = [...range.getClientRects()].some(box => box.width && box.right > right);
    const thead = text.parentElement.closest("thead");
    const mayStickOut = text.parentElement.closest(".scroll, .unseen")
      || thead && getComputedStyle(thead).position === "absolute";
    if (sticksOut && !mayStickOut) found.push(text.data);
  }
  return found;
}"""
FOCUSABLE = "a[href], summary, [tabindex]"
FOCUSED = """selector => {
  const focused = document.activeElement, style = getComputedStyle(focused);
  const index = [...document.querySelectorAll(selector)].indexOf(focused);
  return [index, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
}"""


class Picture(NamedTuple):
    """Of `height` pixels from the page's top, or from the heading of this id."""

    state: str
    language: str
    scheme: Scheme
    width: int
    height: int
    heading: str = ""


PICTURES = {
    "init-in-order.png": Picture("init-in-order", ENGLISH, "light", DESKTOP, 1_000),
    "init-unset.png": Picture("init-unset", ENGLISH, "dark", PHONE, PHONE_HEIGHT),
    "init-wrong.zh-CN.png": Picture("init-wrong", CHINESE, "light", DESKTOP, 860),
    "init-preview.png": Picture("init-preview", ENGLISH, "light", PHONE, PHONE_HEIGHT),
    "refused.zh-CN.png": Picture("refused", CHINESE, "light", PHONE, 480),
    "status-idle.png": Picture("status-idle", ENGLISH, "dark", DESKTOP, 1_000),
    "status-busy.png": Picture("status-busy", ENGLISH, "light", DESKTOP, 1_240),
    "status-busy.zh-CN.png": Picture("status-busy", CHINESE, "dark", DESKTOP, 1_240),
    "status-in-trouble.zh-CN.png": Picture("status-in-trouble", CHINESE, "light", PHONE, PHONE_HEIGHT),
    "status-in-trouble.png": Picture("status-in-trouble", ENGLISH, "light", DESKTOP, 1_000, "aside"),
    "status-without-redis.png": Picture("status-without-redis", ENGLISH, "dark", DESKTOP, 800),
    "status-without-postgres.zh-CN.png": Picture("status-without-postgres", CHINESE, "dark", PHONE, PHONE_HEIGHT),
}


def test_the_headline_says_what_is_so(visit: Visit) -> None:
    headline = visit.page.locator("h1").inner_text()
    assert headline == visit.state.headlines[visit.language]
    assert visit.page.locator("html").get_attribute("lang") == visit.language


def test_its_picture_is_small_enough_for_a_document(
    visit: Visit, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """With --screenshots it goes into docs/images."""
    folder = IMAGES if request.config.getoption("screenshots") else tmp_path
    for name, picture in PICTURES.items():
        if (STATES[picture.state], picture.language) == (visit.state, visit.language):
            visit.look(width=picture.width, height=picture.height, scheme=picture.scheme)
            visit.page.evaluate("id => document.getElementById(id)?.scrollIntoView()", picture.heading)
            visit.page.screenshot(path=folder / name)
            assert (folder / name).stat().st_size < MOST_BYTES


def test_every_state_has_its_picture() -> None:
    assert {picture.state for picture in PICTURES.values()} == set(STATES)
    assert {file.name for file in IMAGES.glob("*.png")} == set(PICTURES)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_axe_finds_nothing_to_mend(visit: Visit, width: int, scheme: Scheme) -> None:
    visit.look(width=width, scheme=scheme)
    visit.page.evaluate(UNFOLD)
    assert violations(visit.page) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(visit: Visit, width: int) -> None:
    visit.look(width=width)
    visit.page.evaluate(UNFOLD)
    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    assert visit.page.evaluate(STICKING_OUT) == []


def test_nothing_is_refused_by_the_policy_and_nothing_asked_of_others(visit: Visit) -> None:
    told_by_itself = re.compile("error: Failed to load resource: the server responded with a status of (401|503) ")
    assert [complaint for complaint in visit.complaints if not told_by_itself.match(complaint)] == []
    assert set(visit.requests) == {visit.address}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_the_keyboard_reaches_is_outlined(visit: Visit, scheme: Scheme) -> None:
    visit.look(width=DESKTOP, scheme=scheme)
    visit.page.evaluate(UNFOLD)
    n_focusable = visit.page.locator(FOCUSABLE).count()
    reached: dict[int, bool] = {}
    for _ in range(n_focusable + 1):  # one press may be at the end of the page
        visit.page.keyboard.press("Tab")
        index, is_outlined = visit.page.evaluate(FOCUSED, FOCUSABLE)
        reached[index] = is_outlined
    reached.pop(-1, None)
    assert reached == dict.fromkeys(range(n_focusable), True)


def test_without_javascript_everything_is_there(browser: Browser, state: State, address: str) -> None:
    with visiting(browser, state, address, language=ENGLISH, java_script_enabled=False) as visit:
        assert visit.page.locator("h1").inner_text() == state.headlines[ENGLISH]
        for heading in visit.page.locator("h2").all():
            assert heading.is_visible()
        for details in visit.page.locator("article details, td details").all():
            details.locator("summary").click()
            assert details.get_attribute("open") is not None
