"""Log lines for a person with grep: words first, then key=value pairs, on one line whatever came from outside.

All of it is in the message, because Vercel ships a record's message and level and nothing else.
"""

import json
import logging
import re
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

log = logging.getLogger("recommendations")

VALUE_LENGTH = 500  # characters; a longer one is cut
_PLAIN = re.compile(r"[^\s\"'=\\]+")  # what needs no quotes around it
_request_fields: ContextVar[tuple[tuple[str, object], ...]] = ContextVar("request_fields", default=())


@contextmanager
def naming(**fields: object) -> Iterator[None]:
    """Every line that is written inside, by whatever module, ends with these fields too."""
    token = _request_fields.set((*_request_fields.get(), *fields.items()))
    try:
        yield
    finally:
        _request_fields.reset(token)


def line(words: str, **fields: object) -> str:
    """`words key=value ...`: the given fields, then the request's. A field that is None or empty is left out."""
    pairs = {**fields, **dict(_request_fields.get())}
    named = [f"{name}={_value(value)}" for name, value in pairs.items() if value is not None and value != ""]
    return " ".join([_on_one_line(words), *named])


def log_defect(words: str, error: Exception, redact: Callable[[str], str], **fields: object) -> str:
    """Logs what nobody foresaw with its traceback, and answers a reference by which grep finds each line of it."""
    import secrets  # and random numbers with it, for what should never happen

    reference = secrets.token_hex(6)
    text = redact("".join(traceback.format_exception(error)))
    first = line(f"{words}: a defect, {type(error).__name__}", **fields, reference=reference)
    log.error("\n".join([first, *(f"{reference} | {_on_one_line(part)}" for part in text.splitlines())]))
    return reference


def formatter() -> logging.Formatter:
    """For where lines go to a file or a terminal: in UTC, as QStash's events and the status say it."""
    made = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    made.converter = time.gmtime
    return made


def _value(value: object) -> str:
    text = _cut(str(value))
    return _printable(text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False))


def _on_one_line(text: str) -> str:
    return _printable(_cut(text))


def _cut(text: str) -> str:
    return text if len(text) <= VALUE_LENGTH else text[:VALUE_LENGTH] + "…"


def _printable(text: str) -> str:
    """Whatever a viewer may take for a line break, or a terminal for a command, is spelled out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
