"""`python -m local.qstash --port 8080`: the local QStash alone, until Ctrl-C or a SIGTERM."""

import argparse
import contextlib
import signal
import threading

from local.qstash import QStashServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.qstash", description="A local, in-memory QStash.")
    parser.add_argument("--port", type=int, default=8080, help="on 127.0.0.1; 0 takes a free one (default: 8080)")
    port = parser.parse_args().port
    try:
        server = QStashServer(port=port)
    except (OSError, OverflowError) as error:
        parser.exit(1, f"can't listen on 127.0.0.1:{port}: {error}\n")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with server, contextlib.suppress(KeyboardInterrupt):
        for name, value in server.environment().items():
            print(f'{name}="{value}"', flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
