"""The one error of the local QStash."""


class Refused(Exception):
    """A request that is not accepted: the HTTP status and the text that goes into the answer's `error` field."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def bad_request(message: str) -> Refused:
    return Refused(400, message)


def not_found(what: str, identifier: str) -> Refused:
    return Refused(404, f"{what} {identifier} not found")
