"""The pools of contenders that a read may ask for (contenders.py), by name: all contents, or those of one language.

Apart from it so that a list of what is popular does without numpy.
"""

ALL = "all"
UNKNOWN = "language?"  # of what was met since the latest choice, for reads of any language


def pool_of(language: str | None) -> str:
    return ALL if language is None else f"language:{language}"


def pools_of(language: str | None) -> list[str]:
    """Where a read looks."""
    return [ALL] if language is None else [pool_of(language), UNKNOWN]
