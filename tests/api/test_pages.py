"""What holds for every page: its language, its policy, and what a screen reader is given."""

import base64
import dataclasses
import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from lib.adapters.services import Services
from lib.settings import parse_settings
from lib.text import Text
from lib.web import endpoints
from lib.web.edge import keyed_application
from lib.web.pages import STYLE, render
from lib.web.translation import CHINESE
from tests.api.wsgi import Answer, call

HTML = "text/html,application/xhtml+xml"
KEY = {"Authorization": "Bearer the-admin-key"}
VOID = {"meta", "br", "img", "link", "hr", "input"}


@pytest.fixture
def services() -> Iterator[Services]:
    """With a key, and everything else missing."""
    services = Services(parse_settings({"ADMIN_API_KEY": "the-admin-key"}))
    yield services
    services.close()


def ask(services: Services, path: str, **headers: str) -> Answer:
    handler = {"/api/init": endpoints.init, "/api/status": endpoints.status}[path]
    application = keyed_application(path, handler, has_page=True, services=services)
    return call(application, path=path, headers={"Accept": HTML, **headers})


@pytest.fixture(params=["/api/init", "/api/status", "refused"])
def page(request: pytest.FixtureRequest, services: Services) -> Answer:
    """Each page once, in English."""
    return ask(services, "/api/init") if request.param == "refused" else ask(services, request.param, **KEY)


class Tags(HTMLParser):
    """The tags of a page, each with what it is in; fails where one isn't closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), list(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def named(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes, _ in self.found if tag in names]


def test_the_policy_allows_the_page_s_one_style_sheet_and_nothing_else(page: Answer) -> None:
    [style] = re.findall(r"<style>(.*?)</style>", page.body.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = page.headers["content-security-policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
    assert "unsafe" not in policy


def test_a_page_needs_nothing_from_elsewhere_and_no_script(page: Answer) -> None:
    tags = Tags(page.body.decode())
    assert tags.named("script", "link", "img", "iframe", "form") == []
    assert [attributes for _, attributes, _ in tags.found if "style" in attributes or "onclick" in attributes] == []
    assert "url(" not in page.body.decode()
    assert "@import" not in page.body.decode()


def test_a_page_has_landmarks_one_heading_and_headings_in_order(page: Answer) -> None:
    tags = Tags(page.body.decode())
    for landmark in ("header", "nav", "main"):
        assert len(tags.named(landmark)) == 1
    assert len(tags.named("title")) == 1
    levels = [int(tag[1]) for tag, _, _ in tags.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    ids = [attributes["id"] for _, attributes, _ in tags.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["aria-labelledby"] for _, a, _ in tags.found if "aria-labelledby" in a} <= set(ids)


def test_a_head_cell_says_what_it_heads_and_a_sign_what_it_means(page: Answer) -> None:
    tags = Tags(page.body.decode())
    assert [cell for cell in tags.named("th") if cell.get("scope") not in ("col", "row")] == []
    signs = [a for _, a, _ in tags.found if "sign" in (a.get("class") or "").split()]
    assert [sign for sign in signs if sign.get("role") != "img" or not sign.get("aria-label")] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground_as_wcag_aa_asks(scheme: str) -> None:
    light, dark = STYLE.split("prefers-color-scheme: dark")
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", light if scheme == "light" else dark))
    assert len(colours) == 9
    faint = {
        (words, ground): contrast(colours[words], colours[ground])
        for words in ("ink", "quiet", "link", "good", "care", "bad")
        for ground in ("ground", "raised")
        if contrast(colours[words], colours[ground]) < 4.5
    }
    assert faint == {}


def contrast(one: str, other: str) -> float:
    """The ratio that WCAG 2.2 defines."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[first : first + 2], 16) / 255 for first in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("asked", "language"), [("zh-CN,zh;q=0.9", "zh-CN"), ("de", "en"), ("", "en")])
def test_a_page_says_its_language(services: Services, asked: str, language: str) -> None:
    answer = ask(services, "/api/init", **{"Accept-Language": asked}, **KEY)
    assert Tags(answer.body.decode()).named("html") == [{"lang": language}]
    assert answer.headers["content-language"] == language
    assert "Accept-Language" in answer.headers["vary"]


def test_programs_get_english_whatever_language_they_accept(services: Services) -> None:
    answer = ask(services, "/api/init", **{"Accept": "*/*", "Accept-Language": "zh"}, **KEY)
    assert answer.json["checks"][0]["message"] == "QSTASH_TOKEN is not set."


def test_a_browser_without_the_key_is_asked_for_it_and_told_on_a_page(services: Services) -> None:
    answer = ask(services, "/api/init", **{"Accept-Language": "zh"})
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert "访问此页面需要管理密钥" in answer.body.decode()
    assert ask(services, "/api/init", Accept="*/*").json["error"]["code"] == "unauthenticated"


def test_where_no_key_is_set_a_page_says_how_to_set_one(services: Services) -> None:
    keyless = Services(dataclasses.replace(services.settings, admin_api_key=""))
    answer = ask(keyless, "/api/status")
    assert answer.status == 503
    assert "<pre><code>ADMIN_API_KEY=…</code></pre>" in answer.body.decode()
    assert "<code>openssl rand -hex 24</code>" in answer.body.decode()


def test_what_comes_from_elsewhere_is_shown_as_text() -> None:
    evil = Text("{words} and `code`\n{line}", words="<b>https://evil.example/?a=1&b=2</b>", line="<i>`x`</i>")
    page = render("error.html", CHINESE, message=evil, fix=evil)
    assert "<b>" not in page
    assert "<i>" not in page
    assert '<a href="https://evil.example/?a=1&amp;b=2">' in page
    assert "<code>code</code><pre><code>&lt;i&gt;`x`&lt;/i&gt;</code></pre>" in page
