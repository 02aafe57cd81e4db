"""scripts/evaluate: ranks prepared data sets, or a site's own log, with the very functions that production calls.

A prepared data set: a list for each user of each cut, as one line of JSON. The truth is never read; a judge of its own
scores the lines. A site's log (--from-database): local/evaluation/site.py.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from local.evaluation.data import Content, Cut, UnusableDataError
from local.evaluation.prepared import read_content, read_cut
from local.evaluation.production import rank_cut

FROM_DATABASE = "--from-database"


def main(arguments: Sequence[str] | None = None) -> int:
    """Answers the exit code: 0, or 2 after one sentence about what can't be used."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if FROM_DATABASE in arguments:
            # Here because it needs packages that a prepared data set does without.
            from local.evaluation.site import evaluate_site

            evaluate_site(arguments)
        else:
            rank_folder(arguments)
    except UnusableDataError as error:
        print(f"❌ {error}", file=sys.stderr)
        return 2
    return 0


def rank_folder(arguments: Sequence[str]) -> None:
    """Writes the rankings of every cut."""
    options = _parser().parse_args(arguments)
    content = read_content(options.vectors) if options.vectors else None
    folders = sorted(options.folder.glob("cut*/"))
    if not folders:
        raise UnusableDataError(f"{options.folder} holds no folder cut*: prepare the data set first.")
    cuts = (read_cut(folder) for folder in folders)
    _write(options.out, cuts, content, alone=options.alone)


def _write(path: Path, cuts: Iterable[Cut], content: Content | None, *, alone: bool) -> None:
    try:
        with path.open("w", encoding="utf-8") as handle:
            for cut in cuts:
                started = time.monotonic()
                _say(f"{cut.dataset}, cut {cut.name}: {len(cut.times):,} actions, {len(cut.candidates):,} candidates")
                for n_lines, ranking in enumerate(rank_cut(cut, content, alone=alone), start=1):
                    line: dict[str, Any] = {"dataset": cut.dataset, "cut": cut.name, "user_id": ranking.user_id}
                    line["items"] = ranking.items
                    if ranking.new_items is not None:
                        line["new_items"] = ranking.new_items
                    handle.write(json.dumps(line) + "\n")
                    if n_lines % 1_000 == 0 or n_lines == cut.n_ranked_users:
                        _say(f"  {n_lines:,} of {cut.n_ranked_users:,} users, {time.monotonic() - started:.1f} s")
    except OSError as error:
        raise UnusableDataError(f"{path} can't be written: {error.strerror}.") from error


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/evaluate",
        description="Ranks the cuts of a prepared data set with the functions of production, as lines of JSON.",
        epilog="scripts/evaluate --from-database replays a site's own log instead: see its own --help.",
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="the data set: a folder that holds cut*/")
    parser.add_argument("--vectors", metavar="FILE.npz", type=Path, help="content vectors: the arrays ids and vectors")
    parser.add_argument("--out", metavar="FILE", type=Path, required=True, help="where the rankings go, as JSONL")
    parser.add_argument("--alone", action="store_true", help="rank by the user's embedding, without any popularity")
    return parser
