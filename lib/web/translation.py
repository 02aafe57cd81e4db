"""The language of a page: which one the reader asks for, and the words in it.

The English is in the code and the templates; templates/zh-CN.json says each of them in Chinese.
"""

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path

from lib.text import Text

ENGLISH = "en"
CHINESE = "zh-CN"

_CATALOGUE = Path(__file__).with_name("templates") / "zh-CN.json"


def preferred_language(accept_language: str) -> str:
    """Chinese where it is asked for more than English (q values; the first of two equal ones), else English."""
    qualities = {ENGLISH: 0.0, CHINESE: 0.0}
    for part in accept_language.split(","):
        tag, _, parameter = part.partition(";")
        primary = tag.strip().lower().partition("-")[0]
        language = CHINESE if primary == "zh" else ENGLISH if primary in ("en", "*") else None
        quality = _quality(parameter)
        if language is not None and quality > max(qualities.values()):
            qualities[language] = quality
    return CHINESE if qualities[CHINESE] > qualities[ENGLISH] else ENGLISH


def _quality(parameter: str) -> float:
    match = re.fullmatch(r"\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*", parameter)
    return float(match[1]) if match else 0.0 if parameter.strip() else 1.0


@functools.cache
def catalogue(language: str) -> Mapping[str, str]:
    """English template -> the language's; empty for English."""
    catalogue: dict[str, str] = json.loads(_CATALOGUE.read_text(encoding="utf-8")) if language == CHINESE else {}
    return catalogue


def translate(text: Text, language: str) -> str:
    return text.translated(catalogue(language))
