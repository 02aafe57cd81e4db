"""What is wrong, as lines for a terminal, and below it how to mend it."""

from collections.abc import Callable

from lib.errors import RecommenderError
from lib.settings import Settings


def as_lines(error: RecommenderError, settings: Settings) -> str:
    """What keeps a script from its work."""
    return "\n".join([f"❌ {settings.redact(error.message)}", *mend_lines(error.fix)])


def mend_lines(fix: str, *, paint: Callable[[str], str] = str) -> list[str]:
    """Lines to paste stand, painted, below the words that tell of them."""
    words, *block = fix.splitlines()
    return [f"   → {words}", *(f"     {paint(line)}" for line in block)]
