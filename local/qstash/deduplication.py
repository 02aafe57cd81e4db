"""Which message a duplicate is a duplicate of."""

import hashlib
import json

from local.qstash.messages import Draft

WINDOW_SECONDS = 600.0


class Deduplication:
    """Remembers deduplication ids for ten minutes, also those of messages that are long delivered."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, float]] = {}

    def find(self, key: str, now: float) -> str | None:
        """The id of the message published under this key within the window."""
        self._forget(now)
        return self._seen[key][0] if key in self._seen else None

    def remember(self, key: str, message_id: str, now: float) -> None:
        self._seen[key] = (message_id, now + WINDOW_SECONDS)

    def _forget(self, now: float) -> None:
        """Drops what is past the window; entries stand in the order of their ends."""
        while self._seen:
            oldest = next(iter(self._seen))
            if self._seen[oldest][1] > now:
                return
            del self._seen[oldest]


def deduplication_key(draft: Draft) -> str | None:
    """The id that the caller gave, or one of destination, body and headers where the content is to decide."""
    if draft.options.deduplication_id:
        return draft.options.deduplication_id
    if not draft.options.content_based_deduplication:
        return None
    content = json.dumps([draft.url, sorted(draft.options.forward.items())]).encode() + draft.body
    # A caller's own id can't hold a colon, so the two kinds never meet.
    return f"content:{hashlib.sha256(content).hexdigest()}"
