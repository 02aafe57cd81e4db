"""The document of /api/recommend, which is also what is cached."""

from datetime import UTC, datetime
from typing import Any

LIST_LENGTH = 100  # what is stored, and the most that can be asked for

Document = dict[str, Any]


def document_of(user_id: str | None, items: list[Document], *, source: str, now: datetime) -> Document:
    return {"user_id": user_id, "items": items, "source": source, "generated_at": now.astimezone(UTC).isoformat()}
