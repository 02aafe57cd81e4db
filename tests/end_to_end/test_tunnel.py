"""Calls that come through a reverse proxy, as ngrok brings them."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from local.qstash.signing import sign
from tests.end_to_end.checkout import Dev

PATH = "/api/actions/batch-process"
BODY = json.dumps({"action": "process_user_actions"}).encode()
PUBLIC_HOST = "4f1c.ngrok-free.app"
FORWARDING = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": PUBLIC_HOST, "X-Forwarded-Proto": "https"}


@contextmanager
def tunnel(target: str, host: str) -> Iterator[str]:
    """A proxy in front of `target` that calls it by the name `host`; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = httpx.post(
                target + self.path, content=body, headers={**self.headers, **FORWARDING, "Host": host}, timeout=30
            )
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=["localhost:3000", PUBLIC_HOST], ids=["host rewritten", "host kept"])
def tunnel_url(dev: Dev, request: pytest.FixtureRequest) -> Iterator[str]:
    with tunnel(dev.url, request.param) as url:
        yield url


def test_a_call_by_hand_through_a_tunnel_is_refused(tunnel_url: str) -> None:
    assert httpx.post(tunnel_url + PATH, content=BODY).status_code == 401


@pytest.mark.parametrize("key", ["QSTASH_CURRENT_SIGNING_KEY", "QSTASH_NEXT_SIGNING_KEY"])
def test_a_delivery_through_a_tunnel_is_known_by_its_signature(dev: Dev, tunnel_url: str, key: str) -> None:
    signature = sign(dev.variables[key], url=dev.url + PATH, body=BODY, now=time.time())
    answer = httpx.post(tunnel_url + PATH, content=BODY, headers={"Upstash-Signature": signature}, timeout=30)
    assert answer.status_code == 200
    assert answer.json()["rejected"] == 0


def test_a_signature_for_the_tunnels_own_address_is_refused(dev: Dev, tunnel_url: str) -> None:
    url = f"https://{PUBLIC_HOST}{PATH}"
    signature = sign(dev.variables["QSTASH_CURRENT_SIGNING_KEY"], url=url, body=BODY, now=time.time())
    answer = httpx.post(tunnel_url + PATH, content=BODY, headers={"Upstash-Signature": signature})
    assert answer.status_code == 401
