"""Stands between a client and its server and counts how often the client waits for an answer: its round trips."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

BYTES_AT_ONCE = 1 << 16


class Relay:
    """Passes on what comes to `port`. `round_trips` of all connections together."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.round_trips = 0

    def serve(self) -> None:
        with suppress(OSError):  # closed: that is the end
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open += [client, server]
                is_asking = threading.Event()
                for source, target, asks in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass_on, args=(source, target, is_asking, asks), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_asking: threading.Event, asks: bool) -> None:
        with suppress(OSError):
            while data := source.recv(BYTES_AT_ONCE):
                if asks:
                    is_asking.set()
                elif is_asking.is_set():
                    is_asking.clear()
                    self.round_trips += 1
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def through(relay: Relay, url: str) -> str:
    """The URL of the relay's server, by way of the relay."""
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{relay.port}"))


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


@contextmanager
def relayed(server: tuple[str, int]) -> Iterator[Relay]:
    relay = Relay(server)
    thread = threading.Thread(target=relay.serve)
    thread.start()
    try:
        yield relay
    finally:
        relay.close()
        thread.join()
