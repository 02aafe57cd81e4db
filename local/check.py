"""scripts/check_qstash_config.py: the configuration check of /api/init, in a terminal. It changes nothing.

Reads the environment, then .env.local and .env of the current folder. Ends with 1 where anything is missing.
"""

import argparse
import json
import sys

from lib.adapters.services import Services
from lib.jobs.check_configuration import Inspection, inspect
from local.configuration import read_configuration

SIGNS = {"ok": "✅", "warning": "⚠️", "error": "❌"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/check_qstash_config.py", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the JSON of /api/init instead")
    options = parser.parse_args()
    services = Services(read_configuration())
    inspection = inspect(services)
    services.close()
    if options.json:
        json.dump(inspection.as_json(), sys.stdout, ensure_ascii=False, indent=2)
        print()
    else:
        print(as_text(inspection))
    return 0 if inspection.ok else 1


def as_text(inspection: Inspection) -> str:
    """One line a check, and how to mend it under those that need it."""
    lines = []
    for check in inspection.checks:
        lines.append(f"{SIGNS[check.status]} {check.message}")
        if check.fix:
            lines.append(f"   → {check.fix}")
    return "\n".join(lines)
