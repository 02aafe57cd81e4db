"""QStash's signature: that this body was sent by QStash to this very URL, just now."""

import base64
import hashlib
import hmac
import time
from typing import Any

import jwt

from lib.errors import SignatureRejected
from lib.settings import CLOCK_LEEWAY_SECONDS

MAX_TOKEN_LENGTH = 4_096  # QStash's tokens have some 500 characters
_LATEST = 1e11  # unix seconds, in some 3,000 years
_REQUIRED_CLAIMS = ["iss", "sub", "exp", "nbf", "iat", "body"]


def verify_signature(token: str, body: bytes, *, url: str, current_key: str, next_key: str) -> None:
    """Raises SignatureRejected, with the reason for the log, unless `token` signs the raw `body` for exactly `url`.

    `url` is configured, never rebuilt from the request. Either key will do, so that keys can be rolled; where one
    of them is empty nothing is accepted.
    """
    if not current_key or not next_key:
        raise SignatureRejected("a signing key is not set")
    if not token:
        raise SignatureRejected("the header Upstash-Signature is missing")
    if len(token) > MAX_TOKEN_LENGTH:
        raise SignatureRejected("the signature is too long")
    claims = _claims(token, current_key, next_key)
    if not _equal(claims["sub"], url):
        raise SignatureRejected(f"it was signed for {str(claims['sub'])[:200]!r}, not for {url!r}")
    digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")
    if not _equal(claims["body"], digest, padding="="):
        raise SignatureRejected("the body is not the one that was signed")


def _claims(token: str, current_key: str, next_key: str) -> dict[str, Any]:
    try:
        return _decode(token, current_key)
    except jwt.InvalidSignatureError:
        pass  # perhaps signed with the next key; every other error is the same with both
    except jwt.PyJWTError as error:
        raise SignatureRejected(_reason(error, token)) from error
    try:
        return _decode(token, next_key)
    except jwt.PyJWTError as error:
        raise SignatureRejected(_reason(error, token)) from error


def _decode(token: str, key: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        token,
        key.encode(),
        algorithms=["HS256"],
        issuer="Upstash",
        leeway=CLOCK_LEEWAY_SECONDS,
        options={"require": _REQUIRED_CLAIMS, "verify_aud": False},
    )
    return claims


def _equal(claimed: object, expected: str, *, padding: str = "") -> bool:
    if not isinstance(claimed, str):
        return False
    if padding:
        claimed = claimed.rstrip(padding)
    return hmac.compare_digest(claimed.encode("utf-8", "surrogatepass"), expected.encode())


def _reason(error: jwt.PyJWTError, token: str) -> str:
    if isinstance(error, jwt.InvalidSignatureError):
        return "it was signed with neither of the two keys"
    if isinstance(error, jwt.ExpiredSignatureError):
        return f"it has expired: {_age(token)}; if it is new, a clock is wrong"
    if isinstance(error, jwt.ImmatureSignatureError):
        return f"it is not valid yet: {_age(token)}; a clock is wrong"
    return f"{type(error).__name__}: {str(error)[:200]!r}"  # it may quote a header that nobody has signed


def _age(token: str) -> str:
    """How old a token is whose signature was right, by both clocks."""
    issued_at = jwt.decode(token, options={"verify_signature": False}).get("iat")
    if not isinstance(issued_at, int | float) or not abs(issued_at) < _LATEST:
        return "it doesn't say when it was made"
    age = time.time() - issued_at
    return f"by this machine's clock it was made {abs(age):.0f} s {'ago' if age >= 0 else 'from now'}"
