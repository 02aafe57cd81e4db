"""The signing keys, and the signature that comes with each delivery."""

import base64
import hashlib
import secrets

import jwt

LIFETIME_SECONDS = 300


class SigningKeys:
    """The key that signs now and the one that will after a rotation."""

    def __init__(self, current: str | None = None, following: str | None = None) -> None:
        if "" in (current, following):
            raise ValueError("a signing key must not be empty")
        self.current = current or _new_key()
        self.next = following or _new_key()

    def rotate(self) -> None:
        """The next key becomes the current one, and a new next key is made."""
        self.current, self.next = self.next, _new_key()


def sign(key: str, *, url: str, body: bytes, now: float) -> str:
    """The Upstash-Signature of a delivery: a JWT over the destination and the hash of the body."""
    issued_at = int(now)
    claims = {
        "iss": "Upstash",
        "sub": url,
        "exp": issued_at + LIFETIME_SECONDS,
        "nbf": issued_at,
        "iat": issued_at,
        "jti": f"jwt_{secrets.token_hex(12)}",
        "body": base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode(),
    }
    return jwt.encode(claims, key, algorithm="HS256")


def _new_key() -> str:
    return f"sig_{secrets.token_urlsafe(21)}"
