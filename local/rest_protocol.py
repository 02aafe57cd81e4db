"""What Upstash's REST protocol says in JSON and in paths, to Redis commands and back. No I/O.

https://upstash.com/docs/redis/features/restapi
"""

import base64
import json
from collections.abc import Callable, Sequence
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

from local.resp import Reply, ServerReplyError

Command = list[bytes]
TextEncoder = Callable[[bytes], str]

# They change or block the connection, which all requests of a client share, or the server, which all databases share.
UNAVAILABLE = {
    *("ACL", "AUTH", "HELLO", "CLIENT", "QUIT", "RESET", "SELECT", "READONLY", "READWRITE", "ASKING", "CLUSTER"),
    *("MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "MONITOR", "WAIT", "WAITAOF", "REPLCONF", "PSYNC", "SYNC"),
    *("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"),
    *("BLMOVE", "BLMPOP", "BLPOP", "BRPOP", "BRPOPLPUSH", "BZMPOP", "BZPOPMAX", "BZPOPMIN"),
    *("FLUSHALL", "SWAPDB", "MOVE", "MIGRATE", "CONFIG", "DEBUG", "MODULE", "SAVE", "BGSAVE", "BGREWRITEAOF"),
    *("SHUTDOWN", "FAILOVER", "REPLICAOF", "SLAVEOF"),
}


class RequestError(Exception):
    """A request that is answered with this error alone; nothing of it ran."""

    def __init__(self, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status


def parse_command(body: bytes) -> Command:
    """The body of POST /: `["SET", "key", 1]`."""
    return _command(_parse(body))


def parse_commands(body: bytes) -> list[Command]:
    """The body of /pipeline and /multi-exec: an array of commands, at least one."""
    values = _parse(body)
    if not isinstance(values, list) or not values:
        raise RequestError("ERR expected an array of commands")
    return [_command(value) for value in values]


def parse_path(path: str, parameters: Sequence[tuple[str, str]], body: bytes) -> Command:
    """The path form: `/set/key` with body `1` and `?EX=100` is `SET key 1 EX 100`."""
    command = [unquote_to_bytes(part) for part in path.removeprefix("/").split("/")]
    if body:
        command.append(body)
    for name, value in parameters:
        command += [part.encode(errors="surrogateescape") for part in (name, value) if part]
    return _available(command)


def envelope(reply: Reply, encode: TextEncoder) -> dict[str, object]:
    """`{"result": …}` or `{"error": …}`."""
    if isinstance(reply, ServerReplyError):
        return {"error": str(reply)}
    # "OK" is never encoded, so a client leaves it alone; inside an array npm's client doesn't.
    return {"result": "OK" if reply == b"OK" else _shape(reply, encode)}


def plain_text(value: bytes) -> str:
    """JSON holds Unicode alone: what isn't UTF-8 becomes U+FFFD. A client that stores bytes asks for base64."""
    return value.decode(errors="replace")


def base64_text(value: bytes) -> str:
    """For `Upstash-Encoding: base64`."""
    return base64.b64encode(value).decode()


def _shape(reply: Reply, encode: TextEncoder) -> object:
    match reply:
        case bytes():
            return encode(reply)
        case list():
            return [_shape(item, encode) for item in reply]
        case ServerReplyError():
            return str(reply)
        case _:
            return reply


def _parse(body: bytes) -> object:
    try:
        return json.loads(body, parse_int=str, parse_float=str)  # numbers stay as they were written
    except (ValueError, RecursionError) as error:
        raise RequestError(f"ERR failed to parse the request's JSON: {error}") from None


def _command(value: object) -> Command:
    if not isinstance(value, list):
        raise RequestError("ERR expected a command as an array of strings and numbers")
    return _available([_argument(part) for part in value])


def _argument(value: object) -> bytes:
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, str):
        # A lone surrogate has no UTF-8: U+FFFD, as servers do that hold text in UTF-8.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    raise RequestError("ERR the arguments of a command are strings, numbers or booleans")


def _available(command: Command) -> Command:
    if not command or not command[0]:
        raise RequestError("ERR empty command")
    name = command[0].decode(errors="replace").upper()
    if name in UNAVAILABLE:
        raise RequestError(f"ERR Command is not available: '{name}'")
    return command
