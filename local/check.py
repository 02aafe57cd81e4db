"""scripts/check_qstash_config.py: the configuration check of /api/init, in a terminal.

It makes and mends nothing; it sends one test message a minute at most. Reads the environment, then .env.local and .env
of the current folder. Speaks Chinese where LC_ALL, LC_MESSAGES or LANG says zh. Ends with 1 where anything is missing.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping

from lib.adapters.services import Services
from lib.jobs.check_configuration import Inspection, inspect
from lib.jobs.checks.check import Check
from lib.web.translation import CHINESE, ENGLISH, translate
from local.configuration import read_configuration
from local.problem import mend_lines

SIGNS = {"ok": "✅", "warning": "⚠️", "error": "❌"}
COLOURS = {"warning": "33", "error": "31"}  # yellow, red
FAINT, BOLD = "2", "1"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/check_qstash_config.py", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the JSON of /api/init instead")
    options = parser.parse_args()
    services = Services(read_configuration())
    inspection = inspect(services, sends_ping=not services.settings.is_preview)
    services.close()
    if options.json:
        json.dump(inspection.as_json(), sys.stdout, ensure_ascii=False, indent=2)
        print()
    else:
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        print(as_text(inspection, language=language_of(os.environ), coloured=coloured))
    return 0 if inspection.ok else 1


def language_of(environ: Mapping[str, str]) -> str:
    """As gettext reads it: the first of the three that is set decides."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    locale = next((environ[name] for name in names if environ.get(name)), "")
    return CHINESE if locale.lower().startswith("zh") else ENGLISH


def as_text(inspection: Inspection, *, language: str = ENGLISH, coloured: bool = False) -> str:
    """One line a check, how to mend it under those that need it, and all of it in one sentence at the end."""
    lines = [line for check in inspection.checks for line in _lines(check, language, coloured)]
    status = "error" if not inspection.ok else "warning" if inspection.of_status("warning") else "ok"
    summary = _painted(translate(inspection.summary, language), BOLD if coloured else "")
    return "\n".join([*lines, "", f"{SIGNS[status]} {summary}"])


def _lines(check: Check, language: str, coloured: bool) -> list[str]:
    colour = COLOURS[check.status] if coloured and check.status != "ok" else ""
    lines = [f"{SIGNS[check.status]} {_painted(translate(check.message, language), colour)}"]
    if check.fix:
        faint = FAINT if coloured else ""
        lines += mend_lines(translate(check.fix, language), paint=lambda line: _painted(line, faint))
    return lines


def _painted(words: str, colour: str) -> str:
    return f"\x1b[{colour}m{words}\x1b[0m" if colour else words
