"""Calls that come through a tunnel, as ngrok brings them: to scripts/dev's own server, and to `vercel dev`.

ngrok keeps the public Host, or with --host-header rewrites it to the local one, and says in forwarding headers where
a call came from. `vercel dev` overwrites those headers.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from local.environment import Named
from local.launch import Prepare, local_server
from local.qstash.signing import sign
from local.stack import Stack, running_stack
from local.vercel import cli
from local.vercel.dev import vercel_dev
from tests.end_to_end.checkout import free_port
from tests.support import in_a_thread, needing

PATH = "/api/actions/batch-process"
BODY = json.dumps({"action": "ping"}).encode()
PUBLIC_HOST = "4f1c.ngrok-free.app"
PUBLIC_URL = f"https://{PUBLIC_HOST}"
FORWARDING = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": PUBLIC_HOST, "X-Forwarded-Proto": "https"}


@contextmanager
def tunnel(target: str, host: str) -> Iterator[str]:
    """A proxy in front of `target` that calls it by the name `host`; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {**self.headers, **FORWARDING, "Host": host}
            answer = httpx.post(target + self.path, content=body, headers=headers, timeout=120)
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with in_a_thread(server):
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.fixture(scope="module", params=[local_server, vercel_dev], ids=["scripts dev", "vercel dev"])
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The functions of somebody who has told the tunnel's address to the app, as the README says."""
    prepare: Prepare = request.param
    named = Named({"NEXT_PUBLIC_APP_URL": PUBLIC_URL}, frozenset())
    with (
        tempfile.TemporaryDirectory(prefix="recs-tunnel-") as folder,
        needing(cli.install),
        running_stack(Path(folder), named, port=free_port(), prepare=prepare) as stack,
    ):
        yield stack


@pytest.fixture(params=["localhost:3000", PUBLIC_HOST], ids=["host rewritten", "host kept"])
def tunnel_url(stack: Stack, request: pytest.FixtureRequest) -> Iterator[str]:
    with tunnel(stack.url, request.param) as url:
        yield url


def post(url: str, signature: str = "") -> int:
    headers = {"Upstash-Signature": signature} if signature else {}
    return httpx.post(url + PATH, content=BODY, headers=headers, timeout=120).status_code


def signature(stack: Stack, key: str, url: str = PUBLIC_URL) -> str:
    return sign(stack.environment[key], url=url + PATH, body=BODY, now=time.time())


def test_a_call_without_a_signature_is_refused(tunnel_url: str) -> None:
    assert post(tunnel_url) == 401


@pytest.mark.parametrize("key", ["QSTASH_CURRENT_SIGNING_KEY", "QSTASH_NEXT_SIGNING_KEY"])
def test_a_delivery_that_is_signed_for_the_public_address_is_let_in(stack: Stack, tunnel_url: str, key: str) -> None:
    assert post(tunnel_url, signature(stack, key)) == 200


@pytest.mark.parametrize("url", ["http://localhost:3000", f"http://{PUBLIC_HOST}", f"{PUBLIC_URL}:443"])
def test_a_signature_for_any_other_address_is_refused(stack: Stack, tunnel_url: str, url: str) -> None:
    assert post(tunnel_url, signature(stack, "QSTASH_CURRENT_SIGNING_KEY", url)) == 401


def test_a_signature_of_another_key_is_refused(tunnel_url: str) -> None:
    token = sign("sig_somebody_elses_key_0123456789", url=PUBLIC_URL + PATH, body=BODY, now=time.time())
    assert post(tunnel_url, token) == 401
