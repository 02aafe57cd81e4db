"""What a stranger may send, over real HTTP to the served functions: refused in few words, and nothing happens."""

import ast
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.attacks import (
    BATCH_PROCESS,
    DRAIN,
    INSIDE,
    KEYED_ENDPOINTS,
    OUTSIDE,
    PING,
    SIGNED_ENDPOINTS,
    WARM,
    Answer,
    Target,
    as_one_chunk,
    length_of,
    write_request,
)
from tests.end_to_end.checkout import ROOT, Dev
from tests.support import eventually

SIGNATURE = "Upstash-Signature"
TOO_LONG = b" " * 5_000_000
PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJB\n-----END PUBLIC KEY-----\n"
HTML = "<script>alert(1)</script>\"><img src=x onerror=alert(1)>'{{7*7}}{% for x in [1] %}"
CHUNKED = ("Transfer-Encoding", "chunked")
REFUSED_OUTRIGHT = {400, 413, 431, 501}  # by the server itself

Headers = list[tuple[str, str]]


@pytest.fixture(scope="session")
def target(dev: Dev) -> Target:
    return Target(dev)


# ---- Signatures ------------------------------------------------------------------------------------------------------


def forged(header: Mapping[str, object], **how: object) -> Callable[[Target], Headers]:
    return lambda target: [(SIGNATURE, target.forged_token(header, **how))]  # type: ignore[arg-type]


def signed_with(**changes: object) -> Callable[[Target], Headers]:
    return lambda target: [(SIGNATURE, target.token(**changes))]  # type: ignore[arg-type]


def signed_for(change: Callable[[str], str]) -> Callable[[Target], Headers]:
    return lambda target: [(SIGNATURE, target.token(url=change(target.dev.url + BATCH_PROCESS)))]


def signed_at(seconds: float) -> Callable[[Target], Headers]:
    return lambda target: [(SIGNATURE, target.token(now=time.time() + seconds))]


SIGNATURES: dict[str, Callable[[Target], Headers]] = {
    "none": lambda target: [],
    "empty": lambda target: [(SIGNATURE, "")],
    "garbage": lambda target: [(SIGNATURE, "garbage")],
    "garbage of three parts": lambda target: [(SIGNATURE, "a.b.c")],
    "bytes that are no text": lambda target: [(SIGNATURE, "\xff\xfe.\x80.\xc0")],
    "truncated": lambda target: [(SIGNATURE, target.token()[:-5])],
    "without its signature part": lambda target: [(SIGNATURE, target.token().rpartition(".")[0] + ".")],
    "with a part too many": lambda target: [(SIGNATURE, target.token() + ".e30")],
    "oversized": signed_with(jti="x" * 5_000),
    "of 100 kB": lambda target: [(SIGNATURE, target.token() + "A" * 100_000)],
    "expired": signed_at(-370),
    "not valid yet": signed_at(70),
    "by another key": signed_with(key="sig_of_somebody_else_0123456789abcdef"),
    "by the admin key": lambda target: [(SIGNATURE, target.token(key=target.variables["ADMIN_API_KEY"]))],
    "algorithm none": forged({"alg": "none", "typ": "JWT"}, hash_name=""),
    "algorithm NoNe": forged({"alg": "NoNe", "typ": "JWT"}, hash_name=""),
    "algorithm none, signed all the same": forged({"alg": "none"}),
    "no algorithm": forged({"typ": "JWT"}),
    "RS256 named, our key used for an HMAC": forged({"alg": "RS256", "typ": "JWT"}),
    "a public key used for an HMAC": forged({"alg": "HS256", "typ": "JWT"}, key=PUBLIC_KEY),
    "an empty key used for an HMAC": forged({"alg": "HS256", "typ": "JWT"}, key="\0"),
    "HS512 named": forged({"alg": "HS512", "typ": "JWT"}),
    "HS512 by our key": forged({"alg": "HS512", "typ": "JWT"}, hash_name="sha512"),
    "HS512 by our key, HS256 named": forged({"alg": "HS256", "typ": "JWT"}, hash_name="sha512"),
    "a key of the token's own": forged({"alg": "HS256", "jwk": {"kty": "oct", "k": "eA"}}, key="x"),
    "a key id that is a path": forged({"alg": "HS256", "kid": "../../../../dev/null"}, key="\0"),
    "an extension that is critical": forged({"alg": "HS256", "crit": ["x"], "x": 1}),
    "a payload that is not encoded": forged({"alg": "HS256", "b64": False, "crit": ["b64"]}),
    "another issuer": signed_with(iss="Mallory"),
    "signed for https": signed_for(lambda url: url.replace("http:", "https:")),
    "signed for another host": signed_for(lambda url: url.replace("localhost", OUTSIDE)),
    "signed for another port": signed_for(lambda url: re.sub(r":\d+/", "/", url)),
    "signed for the host in capitals": signed_for(lambda url: url.replace("localhost", "LOCALHOST")),
    "signed for another endpoint": signed_for(lambda url: url.replace(BATCH_PROCESS, WARM)),
    "signed for a trailing slash": signed_for(lambda url: url + "/"),
    "signed for a query": signed_for(lambda url: url + "?a=1"),
    "signed for a fragment": signed_for(lambda url: url + "#"),
    "signed for another body": lambda target: [target.signed(DRAIN)],
    "signed for no body": lambda target: [target.signed(b"")],
    **{f"without {claim}": signed_with(**{claim: None}) for claim in ("iss", "sub", "exp", "nbf", "iat", "body")},
    "two, the right one first": lambda target: [target.signed(PING), (SIGNATURE, "wrong")],
    "two, the right one last": lambda target: [(SIGNATURE, "wrong"), target.signed(PING)],
    "two right ones": lambda target: [target.signed(PING), target.signed(PING)],
    "in the header of the key": lambda target: [("Authorization", f"Bearer {target.token()}")],
    "in a header of another name": lambda target: [("X-Upstash-Signature", target.token())],
    "in a header with an underscore": lambda target: [("Upstash_Signature", target.token())],
    "in a cookie": lambda target: [("Cookie", f"Upstash-Signature={target.token()}")],
    "named a bearer token": lambda target: [(SIGNATURE, f"Bearer {target.token()}")],
    "the admin key instead": lambda target: [target.key],
}


@pytest.mark.parametrize("headers", SIGNATURES.values(), ids=SIGNATURES)
def test_every_wrong_signature_is_refused_in_the_same_words(
    target: Target, headers: Callable[[Target], Headers]
) -> None:
    answer = target.post(BATCH_PROCESS, PING, headers(target))
    assert (answer.status, answer.json["error"]["code"]) == (401, "unauthenticated")
    assert answer.body == target.post(BATCH_PROCESS, PING).body


@pytest.mark.parametrize("path", SIGNED_ENDPOINTS)
def test_the_signature_for_one_endpoint_opens_no_other(target: Target, path: str) -> None:
    statuses = {other: target.post(path, PING, [target.signed(PING, other)]).status for other in SIGNED_ENDPOINTS}
    assert statuses == {other: 200 if other == path else 401 for other in SIGNED_ENDPOINTS}


@pytest.mark.parametrize("key", ["QSTASH_CURRENT_SIGNING_KEY", "QSTASH_NEXT_SIGNING_KEY"])
def test_a_right_signature_is_let_in_from_anywhere(target: Target, key: str) -> None:
    """Without this every row above could pass for another reason than its own."""
    token = target.token(key=target.variables[key])
    assert target.post(BATCH_PROCESS, PING, [(SIGNATURE, token)]).json == {"ok": True}


def test_a_delivery_that_is_replayed_applies_nothing_more(target: Target) -> None:
    event_id = str(uuid.uuid4())
    target.dev.push([{"id": event_id, "user_id": "replayed", "content_id": "c", "action": "view"}])
    delivery = write_request("POST", BATCH_PROCESS, [length_of(DRAIN), target.signed(DRAIN)], DRAIN)

    [first], [second] = target.send(delivery), target.send(delivery)

    assert (first.status, second.status) == (200, 200)
    assert second.json["applied"] == 0
    logged = f"SELECT count(*) FROM user_actions WHERE event_id = '{event_id}'"
    eventually(lambda: target.dev.rows(logged) == [(1,)])  # a tick of the schedule may have been the first


# ---- Bodies ----------------------------------------------------------------------------------------------------------

IMPOSSIBLE_BODIES: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \r\n\t",
    "not JSON": b"action=ping",
    "an array": b"[]",
    "a string": b'"ping"',
    "null": b"null",
    "no action": b"{}",
    "an unknown action": b'{"action": "drop_everything"}',
    "an action of another endpoint": b'{"action": "warm_cache"}',
    "an action that is an operator": b'{"action": {"$ne": ""}}',
    "an action in an array": b'{"action": ["ping"]}',
    "an action with a NUL": b'{"action": "ping\\u0000"}',
    "bytes of NUL": b"\0" * 100,
    "an action of half a surrogate pair": b'{"action": "\\ud83d"}',
    "half a surrogate pair in UTF-8": b'{"action": "\xed\xa0\xbd"}',
    "bytes that are no UTF-8": b'{"action": "\xff\xfe"}',
    "duplicate keys, the last is wrong": b'{"action": "ping", "action": "x"}',
    "NaN": b'{"action": NaN}',
    "Infinity": b'{"action": -Infinity}',
    "a number of 5,000 digits": b'{"action": ' + b"9" * 5_000 + b"}",
    "arrays nested 100,000 deep": b"[" * 100_000,
    "objects nested 100,000 deep": b'{"action":' * 100_000,
    "an array of 10^5 objects": b'[{"action": "ping"}' + b', {"a": 1}' * 99_000 + b"]",
    "an array of 499,999 numbers": b"[" + b"0," * 499_998 + b"0]",
}
TOO_LONG_BODIES: dict[str, bytes] = {
    "5 MB": TOO_LONG,
    "an array of 10^6 numbers": b"[" + b"0," * 999_999 + b"0]",
    "one byte over the bound": PING + b" " * (1_000_001 - len(PING)),
}


@pytest.mark.parametrize("body", IMPOSSIBLE_BODIES.values(), ids=IMPOSSIBLE_BODIES)
def test_a_signed_body_that_can_never_work_is_not_tried_again(target: Target, body: bytes) -> None:
    answer = target.post(BATCH_PROCESS, body, [target.signed(body)])
    assert (answer.status, answer.json["error"]["code"]) == (489, "impossible_job")
    assert answer.headers["upstash-nonretryable-error"] == "true"


@pytest.mark.parametrize("body", IMPOSSIBLE_BODIES.values(), ids=IMPOSSIBLE_BODIES)
def test_to_a_stranger_every_body_is_alike(target: Target, body: bytes) -> None:
    assert target.post(BATCH_PROCESS, body).body == target.post(BATCH_PROCESS, PING).body


@pytest.mark.parametrize("signs", [True, False], ids=["signed", "unsigned"])
@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
@pytest.mark.parametrize("body", TOO_LONG_BODIES.values(), ids=TOO_LONG_BODIES)
def test_a_body_that_is_too_long_is_refused(target: Target, body: bytes, chunked: bool, signs: bool) -> None:
    headers = [CHUNKED if chunked else length_of(body)] + ([target.signed(body)] if signs else [])
    answer = target.ask("POST", BATCH_PROCESS, headers, as_one_chunk(body) if chunked else body)
    assert answer.status == 413


@pytest.mark.parametrize("content_type", ["", "text/plain", "text/xml", "multipart/form-data", "\xff", "x" * 10_000])
def test_the_content_type_does_not_matter(target: Target, content_type: str) -> None:
    headers = [target.signed(PING), ("Content-Type", content_type)]
    assert target.post(BATCH_PROCESS, PING, headers).json == {"ok": True}


def test_a_body_in_chunks_is_read(target: Target) -> None:
    chunks = b"7;extension=1\r\n" + PING[:7] + b"\r\nb\r\n" + PING[7:] + b"\r\n0\r\nX-Trailer: 1\r\n\r\n"
    assert target.ask("POST", BATCH_PROCESS, [CHUNKED, target.signed(PING)], chunks).json == {"ok": True}


LYING_LENGTHS: dict[str, tuple[Headers, int]] = {
    "too short": ([("Content-Length", "5")], 401),
    "none": ([], 401),
    "negative": ([("Content-Length", "-1")], 400),
    "twice the same": ([length_of(PING), length_of(PING)], 400),
    "twice": ([("Content-Length", "5"), length_of(PING)], 400),
    "no number": ([("Content-Length", "ten")], 400),
    "with a sign": ([("Content-Length", "+18")], 400),
    "hexadecimal": ([("Content-Length", "0x12")], 400),
    "with an underscore": ([("Content-Length", "1_8")], 400),
    "a fraction": ([("Content-Length", "18.0")], 400),
    "a superscript digit": ([("Content-Length", "1\xb2")], 400),
    "of 30 digits": ([("Content-Length", "9" * 30)], 413),
    "of 4,000 digits": ([("Content-Length", "9" * 4_000)], 413),
}


@pytest.mark.parametrize(("lengths", "status"), LYING_LENGTHS.values(), ids=LYING_LENGTHS)
def test_a_content_length_that_lies_lets_nobody_in(target: Target, lengths: Headers, status: int) -> None:
    [answer] = target.send(write_request("POST", BATCH_PROCESS, [*lengths, target.signed(PING)], PING))
    assert answer.status == status


def test_a_content_length_that_python_refuses_to_read_ends_its_own_connection_alone(target: Target) -> None:
    headers = [("Content-Length", "9" * 5_000), target.signed(PING)]
    assert {answer.status for answer in target.send(write_request("POST", BATCH_PROCESS, headers, PING))} <= {400, 413}
    assert target.post(BATCH_PROCESS, PING, [target.signed(PING)]).json == {"ok": True}


@pytest.mark.parametrize("length", [len(PING) + 100, len(TOO_LONG)], ids=["a little", "5 MB"])
def test_a_body_that_is_announced_and_not_sent_keeps_nobody_else_waiting(target: Target, length: int) -> None:
    headers = [("Content-Length", str(length)), target.signed(PING)]
    with ExitStack() as connections:
        for _ in range(40):  # more than the server has threads
            connection = connections.enter_context(target.connect())
            connection.sendall(write_request("POST", BATCH_PROCESS, headers, PING))
        assert target.post(BATCH_PROCESS, PING, [target.signed(PING)]).json == {"ok": True}
    assert target.post(BATCH_PROCESS, PING, [target.signed(PING)]).json == {"ok": True}


# ---- Request smuggling: a proxy may see one request where the server sees two ----------------------------------------

# What runs a job where it gets in, and needs nothing because it names this machine.
SMUGGLED = write_request("POST", BATCH_PROCESS, [length_of(DRAIN)], DRAIN, host=INSIDE, closes=False)
NOTHING = b"0\r\n\r\n"
LAST = write_request("GET", "/the-last-request-of-the-connection")


def hidden(headers: Headers, body: bytes, *, method: str = "POST") -> bytes:
    return write_request(method, BATCH_PROCESS, headers, body, closes=False)


SMUGGLING: dict[str, bytes] = {
    "length and chunks": hidden([length_of(NOTHING + SMUGGLED), CHUNKED], NOTHING + SMUGGLED),
    "chunks and length": hidden([CHUNKED, length_of(NOTHING + SMUGGLED)], NOTHING + SMUGGLED),
    "length 0 and chunks": hidden([("Content-Length", "0"), CHUNKED], as_one_chunk(SMUGGLED)),
    "a length of the first chunk's head": hidden([("Content-Length", "4"), CHUNKED], as_one_chunk(SMUGGLED)),
    "chunks named twice": hidden([CHUNKED, CHUNKED, length_of(NOTHING + SMUGGLED)], NOTHING + SMUGGLED),
    "chunks in capitals": hidden([("TRANSFER-ENCODING", "CHUNKED"), length_of(NOTHING + SMUGGLED)], NOTHING + SMUGGLED),
    "a coding nobody knows": hidden([("Transfer-Encoding", "xchunked"), length_of(SMUGGLED)], SMUGGLED),
    "chunked and another coding": hidden(
        [("Transfer-Encoding", "chunked, identity"), length_of(NOTHING + SMUGGLED)], NOTHING + SMUGGLED
    ),
    "a vertical tab before the coding": hidden(
        [("Transfer-Encoding", "\x0bchunked"), length_of(NOTHING + SMUGGLED)], NOTHING + SMUGGLED
    ),
    "a blank before the colon": hidden([("Transfer-Encoding ", "chunked")], NOTHING + SMUGGLED),
    "a folded line": hidden([("X", "1\r\n Transfer-Encoding: chunked"), length_of(SMUGGLED)], SMUGGLED),
    "a bare line feed in a header": hidden([("X", "1\nContent-Length: 0"), length_of(SMUGGLED)], SMUGGLED),
    "a bare carriage return in a header": hidden([("X", "1\rContent-Length: 0"), length_of(SMUGGLED)], SMUGGLED),
    "lengths that differ": hidden([("Content-Length", "0"), length_of(SMUGGLED)], SMUGGLED),
    "a chunk size with a sign": hidden([CHUNKED], b"+0\r\n\r\n" + SMUGGLED),
    "a negative chunk size": hidden([CHUNKED], b"-1\r\n\r\n" + SMUGGLED),
    "a hexadecimal prefix": hidden([CHUNKED], b"0x0\r\n\r\n" + SMUGGLED),
    "a chunk longer than its size": hidden([CHUNKED], b"1\r\nabc\r\n0\r\n\r\n" + SMUGGLED),
    "a chunk that ends with a line feed": hidden([CHUNKED], b"1\r\na\n0\r\n\r\n" + SMUGGLED),
    "a body where there should be none": hidden([length_of(SMUGGLED)], SMUGGLED, method="GET"),
    "a body of a method that is refused": hidden([length_of(SMUGGLED)], SMUGGLED, method="PUT"),
    "a body that is refused for its length": hidden(
        [length_of(TOO_LONG[:1_000_000] + SMUGGLED)], TOO_LONG[:1_000_000] + SMUGGLED
    ),
    "chunks in HTTP/1.0": hidden([CHUNKED, ("Connection", "keep-alive")], as_one_chunk(SMUGGLED)).replace(
        b" HTTP/1.1", b" HTTP/1.0", 1
    ),
}


@pytest.mark.parametrize("request_bytes", SMUGGLING.values(), ids=SMUGGLING)
def test_no_request_is_smuggled_in_within_another(target: Target, request_bytes: bytes) -> None:
    answers = target.send(request_bytes + LAST)
    assert answers
    assert [answer.status for answer in answers if answer.status < 400] == []
    assert not any(b"claimed" in answer.body for answer in answers)


# ---- Methods and paths -----------------------------------------------------------------------------------------------

ALLOWED = {
    **dict.fromkeys(SIGNED_ENDPOINTS, "POST"),
    "/api/init": "GET, POST",
    "/api/status": "GET",
    "/api/recommend": "GET",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "A" * 5_000)


@pytest.mark.parametrize("host", [INSIDE, OUTSIDE])
@pytest.mark.parametrize("path", ALLOWED)
def test_another_method_is_refused_and_the_right_one_named(target: Target, path: str, host: str) -> None:
    for method in (method for method in METHODS if method not in ALLOWED[path].split(", ")):
        answer = target.ask(method, path, [("X-HTTP-Method-Override", "POST")], host=host)
        assert (method, answer.status, answer.headers.get("allow")) == (method, 405, ALLOWED[path])


@pytest.mark.parametrize("path", [*ALLOWED, "/nowhere"])
def test_an_answer_to_head_has_no_body(target: Target, path: str) -> None:
    """Whoever keeps the connection would take it for the beginning of the next answer."""
    head, _, body = target.exchange(write_request("HEAD", path)).partition(b"\r\n\r\n")
    assert b" 404 " in head if path == "/nowhere" else b" 405 " in head
    assert body == b""


@pytest.mark.parametrize("method", ["get", "Post", "GE T", "", "<x>", "POST\0", "\xff"])
def test_what_is_no_method_is_bad_input(target: Target, method: str) -> None:
    for path in ALLOWED:
        assert target.ask(method, path, [target.key]).status == 400


# Asked for by this machine itself, which would be let in anywhere.
FILES = (
    "/api/init/",
    "/api/./init",
    "/api/x/../init",
    "/api/../lib/settings.py",
    "/api/%2e%2e/lib/settings.py",
    "/api/..%2flib/settings.py",
    "/api/..%5clib%5csettings.py",
    "/api/%252e%252e/lib/settings.py",
    "/%c0%ae%c0%ae/lib/settings.py",
    "/../../../../etc/passwd",
    "/lib/settings.py",
    "/local/functions.py",
    "/api/init.py",
    "/api/init%00",
    "/api/init%00.json",
    "/api/init;x",
    "/api/init%20",
    "/api/init%0d%0aX: y",
    "/API/INIT",
    "/api/actions/batch_process",
    "/api/actions/batch-process.py",
    "/api/recommend/index",
    "/api/recommend/",
    "/api/",
    "/api",
    "/.env",
    "/.env.local",
    "/.local/env",
    "/.local/functions.log",
    "/.git/config",
    "/__pycache__/",
    "api/init",
    "\\api\\init",
    "*",
    "/" + "a" * 100_000,
    "/%ff%fe",
    "/\xff",
    "/<script>alert(1)</script>",
)
# Other spellings of an endpoint, which the server may understand: then the key is needed all the same.
SPELLINGS = (
    "//api/init",
    "///api/init",
    "/api%2finit",
    "/api/%69nit",
    "/api/init?",
    "/api/init?token=x",
    "/api/init#x",
    "http://localhost/api/init",
    "http://shop.example.com/api/init",
    "//localhost/api/init",
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: ascii(path)[:40])
def test_no_path_leads_to_a_file(target: Target, path: str) -> None:
    answer = target.ask("GET", path, host=INSIDE)
    assert answer.status in (400, 404)
    assert b"import " not in answer.body
    assert b"TOKEN" not in answer.body
    assert not answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("path", SPELLINGS)
def test_no_spelling_of_a_path_spares_the_key(target: Target, path: str) -> None:
    assert target.ask("GET", path).status in (401, 404)


# ---- /api/recommend --------------------------------------------------------------------------------------------------

NEIGHBOUR = {"user_id": "neighbour", "items": [{"content_id": "of-the-neighbour-alone", "score": 1, "source": "x"}]}
NEIGHBOUR_KEY = "recommend:user:neighbour"

QUESTIONS: dict[str, tuple[str, int]] = {
    "every key": ("user_id=*", 200),
    "a pattern": ("user_id=neighbou%3F", 200),
    "a class of characters": ("user_id=%5Bn%5Deighbour", 200),
    "an escape": ("user_id=%5C*", 200),
    "the whole key": ("user_id=recommend%3Auser%3Aneighbour", 200),
    "a hash tag": ("user_id=%7Bneighbour%7D", 200),
    "the name of a key of ours": ("user_id=cold-start", 200),
    "the end of a script": ("user_id=%22%5D)%3B+redis.call('FLUSHALL')+--", 200),
    "a command on a line of its own": ("user_id=a%0D%0AFLUSHALL%0D%0A", 200),
    "a command in Redis's protocol": ("user_id=a%0D%0A*1%0D%0A%248%0D%0AFLUSHALL%0D%0A", 200),
    "SQL": ("user_id=%27%3B%20DROP%20TABLE%20user_actions%3B--", 200),
    "SQL that is always true": ("user_id=x%27%20OR%20%271%27%3D%271", 200),
    "a parameter of psycopg": ("user_id=%25(user_id)s", 200),
    "a backslash": ("user_id=%5C%27%3B", 200),
    "a path": ("user_id=..%2F..%2Fetc%2Fpasswd", 200),
    "text that runs backwards": ("user_id=%E2%80%AE", 200),
    "an escape of a terminal": ("user_id=%1B%5B2J", 200),
    "HTML": ("user_id=%3Cscript%3Ealert(1)%3C%2Fscript%3E", 200),
    "256 characters of four bytes": ("user_id=" + "%F0%9F%98%80" * 256, 200),
    "257 characters": ("user_id=" + "x" * 257, 400),
    "10 kB": ("user_id=" + "x" * 10_000, 400),
    "NUL": ("user_id=neighbour%00", 400),
    "half a surrogate pair": ("user_id=%ED%A0%BD", 200),
    "no UTF-8": ("user_id=%FF%FE", 200),
    "an overlong slash": ("user_id=%C0%AF", 200),
    "a percent sign alone": ("user_id=%", 200),
    "an escape that is none": ("user_id=%zz", 200),
    "an escape of another language": ("user_id=%u006e", 200),
    "a semicolon for an ampersand": ("user_id=a;n=0", 200),
    "nothing": ("", 400),
    "no value": ("user_id", 400),
    "an empty value": ("user_id=", 400),
    "only ampersands": ("&&&", 400),
    "an array in PHP's way": ("user_id[]=a", 400),
    "the user twice": ("user_id=a&user_id=neighbour", 400),
    "the user twice, alike": ("user_id=a&user_id=a", 400),
    "the user twice, one escaped": ("user_id=a&user%5Fid=neighbour", 400),
    "n twice": ("user_id=a&n=5&n=6", 400),
    "n = 0": ("user_id=a&n=0", 400),
    "n = -1": ("user_id=a&n=-1", 400),
    "n = 101": ("user_id=a&n=101", 400),
    "n = 10^9": ("user_id=a&n=1000000000", 400),
    "n of 5,000 digits": ("user_id=a&n=" + "9" * 5_000, 400),
    "n = 1e2": ("user_id=a&n=1e2", 400),
    "n = 5.0": ("user_id=a&n=5.0", 400),
    "n = 0x5": ("user_id=a&n=0x5", 400),
    "n = +5": ("user_id=a&n=%2B5", 400),
    "n with a blank": ("user_id=a&n=5%20", 400),
    "n with a NUL": ("user_id=a&n=5%00", 400),
    "n in Arabic digits": ("user_id=a&n=%D9%A3", 400),
    "n = NaN": ("user_id=a&n=NaN", 400),
    "a language that nobody speaks": ("user_id=a&language=xx-YYYY", 200),
    "SQL for a language": ("user_id=a&language=%27%3B--", 400),
    "NUL for a language": ("user_id=a&language=%00", 400),
    "no UTF-8 for a language": ("user_id=a&language=%ED%A0%BD", 400),
    "hyphens for a language": ("user_id=a&language=-", 400),
    "10 kB of language": ("user_id=a&language=" + "x" * 10_000, 400),
    "a parameter that is unknown": ("user_id=a&debug=1", 400),
    "a parameter in capitals": ("user_id=a&N=5", 400),
    "2,000 parameters": ("user_id=a&" + "&".join(f"p{number}=1" for number in range(2_000)), 400),
}


@pytest.fixture
def neighbour(target: Target) -> Iterator[None]:
    """A cached list that nobody has asked for, which is as it was afterwards."""
    document = json.dumps(NEIGHBOUR)
    target.redis("SET", NEIGHBOUR_KEY, document, "EX", 3_600)
    yield
    assert target.redis("GET", NEIGHBOUR_KEY) == document
    assert target.redis("TTL", NEIGHBOUR_KEY) > 3_000
    assert target.redis("EXISTS", "recs:generation:neighbour") == 0


@pytest.mark.usefixtures("neighbour")
@pytest.mark.parametrize(("query", "status"), QUESTIONS.values(), ids=QUESTIONS)
def test_a_strange_question_is_bad_input_or_of_an_unknown_user(target: Target, query: str, status: int) -> None:
    answer = target.ask("GET", f"/api/recommend?{query}", [target.key])
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    if status == 200:
        assert answer.json["source"] == "cold_start"
    else:
        assert answer.json["error"]["code"] == "invalid_input"
    assert b"of-the-neighbour-alone" not in answer.body
    [tables] = target.dev.rows(
        "SELECT to_regclass('user_actions'), to_regclass('user_embeddings'), to_regclass('content')"
    )
    assert tables == ("user_actions", "user_embeddings", "content")


@pytest.mark.usefixtures("neighbour")
def test_the_neighbour_himself_gets_his_list(target: Target) -> None:
    """Without this the lists above could all be unknown for another reason."""
    assert target.ask("GET", "/api/recommend?user_id=neighbour", [target.key]).json["source"] == "cache"


# ---- Pages -----------------------------------------------------------------------------------------------------------


def open_page(target: Target, path: str) -> Answer:
    answer = target.ask("GET", path, [target.key, ("Accept", "text/html,application/xhtml+xml")])
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    assert answer.headers["x-content-type-options"] == "nosniff"
    return answer


def assert_shown_as_text(page: bytes) -> None:
    assert b"<script" not in page.lower()
    assert b"<img" not in page.lower()
    assert b"alert(1)&gt;&#39;{{7*7}}{% for x in [1] %}" in page


PUSHED_HTML: dict[str, Mapping[str, object]] = {
    "its action": {"user_id": "u", "content_id": "c", "action": HTML},
    "its user": {"user_id": HTML, "content_id": "c", "action": "no such action"},
    "its content": {"user_id": "u", "content_id": HTML, "action": "no such action"},
    "its id": {"id": HTML, "user_id": "u", "content_id": "c", "action": "no such action"},
    "its time": {"user_id": "u", "content_id": "c", "action": "view", "timestamp": HTML},
    "its value": {"user_id": "u", "content_id": "c", "action": "view", "value": HTML},
    "a field nobody knows": {HTML: HTML},
}


@pytest.mark.parametrize("action", PUSHED_HTML.values(), ids=PUSHED_HTML)
def test_html_in_an_action_that_cannot_be_read_is_shown_as_text(target: Target, action: Mapping[str, object]) -> None:
    marker = uuid.uuid4().hex
    target.dev.push([{**action, "marker": marker}])
    target.post(BATCH_PROCESS, DRAIN, [target.signed(DRAIN)])
    page = eventually(lambda: page if marker in (page := open_page(target, "/api/status").body.decode()) else "")
    assert_shown_as_text(page.encode())


def test_html_that_is_no_action_at_all_is_shown_as_text(target: Target) -> None:
    marker = uuid.uuid4().hex
    target.redis("LPUSH", "pending_user_actions", HTML + marker)
    target.post(BATCH_PROCESS, DRAIN, [target.signed(DRAIN)])
    page = eventually(lambda: page if marker in (page := open_page(target, "/api/status").body.decode()) else "")
    assert_shown_as_text(page.encode())


def test_html_in_a_topic_is_shown_as_text(target: Target) -> None:
    key = "recommend:trending-topics"
    before = target.redis("GET", key)
    target.redis("SET", key, json.dumps([{"topic": HTML, "score": 1.0}]), "EX", 3_600)
    page = open_page(target, "/api/status").body
    target.redis("DEL", key)
    if before is not None:
        target.redis("SET", key, before, "EX", 3_600)
    assert_shown_as_text(page)


def test_nothing_of_the_request_stands_in_the_page_of_init(target: Target) -> None:
    marker = "x" + uuid.uuid4().hex
    headers = [("Accept", f"text/html, {marker}"), ("X-Forwarded-Host", marker), ("Referer", marker), target.key]
    answer = target.ask("GET", f"/api/init?{marker}=%3Cscript%3E", headers, host=marker)
    assert answer.status == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    assert marker.encode() not in answer.body
    assert b"<script" not in answer.body


# ---- Who calls -------------------------------------------------------------------------------------------------------

HOSTS: dict[str, str] = {
    "a public host": OUTSIDE,
    "a name that an attacker's DNS points here": "rebound.evil.example:3000",
    "a name that holds our address": "127.0.0.1.nip.io",
    "a name that begins like ours": "localhost.evil.example",
    "an empty one": "",
    "ours and another": "localhost, evil.example",
    "another and ours": "evil.example, localhost",
    "every address": "0.0.0.0",  # noqa: S104 - nothing is bound
    "our address as one number": "2130706433",
    "our address shortened": "127.1",
    "our address with zeros": "127.0.0.01",
    "a foreign address in IPv6": "[::ffff:203.0.113.7]",
    "an address cut off": "[::1",
    "our name in circles": "\xe2\x93\x9bocalhost",
    "a user name before another host": "localhost:3000@evil.example",
    "a user name before ours": "evil.example@localhost",
    "a backslash before ours": "evil.example\\@localhost",
    "a fragment after ours": "localhost#.evil.example",
    "a query after ours": "localhost?.evil.example",
    "a path after ours": "localhost/.evil.example",
    "two ports": "localhost:3000:80",
}


def unsigned_call(target: Target, headers: Headers, *, host: str = INSIDE) -> Answer:
    return target.post(BATCH_PROCESS, DRAIN, headers, host=host)


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_a_host_that_is_not_this_machine_needs_a_signature_or_the_key(target: Target, host: str) -> None:
    assert unsigned_call(target, [], host=host).status == 401
    for path in KEYED_ENDPOINTS:
        assert target.ask("GET", path, host=host).status == 401


def test_no_host_and_two_hosts_need_a_signature(target: Target) -> None:
    request = write_request("POST", BATCH_PROCESS, [length_of(DRAIN)], DRAIN, host=INSIDE)
    ours = f"Host: {INSIDE}\r\n".encode()
    for hosts in (b"", ours + b"Host: evil.example\r\n", b"Host: evil.example\r\n" + ours):
        [answer] = target.send(request.replace(ours, hosts, 1))
        assert answer.status == 401


def test_this_machine_itself_needs_nothing(target: Target) -> None:
    """Without this every refusal here could be for another reason."""
    assert unsigned_call(target, []).status == 200
    assert target.ask("GET", "/api/status", host=INSIDE).status == 200


# Each names somebody else beside a Host that is ours.
FOREIGN: dict[str, tuple[str, str]] = {
    "X-Forwarded-For": ("X-Forwarded-For", "203.0.113.9"),
    "X-Forwarded-For after ours": ("X-Forwarded-For", "127.0.0.1, 203.0.113.9"),
    "X-Forwarded-For before ours": ("X-Forwarded-For", "203.0.113.9, 127.0.0.1"),
    "X-Forwarded-For in IPv6": ("X-Forwarded-For", "2001:db8::1"),
    "X-Forwarded-For that hides": ("X-Forwarded-For", "unknown"),
    "X-Forwarded-For, empty": ("X-Forwarded-For", ""),
    "X-Forwarded-Host": ("X-Forwarded-Host", "evil.example"),
    "X-Forwarded-Server": ("X-Forwarded-Server", "evil.example"),
    "X-Real-IP": ("X-Real-IP", "203.0.113.9"),
    "X-Client-IP": ("X-Client-IP", "203.0.113.9"),
    "X-Original-Host": ("X-Original-Host", "evil.example"),
    "X-Vercel-Forwarded-For": ("X-Vercel-Forwarded-For", "203.0.113.9"),
    "X-Vercel-Proxied-For": ("X-Vercel-Proxied-For", "203.0.113.9"),
    "X-Vercel-IP": ("X-Vercel-IP", "203.0.113.9"),
    "CF-Connecting-IP": ("CF-Connecting-IP", "203.0.113.9"),
    "True-Client-IP": ("True-Client-IP", "203.0.113.9"),
    "Forwarded for": ("Forwarded", "for=203.0.113.9"),
    "Forwarded for, after ours": ("Forwarded", "for=127.0.0.1, for=203.0.113.9"),
    "Forwarded for, in quotes": ("Forwarded", 'for="[2001:db8::1]:4711"'),
    "Forwarded for, in capitals": ("FORWARDED", "FOR=203.0.113.9"),
    "Forwarded host": ("Forwarded", "for=127.0.0.1;host=evil.example"),
    "Forwarded, unreadable": ("Forwarded", "\xff"),
    "Via": ("Via", "1.1 evil.example"),
    "a page of another site": ("Sec-Fetch-Site", "cross-site"),
    "a page of another port": ("Sec-Fetch-Site", "same-site"),
    "a page, in capitals": ("Sec-Fetch-Site", "Cross-Site"),
    "a page of a site twice": ("Sec-Fetch-Site", "none, cross-site"),
}
# Each claims to be this machine, or something else that a proxy may say.
CLAIMS: dict[str, tuple[str, str]] = {
    "X-Forwarded-For": ("X-Forwarded-For", "127.0.0.1"),
    "X-Forwarded-Host": ("X-Forwarded-Host", "localhost"),
    "X-Real-IP": ("X-Real-IP", "::1"),
    "Forwarded": ("Forwarded", "for=127.0.0.1;host=localhost;by=127.0.0.1"),
    "X-Vercel-Forwarded-For": ("X-Vercel-Forwarded-For", "127.0.0.1"),
    "X-Vercel-Deployment-Url": ("X-Vercel-Deployment-Url", "evil.example"),
    "X-Vercel-Env": ("X-Vercel-Env", "development"),
    "X-Forwarded-Proto": ("X-Forwarded-Proto", "https"),
    "X-Forwarded-Port": ("X-Forwarded-Port", "1"),
    "X-Forwarded-Prefix": ("X-Forwarded-Prefix", "/evil"),
    "X-Original-URL": ("X-Original-URL", "http://evil.example/api/init"),
    "Origin": ("Origin", "http://localhost:3000"),
    "Sec-Fetch-Site": ("Sec-Fetch-Site", "same-origin"),
    "ALLOW_UNSIGNED_LOCAL": ("Allow-Unsigned-Local", "1"),
    "REMOTE_ADDR": ("Remote-Addr", "127.0.0.1"),
}


@pytest.mark.parametrize("header", FOREIGN.values(), ids=FOREIGN)
def test_a_header_that_names_somebody_else_makes_a_call_foreign(target: Target, header: tuple[str, str]) -> None:
    assert unsigned_call(target, [header]).status == 401
    for path in KEYED_ENDPOINTS:
        assert target.ask("GET", path, [header], host=INSIDE).status == 401


@pytest.mark.parametrize("header", CLAIMS.values(), ids=CLAIMS)
def test_a_header_that_claims_to_be_of_this_machine_lets_nobody_in(target: Target, header: tuple[str, str]) -> None:
    assert unsigned_call(target, [header], host=OUTSIDE).status == 401
    for path in KEYED_ENDPOINTS:
        assert target.ask("GET", path, [header]).status == 401


@pytest.mark.parametrize(
    ("method", "host", "header"),
    [
        *[pytest.param("GET", OUTSIDE, header, id=f"foreign {name}") for name, header in FOREIGN.items()],
        *[pytest.param("GET", OUTSIDE, header, id=f"claimed {name}") for name, header in CLAIMS.items()],
        pytest.param("GET", "evil.example:666", ("X-Forwarded-Host", "evil.example"), id="a host of the attacker's"),
        pytest.param("POST", OUTSIDE, ("Upstash-Cron", "* * * * *"), id="a header of QStash's own"),
        pytest.param("POST", OUTSIDE, ("Upstash-Forward-X", "y"), id="a header to be forwarded"),
    ],
)
def test_nothing_that_the_caller_sends_is_scheduled(
    target: Target, method: str, host: str, header: tuple[str, str]
) -> None:
    before = target.scheduled()
    body = b'{"destination": "http://evil.example", "cron": "* * * * *"}' if method == "POST" else b""
    path = "/api/init?url=http://evil.example&host=evil.example"

    answer = target.ask(method, path, [target.key, header, length_of(body)], body, host=host)

    assert answer.status == 200
    assert b"evil" not in answer.body
    assert target.scheduled() == before
    assert [url for _, url in before if not url.startswith(target.dev.url + "/api/")] == []
    assert len(before) == 4


KEYS: dict[str, Callable[[str], tuple[str, str]]] = {
    "without its scheme": lambda key: ("Authorization", key),
    "in another scheme": lambda key: ("Authorization", f"Digest {key}"),
    "in the name of Basic": lambda key: ("Authorization", f"Basic {key}"),
    "cut by one character": lambda key: ("Authorization", f"Bearer {key[:-1]}"),
    "with one character more": lambda key: ("Authorization", f"Bearer {key}x"),
    "in other letters": lambda key: ("Authorization", f"Bearer {key.swapcase()}"),
    "with a NUL in UTF-8": lambda key: ("Authorization", f"Bearer {key}\xc0\x80"),
    "twice": lambda key: ("Authorization", f"Bearer {key}\r\nAuthorization: Bearer {key}"),
    "with a wrong one": lambda key: ("Authorization", f"Bearer x\r\nAuthorization: Bearer {key}"),
    "of 100 kB": lambda key: ("Authorization", "Bearer " + "x" * 100_000),
    "no text": lambda key: ("Authorization", "Bearer \xff\xfe"),
    "no text in Basic": lambda key: ("Authorization", "Basic \xff"),
    "empty": lambda key: ("Authorization", "Bearer "),
    "empty in Basic": lambda key: ("Authorization", "Basic Og=="),
    "for another header": lambda key: ("X-Api-Key", key),
    "for a proxy": lambda key: ("Proxy-Authorization", f"Bearer {key}"),
    "in a cookie": lambda key: ("Cookie", f"Authorization=Bearer {key}"),
    "in a header with an underscore": lambda key: ("Admin_Api_Key", key),
}


@pytest.mark.parametrize("header", KEYS.values(), ids=KEYS)
def test_a_key_that_is_not_quite_given_opens_nothing(target: Target, header: Callable[[str], tuple[str, str]]) -> None:
    key = target.variables["ADMIN_API_KEY"]
    answers = [target.ask("GET", path, [header(key)]) for path in KEYED_ENDPOINTS]
    assert [answer.status for answer in answers] == [401, 401, 401]
    assert target.ask("GET", f"/api/status?key={key}").status == 401
    assert not any(key.encode() in answer.body for answer in answers)


# ---- Headers and the log ---------------------------------------------------------------------------------------------

HEAVY_HEADERS: dict[str, Headers] = {
    "one of 200 kB": [("X-Long", "a" * 200_000)],
    "one of 300 kB": [("X-Long", "a" * 300_000)],
    "a name of 200 kB": [("X" * 200_000, "a")],
    "5,000 of them": [(f"X-{number}", "a") for number in range(5_000)],
    "50,000 of one name": [("X", "a")] * 50_000,
    "a NUL": [("X", "a\0b")],
    "no name": [("", "a")],
    "a name of no letters": [("\xff", "a")],
}


@pytest.mark.parametrize("headers", HEAVY_HEADERS.values(), ids=HEAVY_HEADERS)
def test_heavy_or_broken_headers_are_refused_and_end_nothing(target: Target, headers: Headers) -> None:
    answers = target.send(write_request("GET", "/api/status", headers))
    assert {answer.status for answer in answers} <= REFUSED_OUTRIGHT | {401}
    assert target.ask("GET", "/api/status", [target.key]).status == 200


FORGED = "2026-11-25 10:00:00,000 INFO all is well"
LOG_FORGERIES: dict[str, Callable[[str], Headers]] = {
    "an escaped line break in the message id": lambda line: [("Upstash-Message-Id", f"msg%0a{line}")],
    "JSON's line break in the message id": lambda line: [("Upstash-Message-Id", f"msg\\n{line}")],
    "a C1 line break in the message id": lambda line: [("Upstash-Message-Id", f"msg\x85{line}")],
    "a Unicode line break in the message id": lambda line: [("Upstash-Message-Id", f"msg\xe2\x80\xa8{line}")],
    "an escape of a terminal in the message id": lambda line: [("Upstash-Message-Id", f"msg\x9b1G\x9b2K{line}")],
    "a message id of 100 kB": lambda line: [("Upstash-Message-Id", "x" * 100_000 + line)],
    "a folded message id": lambda line: [("Upstash-Message-Id", f"msg\r\n {line}")],
    "a line break in the user agent": lambda line: [("User-Agent", f"x\x85{line}")],
}


def forged_lines(log: str, line: str) -> list[str]:
    """Those that begin with it, by every character that some viewer takes for a line break."""
    return [found for found in log.splitlines() if found.strip().startswith(line)]


@pytest.mark.parametrize("headers", LOG_FORGERIES.values(), ids=LOG_FORGERIES)
def test_no_header_forges_a_line_of_the_log(target: Target, headers: Callable[[str], Headers]) -> None:
    line = f"{FORGED} {uuid.uuid4()}"
    before = len(target.log)
    assert target.post(BATCH_PROCESS, PING, [*headers(line), (SIGNATURE, "wrong")]).status == 401
    written = target.log[before:]
    assert "refused" in written
    assert forged_lines(written, line) == []
    assert "\x9b" not in written
    assert max(map(len, written.splitlines())) < 1_000


@pytest.mark.parametrize("name", ["crit", "alg", "kid", "typ"])
def test_no_token_forges_a_line_of_the_log(target: Target, name: str) -> None:
    """The reason that the log gives may quote what stands in a token that nobody has signed."""
    line = f"{FORGED} {uuid.uuid4()}"
    broken = f"x\n{line}"
    header = {"alg": "HS256", "typ": "JWT", name: [broken] if name == "crit" else broken}
    token = target.forged_token(header, key="of nobody")
    assert target.post(BATCH_PROCESS, PING, [(SIGNATURE, token)]).status == 401
    assert forged_lines(target.log, line) == []


def test_no_action_forges_a_line_of_the_log(target: Target) -> None:
    """What can't be read is logged as it was pushed."""
    line = f"{FORGED} {uuid.uuid4()}"
    target.redis("LPUSH", "pending_user_actions", f"no JSON\n{line}")
    target.post(BATCH_PROCESS, DRAIN, [target.signed(DRAIN)])
    eventually(lambda: line in target.log)
    assert forged_lines(target.log, line) == []


# ---- Secrets are compared in constant time ---------------------------------------------------------------------------

SECRET_NAME = re.compile(r"(^|_)(key|keys|token|secret|secrets|signature|digest|password|given|authorization)$")
GUARDS = ("lib/web/authentication.py", "lib/web/signature.py")


def careless_comparisons(source: str) -> list[str]:
    """Comparisons that end at the first character that differs, of anything whose name says that it is a secret."""

    def names(node: ast.expr) -> Iterator[str]:
        """Of what is compared itself: a method's result goes by the name of what it is called on."""
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
            yield from names(node.value)
        elif isinstance(node, ast.Call):
            yield from names(node.func)
        elif isinstance(node, ast.Subscript):
            yield from names(node.value)
            yield from [str(node.slice.value)] if isinstance(node.slice, ast.Constant) else []

    def is_secret(node: ast.expr) -> bool:
        return any(SECRET_NAME.search(name) for name in names(node))

    careless = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, careless) for operator in node.ops)
        and any(is_secret(operand) for operand in (node.left, *node.comparators))
    ]


@pytest.mark.parametrize("file", sorted(ROOT.glob("lib/web/*.py")), ids=lambda file: file.name)
def test_no_secret_is_compared_character_by_character(file: Path) -> None:
    assert careless_comparisons(file.read_text()) == []


@pytest.mark.parametrize("file", GUARDS)
def test_the_guards_compare_in_constant_time(file: str) -> None:
    calls = [node for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.Call)]
    assert "hmac.compare_digest" in {ast.unparse(call.func) for call in calls}


@pytest.mark.parametrize(
    "source",
    [
        "given == settings.admin_api_key",
        "settings.admin_api_key != given.encode()",
        "if token in (current_key, next_key): pass",
        "claims['signature'] == expected",
        "request.headers['authorization'] not in allowed",
        "digest.rstrip('=') == other",
    ],
)
def test_a_careless_comparison_would_be_found(source: str) -> None:
    assert len(careless_comparisons(source)) == 1


def test_other_comparisons_are_not_taken_for_careless_ones() -> None:
    source = "len(token) > 5 and scheme == 'bearer' and name in FORWARDING_HEADERS and token is None"
    assert careless_comparisons(source) == []


# ---- After all of it -------------------------------------------------------------------------------------------------


def test_after_all_of_it_the_server_is_alive_and_nothing_went_wrong_that_nobody_foresaw(target: Target) -> None:
    for path in SIGNED_ENDPOINTS:
        assert target.post(path, PING, [target.signed(PING, path)]).json == {"ok": True}
    status = target.ask("GET", "/api/status", [target.key])
    assert (status.status, status.json["errors"]) == (200, [])
    assert target.ask("GET", "/api/init", [target.key]).json["ok"]
    for sign_of_a_defect in ("Traceback", "failed, reference"):
        assert sign_of_a_defect not in target.log
