"""What the routes are given and what they answer, whatever carried it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from local.qstash.errors import bad_request


@dataclass(frozen=True)
class Request:
    """A request that has shown its token. `target` is path and query as sent; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    caller_ip: str

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)


@dataclass(frozen=True)
class Answer:
    """A status, the value that becomes the JSON body, and headers."""

    status: int
    value: Any
    headers: Mapping[str, str] = field(default_factory=dict)


def read_destination(destination: str) -> str:
    """The URL as it stands in a path, or percent-encoded as a whole."""
    return destination if "://" in destination else unquote(destination)


def read_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise bad_request(f"the body is not JSON: {error}") from error


def read_ids(body: bytes, name: str) -> list[str]:
    """The list of strings in a body such as `{"messageIds": [...]}`."""
    value = read_json(body)
    ids = value.get(name) if isinstance(value, dict) else None
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise bad_request(f"the body must be an object whose {name} is a list of strings")
    return ids
