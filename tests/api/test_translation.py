"""Every sentence that a page may hold is there in Chinese too."""

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes

from lib import errors
from lib.text import Text
from lib.web.translation import CHINESE, ENGLISH, catalogue, preferred_language, translate

ROOT = Path(__file__).resolve().parent.parent.parent
CODE = sorted(ROOT.glob("lib/**/*.py"))
TEMPLATES = sorted(ROOT.glob("lib/web/templates/*.html"))
MAKERS = ("text.py", "errors.py")  # they make Texts of what others wrote
# What a page may show of an error; the others answer programs, in English.
SHOWN_ERRORS = (errors.ServiceUnavailable, errors.SettingsError)


def calls(file: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))


def texts_of_code(file: Path) -> Iterator[str]:
    for call in calls(file):
        if isinstance(call.func, ast.Name) and call.func.id == "Text" and file.name not in MAKERS:
            template = call.args[0]
            assert isinstance(template, ast.Constant), f"{file}:{call.lineno}: a template is a literal"
            yield str(template.value)


def texts_of_template(file: Path) -> Iterator[str]:
    for call in jinja2.Environment(autoescape=True).parse(file.read_text()).find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "t" and isinstance(call.args[0], nodes.Const):
            yield call.args[0].value


def kinds_of(kind: type[errors.RecommenderError]) -> Iterator[type[errors.RecommenderError]]:
    yield kind
    for lower in kind.__subclasses__():
        yield from kinds_of(lower)


def error_words() -> Iterator[str]:
    return (kind().message.template for shown in SHOWN_ERRORS for kind in kinds_of(shown))


def all_templates() -> set[str]:
    code = {text for file in CODE for text in texts_of_code(file)}
    pages = {text for file in TEMPLATES for text in texts_of_template(file)}
    return (code | pages | set(error_words())) - {""}


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def test_every_text_has_a_chinese_one_and_no_chinese_one_is_left_over() -> None:
    said = all_templates()
    assert len(said) > 3
    assert sorted(said - set(catalogue(CHINESE))) == []
    assert sorted(set(catalogue(CHINESE)) - said) == []


def test_a_translation_has_its_text_s_placeholders() -> None:
    assert [
        english for english, chinese in catalogue(CHINESE).items() if placeholders(english) != placeholders(chinese)
    ] == []


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_a_page_s_own_words_are_all_translatable(file: Path) -> None:
    """What stands in a template outside of its tags and `t(...)` is no sentence."""
    data = nodes_of(file, nodes.TemplateData)
    words = "".join(node.data for node in data)
    outside = "".join(part.rpartition(">")[2] for part in words.split("<"))
    assert [word for word in outside.split() if word.isalpha()] == []


def nodes_of(file: Path, kind: type[nodes.TemplateData]) -> list[nodes.TemplateData]:
    return list(jinja2.Environment(autoescape=True).parse(file.read_text()).find_all(kind))


@pytest.mark.parametrize(
    ("asked", "language"),
    [
        ("", ENGLISH),
        ("zh-CN,zh;q=0.9,en;q=0.8", CHINESE),
        ("zh", CHINESE),
        ("ZH-TW", CHINESE),
        ("zh-Hant-HK;q=0.5", CHINESE),
        ("en-US,en;q=0.9,zh-CN;q=0.8", ENGLISH),
        ("en;q=0.2, zh;q=0.3", CHINESE),
        ("en, zh", ENGLISH),
        ("zh, en", CHINESE),
        ("fr-FR, zh;q=0.4", CHINESE),
        ("fr-FR, *;q=0.5, zh;q=0.4", ENGLISH),
        ("zh;q=0, en;q=0", ENGLISH),
        ("zh;q=2", ENGLISH),
        ("zhx", ENGLISH),
        (";;;,,q=1", ENGLISH),
    ],
)
def test_the_language_is_the_one_that_the_browser_asks_for_most(asked: str, language: str) -> None:
    assert preferred_language(asked) == language


def test_a_text_is_english_as_a_string_and_its_values_are_translated_too() -> None:
    text = Text("Setup: {part}, {n:,} {braces}", part=Text("Status"), n=1_000, braces="{x}")
    assert text == "Setup: Status, 1,000 {x}"
    assert translate(text, ENGLISH) == text
    assert translate(text, CHINESE) == "Setup: 运行状态, 1,000 {x}"


def test_a_redaction_reaches_every_value_and_leaves_a_text_translatable() -> None:
    text = Text("{a} and {b}", a="the secret", b=Text("{c}!", c="a secret")).map(
        lambda words: words.replace("secret", "…")
    )
    assert text == "the … and a …!"
    assert text.template == "{a} and {b}"
