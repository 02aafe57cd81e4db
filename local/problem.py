"""What keeps a script from its work, as lines for a terminal: what is wrong, then how to mend it."""

from lib.errors import RecommenderError
from lib.settings import Settings


def as_lines(error: RecommenderError, settings: Settings) -> str:
    """Lines to paste stand below the words that tell of them."""
    words, *block = error.fix.splitlines()
    return "\n".join([f"❌ {settings.redact(error.message)}", f"   → {words}", *(f"     {line}" for line in block)])
