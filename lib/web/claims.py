"""The claims of QStash's token, a JWT that is signed with either of two keys."""

import time
from typing import Any

import jwt

from lib.errors import SignatureRejected
from lib.settings import CLOCK_LEEWAY_SECONDS

_LATEST = 1e11  # unix seconds, in some 3,000 years
_REQUIRED_CLAIMS = ["iss", "sub", "exp", "nbf", "iat", "body"]


def read_claims(token: str, current_key: str, next_key: str) -> dict[str, Any]:
    """Raises SignatureRejected where the token is of neither key, of another issuer, or not of now."""
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
