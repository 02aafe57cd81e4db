"""scripts/evaluate --from-database: a site's own log, replayed with a split in time, against its peers."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from lib.errors import RecommenderError
from lib.settings import Settings
from local.configuration import read_configuration
from local.evaluation.compare import compare
from local.evaluation.data import UnusableDataError
from local.evaluation.from_database import Log, read_log
from local.evaluation.plot import draw
from local.evaluation.report import as_json, as_markdown


def evaluate_site(arguments: Sequence[str]) -> None:
    """Prints what came of it, and draws it."""
    options = _parser().parse_args(arguments)
    if options.plot.suffix != ".svg":
        raise UnusableDataError(f"{options.plot}: the plot is an SVG, so its name must end in .svg.")
    if not options.plot.absolute().parent.is_dir():
        raise UnusableDataError(f"{options.plot} can't be written: there is no such folder.")  # before minutes of work
    settings = read_configuration()
    comparison = compare(_read(settings), settings)
    try:
        options.plot.write_text(draw(comparison), encoding="utf-8")
    except OSError as error:
        raise UnusableDataError(f"{options.plot} can't be written: {error.strerror}.") from error
    print(json.dumps(as_json(comparison), ensure_ascii=False, indent=2) if options.json else as_markdown(comparison))
    print(f"The plot is {options.plot}.", file=sys.stderr)


def _read(settings: Settings) -> Log:
    try:
        settings.require("DATABASE_URL")
        return read_log(settings)
    except RecommenderError as error:
        raise UnusableDataError(settings.redact(f"{error.message}\n   → {error.fix}")) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/evaluate",
        description="Replays the log of DATABASE_URL (the environment, .env.local or .env), split at 80 and at 90 "
        "percent of its actions, and compares the lists that production would have made with popularity, item-kNN and "
        "ALS. It writes nothing into the database.",
    )
    parser.add_argument("--from-database", action="store_true", required=True, help="what this is about")
    parser.add_argument(
        "--plot",
        metavar="FILE.svg",
        type=Path,
        default=Path("evaluation.svg"),
        help="where the plot goes (default evaluation.svg)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    return parser
