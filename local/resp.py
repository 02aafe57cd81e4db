"""One connection to a Redis-compatible server in RESP2, with the replies as they came.

https://valkey.io/topics/protocol/
"""

import socket
from collections.abc import Sequence
from typing import NamedTuple, Self, TypeAlias

REPLY_SECONDS = 30.0  # longer than any command of ours; a server that is stuck must not hold a caller for ever

Reply: TypeAlias = "bytes | int | list[Reply] | ServerReplyError | None"


class Address(NamedTuple):
    """Where a server listens, and who connects with which password."""

    host: str
    port: int
    password: str
    user: str = "default"


class ServerReplyError(Exception):
    """An error that the server answered with; its text is the message. A value in replies, raised only by `call`."""


class Connection:
    """An authenticated connection that uses one logical database.

    Raises OSError where the server can't be reached or goes away, ServerReplyError where it refuses the password.
    """

    def __init__(self, address: Address, database: int = 0) -> None:
        self._socket = socket.create_connection((address.host, address.port), timeout=REPLY_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._replies = self._socket.makefile("rb")
        try:
            self.call(b"AUTH", address.user.encode(), address.password.encode())
            self.call(b"SELECT", str(database).encode())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._replies.close()
        self._socket.close()

    def call(self, *command: bytes) -> Reply:
        """The reply to one command; raises ServerReplyError where it is an error."""
        (reply,) = self.send([command])
        if isinstance(reply, ServerReplyError):
            raise reply
        return reply

    def send(self, commands: Sequence[Sequence[bytes]]) -> list[Reply]:
        """One reply for each command, in their order; errors are values among them."""
        self._socket.sendall(b"".join(map(_encode, commands)))
        return [self._read() for _ in commands]

    def _read(self) -> Reply:
        line = self._replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server closed the connection")
        kind, text = line[:1], line[1:-2]
        if kind == b"+":
            return text
        if kind == b"-":
            return ServerReplyError(text.decode(errors="replace"))
        number = int(text)
        if kind == b":":
            return number
        if number < 0:
            return None
        return [self._read() for _ in range(number)] if kind == b"*" else self._read_bulk(number)

    def _read_bulk(self, size: int) -> bytes:
        text = self._replies.read(size + 2)
        if len(text) < size + 2:
            raise ConnectionResetError("the server closed the connection")
        return text[:-2]


def _encode(command: Sequence[bytes]) -> bytes:
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        parts += (b"$%d\r\n" % len(argument), argument, b"\r\n")
    return b"".join(parts)
