"""Makes QStash's signatures, right and wrong."""

import base64
import hashlib
import time
from typing import Any

import jwt


def claims(body: bytes, url: str, /, *, now: float | None = None, **changes: Any) -> dict[str, Any]:
    """QStash's claims; a change to None takes a claim out."""
    issued = int(time.time() if now is None else now)
    complete = {
        "iss": "Upstash",
        "sub": url,
        "exp": issued + 300,
        "nbf": issued,
        "iat": issued,
        "jti": "jwt_1",
        "body": base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode(),
        **changes,
    }
    return {name: value for name, value in complete.items() if value is not None}


def sign(body: bytes, url: str, key: str, /, *, now: float | None = None, **changes: Any) -> str:
    return jwt.encode(claims(body, url, now=now, **changes), key, algorithm="HS256")
