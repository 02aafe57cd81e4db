"""Serves every function of api/ on this machine, for scripts/dev.

python -m local.functions --port 3000
"""

import argparse
import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path

import waitress
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError

from lib.log_lines import formatter, line, log
from lib.web.dispatcher import app
from lib.web.edge import log_to_stderr_unless_the_host_does

ROOT = Path(__file__).resolve().parent.parent
THREADS = 16
LOG_BYTES = 5_000_000  # of the log file, and of each of the older ones beside it
LOG_FILES = 3
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
    parser.add_argument("--log-file", type=Path, metavar="FILE", help="write log lines there too")
    options = parser.parse_args()
    log_to_stderr_unless_the_host_does()
    if options.log_file and (handler := file_handler(options.log_file)):
        logging.getLogger().addHandler(handler)
    os.chdir(ROOT)
    HTTPChannel.parser_class = StrictParser
    # The proxy headers must stay: they tell a call that came through a tunnel from one of this machine.
    waitress.serve(
        app,
        host="127.0.0.1",
        port=options.port,
        threads=THREADS,
        clear_untrusted_proxy_headers=False,
        max_request_body_size=MAX_BODY_BYTES,
    )


def file_handler(file: Path) -> logging.Handler | None:
    """None where the file can't be written: then there is stderr alone."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(file, maxBytes=LOG_BYTES, backupCount=LOG_FILES - 1, encoding="utf-8")
    except OSError as error:
        log.warning(line("no log file", file=file, error=error.strerror))
        return None
    handler.setFormatter(formatter())
    return handler


if __name__ == "__main__":
    main()
