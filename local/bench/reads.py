"""Reads through the whole WSGI stack, as the app's server asks for lists, and Redis's front in a process of its own."""

import io
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lib.adapters.services import Services
from lib.settings import Settings
from lib.web.edge import keyed_application
from lib.web.endpoints import recommendations
from local.redis_rest import RedisRest
from local.resp import Address

ROOT = Path(__file__).resolve().parents[2]
PATH = "/api/recommend"


class Reader:
    """The app's server, which has the key."""

    def __init__(self, settings: Settings) -> None:
        self.services = Services(replace(settings, admin_api_key=secrets.token_hex(16)))
        self._function = keyed_application(PATH, recommendations, services=self.services)

    def read(self, user_id: str) -> bytes:
        """The body of what api/recommend/index.py answers."""
        statuses = list[str]()
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": PATH,
            "QUERY_STRING": f"user_id={user_id}",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "shop.example.com",
            "HTTP_ACCEPT": "application/json",
            "HTTP_AUTHORIZATION": f"Bearer {self.services.settings.admin_api_key}",
            "wsgi.input": io.BytesIO(),
        }
        body = b"".join(self._function(environ, lambda status, headers: statuses.append(status)))
        assert statuses == ["200 OK"], body
        return body

    def read_from(self, source: str, user_id: str) -> None:
        document: dict[str, Any] = json.loads(self.read(user_id))
        assert document["source"] == source

    def get(self, user_id: str) -> None:
        """The bare key, through the same client."""
        raw = self.services.cache._redis.execute("GET", f"recommend:user:{user_id}")
        assert raw.startswith("{")


@contextmanager
def far_redis(address: Address, settings: Settings) -> Iterator[Settings]:
    """The settings with a front of Redis in a process of its own: in this one it would wait for the readers' threads,
    and they for it, as no client and server do."""
    token = secrets.token_urlsafe(24)
    command = [sys.executable, "-c", "from local.bench.reads import serve_redis; serve_redis()"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps({"address": address, "token": token}) + "\n")
        process.stdin.flush()
        yield replace(settings, redis_url=process.stdout.readline().strip(), redis_token=token)
        process.stdin.close()  # which ends it, as this process's death does


def serve_redis() -> None:
    given = json.loads(sys.stdin.readline())
    with RedisRest(Address(*given["address"]), {given["token"]: 0}) as rest:
        print(rest.url, flush=True)
        sys.stdin.read()
