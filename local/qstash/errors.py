"""The one error of the local QStash."""

from collections.abc import Mapping


class Refused(Exception):
    """A request that is not accepted: the HTTP status, the text for the answer's `error` field, and its headers."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


def bad_request(message: str) -> Refused:
    return Refused(400, message)


def not_found(what: str, identifier: str) -> Refused:
    return Refused(404, f"{what} {identifier} not found")
