"""The signature check under tokens that are almost right: only what is signed for this URL and this body gets in.

The oracle reads the token by itself, with no JWT library.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import SignatureRejected
from lib.web.signature import verify_signature
from tests.api.signing import claims

URL = "https://shop.example.com/api/actions/batch-process"
BODY = b'{"action": "process_user_actions"}'
CURRENT, NEXT = "sig_current_0123456789abcdefghij", "sig_next_0123456789abcdefghijklm"
OTHER = "sig_other_0123456789abcdefghijkl"
HASHES = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512", "none": "sha256", "RS256": "sha256"}
LEEWAY_SECONDS = 60
HEADER = {"alg": "HS256", "typ": "JWT"}

often = settings(max_examples=200, deadline=None, derandomize=True)

texts = st.text(st.characters() | st.sampled_from('\0\ud83d\n./+=-_{}"'), max_size=12)
huge = st.sampled_from([10**18, 10**400, -(10**400), 2**63, 1e308, -1e308, 0, -1, 1.5, -0.0])
constants = st.sampled_from([float("nan"), float("inf"), float("-inf")])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | huge | st.floats() | constants | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
claim_names = st.sampled_from(["iss", "sub", "exp", "nbf", "iat", "jti", "body", "aud"])
times = st.integers(-10_000, 10_000).map(lambda seconds: time.time() + seconds)
likely: st.SearchStrategy[Any] = st.sampled_from(
    ["Upstash", URL, URL + "/", "", "0", "1e400", "9" * 5_000, [URL], ["Upstash"], [], {}, None]
)
changed_claims = st.dictionaries(claim_names | texts, values | times | times.map(str) | likely, max_size=3)
left_out = st.sets(claim_names, max_size=1)
headers = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from([*HASHES, "hs256", "HS256 ", ""]) | values,
        "typ": st.sampled_from(["JWT", "at+jwt", "", "JWE"]) | values,
        "kid": values,
        "crit": st.sampled_from([[], ["b64"], ["exp"], ["x"]]) | values,
        "b64": st.booleans() | values,
        "jwk": st.just({"kty": "oct", "k": "eA"}) | values,
        "jku": texts,
        "x5c": values,
        "cty": values,
        "zip": values,
    },
)
keys = st.sampled_from([CURRENT, NEXT, OTHER, CURRENT[:-1], CURRENT + " ", URL])


def part(document: object) -> str:
    return encoded(json.dumps(document).encode())


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def signed(head: str, payload: str, *, key: str = CURRENT, hash_name: str = "sha256") -> str:
    signature = hmac.digest(key.encode(), f"{head}.{payload}".encode(), hash_name)
    return f"{head}.{payload}.{encoded(signature)}"


def deserves_to_get_in(token: str, body: bytes) -> bool:
    """Whether one of the two keys has signed it with SHA-256, for this URL and this body."""
    signing_input, _, signature = token.rpartition(".")
    payload = signing_input.partition(".")[2]
    try:
        given_signature = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
        document = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, binascii.Error):
        return False
    made = [hmac.digest(key.encode(), signing_input.encode(), "sha256") for key in (CURRENT, NEXT)]
    expected = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")
    return (
        given_signature in made
        and isinstance(document, dict)
        and document.get("iss") == "Upstash"
        and document.get("sub") == URL
        and isinstance(document.get("body"), str)
        and document["body"].rstrip("=") == expected
        and seconds(document["exp"]) > time.time() - LEEWAY_SECONDS - 1
        and seconds(document["nbf"]) < time.time() + LEEWAY_SECONDS + 1
    )


def seconds(value: Any) -> float:
    """As it is, because a whole number may be too large for a float."""
    return value if isinstance(value, int | float) else int(value)


def gets_in(token: str, body: bytes = BODY) -> bool:
    try:
        verify_signature(token, body, url=URL, current_key=CURRENT, next_key=NEXT)
    except SignatureRejected as rejection:
        if not rejection.reason:
            raise
        return False
    return True


@often
@given(changed_claims, left_out, keys)
def test_claims_of_every_kind_get_in_only_where_they_are_right(
    changes: dict[str, Any], missing: set[str], key: str
) -> None:
    document = {name: value for name, value in (claims(BODY, URL) | changes).items() if name not in missing}
    token = signed(part(HEADER), part(document), key=key)
    if gets_in(token):
        assert deserves_to_get_in(token, BODY)


@often
@given(headers, keys, st.sampled_from(sorted(set(HASHES.values()))))
def test_a_header_of_every_kind_gets_in_only_with_a_signature_of_ours(
    header: dict[str, Any], key: str, hash_name: str
) -> None:
    token = signed(part(header), part(claims(BODY, URL)), key=key, hash_name=hash_name)
    if gets_in(token):
        assert deserves_to_get_in(token, BODY)
        assert header["alg"] == "HS256"


@often
@given(values, values)
def test_parts_that_are_no_objects_are_rejected(header: Any, document: Any) -> None:
    right_claims = part(claims(BODY, URL))
    assert not gets_in(signed(part(header), right_claims)) or (isinstance(header, dict) and header["alg"] == "HS256")
    assert not gets_in(signed(part(HEADER), part(document)))


@often
@given(st.binary(max_size=60), st.binary(max_size=60), keys)
def test_bytes_for_parts_are_rejected_though_they_are_signed(header: bytes, document: bytes, key: str) -> None:
    assert not gets_in(signed(encoded(header), part(claims(BODY, URL)), key=key))
    assert not gets_in(signed(part(HEADER), encoded(document), key=key))
    assert not gets_in(signed(part(HEADER), "[" * 200 + encoded(document), key=key))


def standard_alphabet(token: str) -> str:
    return token.replace("-", "+").replace("_", "/")


def padded(token: str) -> str:
    return ".".join(piece + "=" * (-len(piece) % 4) for piece in token.split("."))


REENCODINGS: list[Callable[[str], str]] = [
    standard_alphabet,
    padded,
    lambda token: token + "=",
    lambda token: token.upper(),
    lambda token: token.replace(".", ".."),
    lambda token: token.replace(".", "%2E"),
    lambda token: f".{token}",
    lambda token: f"{token}.",
    lambda token: f"{token}.{token}",
    lambda token: f" {token} ",
    lambda token: f"Bearer {token}",
    lambda token: f"{token}\n",
    lambda token: f"{token}, {token}",
    lambda token: f'"{token}"',
    lambda token: token.rpartition(".")[0],
    lambda token: token.rpartition(".")[0] + ".",
    lambda token: token[:-1],
    lambda token: token.replace("e", "\u0435"),
    lambda token: token + "\0",
    lambda token: "\ufeff" + token,
    lambda token: json.dumps(dict(zip(("protected", "payload", "signature"), token.split("."), strict=False))),
]


@often
@given(st.lists(st.sampled_from(REENCODINGS), min_size=1, max_size=3), keys)
def test_a_token_that_is_written_otherwise_gets_in_only_where_it_is_the_same(
    changes: list[Callable[[str], str]], key: str
) -> None:
    token = signed(part(HEADER), part(claims(BODY, URL)), key=key)
    for change in changes:
        token = change(token)
    if gets_in(token):
        assert deserves_to_get_in(token, BODY)


@often
@given(st.permutations(["head", "payload", "signature"]), st.integers(0, 4), keys)
def test_parts_in_another_order_or_number_are_rejected(order: list[str], length: int, key: str) -> None:
    head, payload, signature = signed(part(HEADER), part(claims(BODY, URL)), key=key).split(".")
    parts = {"head": head, "payload": payload, "signature": signature}
    token = ".".join([parts[name] for name in [*order, *order][:length]])
    if gets_in(token):
        assert (order, length) == (["head", "payload", "signature"], 3)
        assert deserves_to_get_in(token, BODY)


@often
@given(st.sampled_from([CURRENT, NEXT]), st.sampled_from([CURRENT, NEXT, OTHER]), st.binary(max_size=30))
def test_no_part_of_one_right_token_fits_into_another(key: str, other_key: str, other_body: bytes) -> None:
    one = signed(part(HEADER), part(claims(BODY, URL)), key=key).split(".")
    other = signed(part(HEADER), part(claims(other_body, URL, jti="jwt_2")), key=other_key).split(".")
    for position in (1, 2):
        assert not gets_in(".".join([*one[:position], other[position], *one[position + 1 :]]))


@often
@given(st.binary(max_size=100), st.sampled_from([CURRENT, NEXT]))
def test_a_right_token_opens_for_its_own_body_alone(body: bytes, key: str) -> None:
    token = signed(part(HEADER), part(claims(body, URL)), key=key)
    assert gets_in(token, body)
    for other in (body + b" ", body[1:], body[::-1], b""):
        assert gets_in(token, other) == (other == body)


@pytest.mark.parametrize("key", [CURRENT, NEXT])
@pytest.mark.parametrize("algorithm", HASHES)
def test_only_one_algorithm_gets_in_though_each_is_used_rightly(algorithm: str, key: str) -> None:
    header = part({"alg": algorithm, "typ": "JWT"})
    token = signed(header, part(claims(BODY, URL)), key=key, hash_name=HASHES[algorithm])
    assert gets_in(token) == (algorithm == "HS256")


@pytest.mark.parametrize(
    "document", ["[" * 3_000, '{"a":' * 1_500, "1" * 3_000, '{"exp": 1e999}', '{"exp": ' + "9" * 2_000 + "}"],
    ids=["arrays", "objects", "digits", "infinity", "a time of 2,000 digits"],
)  # fmt: skip
def test_a_signed_document_that_python_hardly_reads_is_rejected(document: str) -> None:
    assert not gets_in(signed(part(HEADER), encoded(document.encode())))
    assert not gets_in(signed(encoded(document.encode()), part(claims(BODY, URL))))


@pytest.mark.parametrize("name", ["iss", "sub", "body"])
def test_half_a_surrogate_pair_in_a_claim_is_rejected(name: str) -> None:
    right = claims(BODY, URL)
    assert not gets_in(signed(part(HEADER), part(right | {name: f"{right[name]}\ud83d"})))


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value", [10**400, -(10**400), float("inf"), float("-inf"), float("nan"), "9" * 400, [], {}, True, "soon"],
    ids=["400 digits", "minus 400 digits", "infinity", "minus infinity", "NaN", "400 digits in a string", "an array",
         "an object", "true", "a word"],
)  # fmt: skip
def test_a_time_that_is_none_is_rejected_and_breaks_nothing(name: str, value: object) -> None:
    for expires in (300, -3_000):
        right = claims(BODY, URL) | {"exp": int(time.time()) + expires}
        token = signed(part(HEADER), part(right | {name: value}))
        if gets_in(token):
            assert deserves_to_get_in(token, BODY)
