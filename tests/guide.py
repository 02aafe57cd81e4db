"""docs/qstash-guide.md and its Chinese twin as tests read them: headings, and the fenced blocks under each.

A block's mark stands after its language and isn't shown: `sh run` is executed, `text output` is what the command before
it prints, and `text page check log qstash answer` are words that each of those says. `…` stands for anything.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENGLISH = ROOT / "docs" / "qstash-guide.md"
CHINESE = ROOT / "docs" / "qstash-guide.zh-CN.md"
FAULT_LEVEL = 4


@dataclass(frozen=True)
class Block:
    language: str
    marks: tuple[str, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    level: int
    heading: str
    text: str

    @property
    def blocks(self) -> list[Block]:
        found = re.findall(r"^```(\w+) ?(.*)\n((?:.*\n)*?)```$", self.text, re.MULTILINE)
        return [Block(language, tuple(marks.split()), tuple(body.splitlines())) for language, marks, body in found]


def read_guide(path: Path) -> list[Section]:
    """No line in a block may begin with #."""
    parts = re.split(r"^(#+) (.+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [Section(len(parts[n]), parts[n + 1], parts[n + 2]) for n in range(1, len(parts), 3)]


def faults(sections: list[Section]) -> list[Section]:
    return [section for section in sections if section.level == FAULT_LEVEL]


def is_said(quotation: str, words: str) -> bool:
    """Whether one line of the words has what is quoted. How wide a table's columns are is no matter."""
    pattern = ".*?".join(re.escape(part) for part in re.sub(" +", " ", quotation).split("…"))
    return re.search(pattern, re.sub(" +", " ", words)) is not None


def anchor_of(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
