"""The pages as people see them: in both languages and colour schemes, on a desktop and a phone, by eye and by key."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser

from lib.web.translation import CHINESE, ENGLISH
from local.functions import ROOT
from tests.browser.conftest import DESKTOP, PHONE, Visit, violations, visiting
from tests.browser.states import STATES, State, served
from tests.conftest import Servers, making_databases

SCHEMES = ("light", "dark")
# An early phone's and a desktop's at 200 % (WCAG 1.4.10 and 1.4.4), and either without a zoom.
WIDTHS = (320, PHONE, DESKTOP // 2, DESKTOP)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
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
FOCUSED = """() => {
  const focused = document.activeElement, style = getComputedStyle(focused);
  const index = [...document.querySelectorAll("a[href], summary, [tabindex]")].indexOf(focused);
  return [index, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
}"""


def test_the_headline_says_what_is_so(visit: Visit) -> None:
    headline = visit.page.locator("h1").inner_text()
    assert headline == visit.state.headlines[visit.language]
    assert visit.page.locator("html").get_attribute("lang") == visit.language


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_axe_finds_nothing_to_mend(visit: Visit, width: int, scheme: str) -> None:
    visit.look(width=width, scheme=scheme)
    visit.page.evaluate(UNFOLD)
    assert violations(visit.page, RULES) == []


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
def test_what_the_keyboard_reaches_is_outlined(visit: Visit, scheme: str) -> None:
    visit.look(width=DESKTOP, scheme=scheme)
    visit.page.evaluate(UNFOLD)
    n_focusable = visit.page.locator(FOCUSABLE).count()
    reached: dict[int, bool] = {}
    for _ in range(n_focusable + 1):  # one press may be at the end of the page
        visit.page.keyboard.press("Tab")
        index, is_outlined = visit.page.evaluate(FOCUSED)
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
