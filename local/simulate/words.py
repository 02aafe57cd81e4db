"""What the report says, in both languages. It stands in words.json: (English, Chinese)."""

import json
from pathlib import Path

LANGUAGES = ("en", "zh-CN")

Pair = tuple[str, str]
Pairs = dict[str, Pair]

_WORDS: dict[str, Pairs] = json.loads(Path(__file__).with_name("words.json").read_text())
UNITS, SCALARS, PRICES, FIELDS = (_WORDS[name] for name in ("units", "scalars", "prices", "fields"))
COLUMNS, SITES, PARTS, LIMITS = (_WORDS[name] for name in ("columns", "sites", "parts", "limits"))
LEVERS, MEASURES = _WORDS["levers"], _WORDS["measures"]


def say(pair: Pair, language: str) -> str:
    return pair[LANGUAGES.index(language)]
