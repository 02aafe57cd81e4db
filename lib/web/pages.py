"""The pages: Jinja2 templates, everything escaped, nothing from outside, and no style but the one sheet of ours.

In a template `t("English {name}", name=…)` says it in the reader's language, and a Text too. `prose(text)` makes
links of a Text's addresses, code of its `backticks`, and a block to copy of what follows its first line. `moment(iso)`
tells a time and how far away it is. An attribute `style` has no effect: the policy allows the sheet alone, by its hash.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from lib.text import Text
from lib.web.http import Request, Response
from lib.web.times import relative
from lib.web.translation import ENGLISH, catalogue, preferred_language

_FOLDER = Path(__file__).with_name("templates")
STYLE = (_FOLDER / "style.css").read_text(encoding="utf-8")
CONTENT_POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_environment = Environment(
    loader=FileSystemLoader(_FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals["style"] = Markup(STYLE)  # noqa: S704 (our own sheet)


def page_response(request: Request, template: str, status: str = "200 OK", /, **values: object) -> Response:
    """The page in the language that the request asks for."""
    language = preferred_language(request.headers.get("accept-language", ""))
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Language": language,
        "Content-Security-Policy": CONTENT_POLICY,
        "Vary": "Accept, Accept-Language",
    }
    return Response(status, render(template, language, **values).encode("utf-8", "replace"), headers)


def render(template: str, language: str = ENGLISH, **values: object) -> str:
    say = partial(_say, language)
    tools = {"t": say, "prose": partial(_prose, say), "moment": partial(_moment, say, datetime.now(UTC))}
    return _environment.get_template(template).render(language=language, **tools, **values)


def _moment(say: Callable[[str], Markup], now: datetime, iso: str) -> Markup:
    then = datetime.fromisoformat(iso).astimezone(UTC)
    clock = then.strftime("%H:%M UTC" if then.date() == now.date() else "%m-%d %H:%M UTC")
    return Markup('<time datetime="{}">{} <span class="quiet whole">{}</span></time>').format(
        iso, say(relative(then, now)), clock
    )


def _say(language: str, words: str, **values: object) -> Markup:
    """Escaped; a value that is Markup stays so, a Text is translated as well."""
    if isinstance(words, Text):
        return escape(words.translated(catalogue(language)))
    template = catalogue(language).get(words, words)
    said = {name: _say(language, value) if isinstance(value, Text) else value for name, value in values.items()}
    return escape(template).format(**said)


def _prose(say: Callable[[str], Markup], text: Text) -> Markup:
    words, _, block = say(text).partition("\n")
    parts = [f"<code>{part}</code>" if odd % 2 else _linked(part) for odd, part in enumerate(words.split("`"))]
    return Markup("".join(parts) + (f"<pre><code>{block}</code></pre>" if block else ""))  # noqa: S704 (escaped above)


def _linked(words: str) -> str:
    return re.sub(r"https?://(?:[\w./?=#%~+:-]|&amp;)*[\w/]", r'<a href="\g<0>">\g<0></a>', words)
