"""What an app of some size pushes: actions of several thousand users on several thousand contents, a few of which are
read by many, and now and then the same action twice."""

import json
import uuid
from datetime import UTC, datetime

import numpy as np

from lib.adapters.database import Connection

USERS, CONTENTS = 8_000, 5_000
LANGUAGES = ("en", "en", "en", "de", "fr", None)
ACTIONS = {"view": 0.62, "click": 0.15, "like": 0.08, "dwell": 0.06, "save": 0.03, "skip": 0.04, "hide": 0.02}
REPEATED = 0.02  # of the actions, pushed a second time within the same minute
SPREAD_SECONDS = 300.0


def pushed_elements(count: int, *, seed: int, now: datetime) -> list[bytes]:
    """So many elements of the list, the oldest first, the same for a seed."""
    rng = np.random.default_rng(seed)
    users = (USERS * rng.power(0.6, count)).astype(int)
    contents = np.minimum(rng.zipf(1.3, count) * rng.integers(1, 40, count), CONTENTS) - 1
    names = rng.choice(list(ACTIONS), count, p=list(ACTIONS.values()))
    at = now.timestamp() - np.sort(rng.random(count))[::-1] * SPREAD_SECONDS
    ids = [str(uuid.UUID(bytes=rng.bytes(16), version=4)) for _ in range(count)]
    again = np.flatnonzero(rng.random(count) < REPEATED)
    source = np.arange(count)
    source[again] = np.maximum(again - 50, 0)
    return [_element(ids[n], int(users[n]), int(contents[n]), str(names[n]), float(at[n])) for n in source.tolist()]


def _element(event_id: str, user: int, content: int, name: str, at: float) -> bytes:
    document: dict[str, object] = {
        "id": event_id,
        "userId": f"user_{user:06d}",
        "contentId": f"article-{content:05d}",
        "action": name,
        "timestamp": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    if name == "dwell":
        document["value"] = 12.5
    return json.dumps(document, separators=(",", ":")).encode()


def add_content(connection: Connection) -> None:
    """The app's own table, with a language for most."""
    rows = "INSERT INTO content (content_id, language) SELECT * FROM unnest(%s::text[], %s::text[])"
    languages = [LANGUAGES[number % len(LANGUAGES)] for number in range(CONTENTS)]
    connection.execute(rows.encode(), [[f"article-{number:05d}" for number in range(CONTENTS)], languages])
