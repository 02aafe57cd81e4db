"""What the documents show is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/*.md")])


def pictures_of(document: Path) -> list[tuple[str, str]]:
    """Alt text and path of each."""
    return re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", document.read_text())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_every_picture_is_there_and_told_in_words(document: Path) -> None:
    for words, path in pictures_of(document):
        assert (document.parent / path).is_file(), path
        assert len(words) > 20, path


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_a_readme_shows_both_pages(readme: str) -> None:
    (init, _), (status, _) = pictures_of(ROOT / readme)
    assert "/api/init" in init
    assert "/api/status" in status
