"""Serves every function of api/ on this machine, for scripts/dev.

python -m local.functions --port 3000
"""

import argparse
import logging
import os
from pathlib import Path

import waitress
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError

from lib.web.dispatcher import app
from lib.web.edge import LOG_FORMAT

ROOT = Path(__file__).resolve().parent.parent
THREADS = 16
MAX_BODY_BYTES = 64_000_000  # read before the function refuses it: a sender who is cut off early may miss the answer


class StrictParser(HTTPRequestParser):  # type: ignore[misc]
    """Refuses a request that is both chunked and of a length: a proxy in front may see two where this sees one."""

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length and Transfer-Encoding exclude each other")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=3000)
    port = parser.parse_args().port
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    os.chdir(ROOT)
    HTTPChannel.parser_class = StrictParser
    # The proxy headers must stay: they tell a call that came through a tunnel from one of this machine.
    waitress.serve(
        app,
        host="127.0.0.1",
        port=port,
        threads=THREADS,
        clear_untrusted_proxy_headers=False,
        max_request_body_size=MAX_BODY_BYTES,
    )


if __name__ == "__main__":
    main()
