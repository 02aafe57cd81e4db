"""QStash's signature: that this body was sent by QStash to this very URL, just now."""

import base64
import hashlib
import hmac

from lib.errors import SignatureRejected

MAX_TOKEN_LENGTH = 4_096  # QStash's tokens have some 500 characters


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
    from lib.web.claims import read_claims  # PyJWT, which a call without a signature does without

    claims = read_claims(token, current_key, next_key)
    if not _equal(claims["sub"], url):
        raise SignatureRejected(f"it was signed for {str(claims['sub'])[:200]!r}, not for {url!r}")
    digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")
    if not _equal(claims["body"], digest, padding="="):
        raise SignatureRejected("the body is not the one that was signed")


def _equal(claimed: object, expected: str, *, padding: str = "") -> bool:
    if not isinstance(claimed, str):
        return False
    if padding:
        claimed = claimed.rstrip(padding)
    return hmac.compare_digest(claimed.encode("utf-8", "surrogatepass"), expected.encode())
