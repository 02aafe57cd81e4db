"""scripts/dead_letters: what could not be applied, and what becomes of it.

Without a command it lists the latest. `put-back` moves letters onto the list of pending actions, and batches that were
set aside into the next claim; `drop` deletes them. Both take ids as they are listed, or --all.
"""

import argparse
from datetime import UTC, datetime

from lib.adapters.dead_letters import DeadLetters, SetAsideBatch, StoredLetter
from lib.adapters.services import Services
from lib.errors import RecommenderError
from local.configuration import read_configuration
from local.problem import as_lines

RAW_SHOWN = 200


def main() -> int:
    options = _parse()
    settings = read_configuration()
    services = Services(settings)
    try:
        settings.require("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")
        if options.command == "list":
            print(as_text(services.dead_letters, latest=options.latest))
            return 0
        return _settle(services.dead_letters, set(options.ids), puts_back=options.command == "put-back")
    except RecommenderError as error:
        print(as_lines(error, settings))
        return 1
    finally:
        services.close()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/dead_letters", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", metavar="list | put-back | drop")
    parser.set_defaults(command="list", latest=20)
    listing = commands.add_parser("list", help="show the latest (this is the default)")
    listing.add_argument("--latest", type=int, default=20, metavar="N", help="how many letters (default 20)")
    for name, does in (("put-back", "have them applied"), ("drop", "delete them")):
        command = commands.add_parser(name, help=does)
        command.add_argument("ids", nargs="*", metavar="ID", help="of letters and of batches, as they are listed")
        command.add_argument("--all", action="store_true", help="every letter and every batch")
    options = parser.parse_args()
    if options.command != "list" and bool(options.ids) == options.all:
        parser.error("name the ids, or say --all")
    return options


def as_text(dead_letters: DeadLetters, *, latest: int) -> str:
    """The batches that were set aside, and the latest letters, newest first."""
    batches, count = dead_letters.set_aside(), dead_letters.count()
    lines = [f"{len(batches)} batches set aside, {count} dead letters."]
    lines += [_batch_line(batch) for batch in batches]
    lines += [_letter_line(letter) for letter in dead_letters.latest(latest)] if latest > 0 else []
    if count > max(latest, 0):
        lines.append(f"... and {count - max(latest, 0)} older letters (list --latest {count}).")
    return "\n".join(lines)


def _batch_line(batch: SetAsideBatch) -> str:
    why = batch.error or "its drains ended without a word"
    return f"{batch.batch_id}  {_when(batch.at)}  batch of {batch.elements} elements, tried {batch.tries} times: {why}"


def _letter_line(letter: StoredLetter) -> str:
    raw = letter.raw if len(letter.raw) <= RAW_SHOWN else letter.raw[:RAW_SHOWN] + " ..."
    return f"{letter.id}  {_when(letter.at)}  {letter.reason}\n    {raw!r}"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _settle(dead_letters: DeadLetters, ids: set[str], *, puts_back: bool) -> int:
    """Everything where no id is given. The exit status: 1 where something that was asked for was not done."""
    batches = [batch.batch_id for batch in dead_letters.set_aside() if not ids or batch.batch_id in ids]
    letters = [letter for letter in dead_letters.all() if not ids or letter.id in ids]
    cut = [letter for letter in letters if puts_back and not letter.is_whole]
    whole = [letter for letter in letters if letter not in cut]
    settle_batch = dead_letters.put_back_batch if puts_back else dead_letters.drop_batch
    settled = sum(settle_batch(batch_id) for batch_id in batches)
    done = "put back" if puts_back else "dropped"
    removed = dead_letters.put_back(whole) if puts_back else dead_letters.drop(whole)
    print(f"✅ {removed} dead letters and {settled} batches {done}.")
    for letter in cut:
        print(f"❌ {letter.id} is too long to be put back: only its beginning is kept. Push it again, or drop it.")
    unknown = sorted(ids - set(batches) - {letter.id for letter in letters})
    for name in unknown:
        print(f"❌ There is no dead letter and no batch {name}.")
    return 1 if cut or unknown else 0
