"""QStash: the token and its region, the clock, the signing keys, and whether it can reach this address at all."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from lib.adapters.services import Services
from lib.jobs.checks.check import Check
from lib.setting_fixes import KEYS_FIX
from lib.setting_values import LOOPBACK_HOSTS
from lib.settings import CLOCK_LEEWAY_SECONDS
from lib.text import Text

CLOCK_FIX = Text("Set the clock by a time server, for example:\ntimedatectl set-ntp true")

QStashSchedule = dict[str, Any]  # as QStash tells it


def check_qstash(services: Services, found: list[QStashSchedule]) -> Iterator[Check]:
    """Puts the account's schedules into `found`."""
    found.extend(services.qstash.schedules())
    yield Check("qstash", "ok", Text("QStash client initialized successfully"))
    yield from _clock(services.qstash.clock_ahead)
    if is_out_of_reach(services):
        message = Text("QStash can't reach {url}: that address is this machine's own.", url=services.settings.app_url)
        fix = Text(
            "On a server set NEXT_PUBLIC_APP_URL to its public address. On your own machine run `ngrok http 3000` and "
            "set it to the https address that ngrok prints:\nNEXT_PUBLIC_APP_URL=https://….ngrok-free.app"
        )
        yield Check("app url", "error", message, fix)


def is_out_of_reach(services: Services) -> bool:
    """Whether the app's address is one of this machine, where QStash isn't."""
    settings = services.settings
    return is_on_this_machine(settings.app_url) and not is_on_this_machine(settings.qstash_url)


def is_on_this_machine(url: str) -> bool:
    return urlsplit(url).hostname in LOOPBACK_HOSTS


def _clock(ahead: float | None) -> Iterator[Check]:
    """QStash's signature holds from its making, by QStash's clock, for five minutes."""
    if ahead is None:
        return
    off = (
        Text("This machine's clock is {seconds:.0f} s ahead of QStash's", seconds=ahead)
        if ahead > 0
        else Text("This machine's clock is {seconds:.0f} s behind QStash's", seconds=-ahead)
    )
    if abs(ahead) <= CLOCK_LEEWAY_SECONDS / 2:
        yield Check("clock", "ok", Text("This machine's clock agrees with QStash's."))
    elif abs(ahead) <= CLOCK_LEEWAY_SECONDS:
        message = Text("{off}; {most} s is the most that can be forgiven.", off=off, most=CLOCK_LEEWAY_SECONDS)
        yield Check("clock", "warning", message, CLOCK_FIX)
    else:
        refused = Text("expired, from six minutes on") if ahead > 0 else Text("not valid yet")
        message = Text("{off}: its deliveries are refused (401) as {refused}.", off=off, refused=refused)
        yield Check("clock", "error", message, CLOCK_FIX)


def check_signing_keys(services: Services) -> Iterator[Check]:
    settings = services.settings
    settings.require("QSTASH_CURRENT_SIGNING_KEY", "QSTASH_NEXT_SIGNING_KEY")
    ours = (settings.qstash_current_signing_key, settings.qstash_next_signing_key)
    if ours[0] == ours[1]:
        return  # which has its own line
    theirs = services.qstash.signing_keys()
    problem = _key_problem(ours, theirs)
    if problem is None:
        yield Check("signing keys", "ok", Text("Both signing keys are the ones that QStash has."))
    else:
        yield Check("signing keys", "error", problem, KEYS_FIX)


def _key_problem(ours: tuple[str, str], theirs: tuple[str, str]) -> Text | None:
    """A roll makes the next key the current one, and a new next one; a delivery is signed with the current one."""
    if ours == theirs:
        return None
    if ours == theirs[::-1]:
        return Text("QSTASH_CURRENT_SIGNING_KEY and QSTASH_NEXT_SIGNING_KEY are swapped.")
    if theirs[0] not in ours and ours[1] == theirs[1]:
        return Text(
            "QSTASH_CURRENT_SIGNING_KEY differs from the key that QStash has now: every delivery is refused (401)."
        )
    if theirs[0] not in ours:
        return Text(
            "QSTASH_CURRENT_SIGNING_KEY and QSTASH_NEXT_SIGNING_KEY are not QStash's, so every delivery is refused "
            "(401): they were rolled twice, or belong to another account or region."
        )
    if ours[1] == theirs[0]:
        return Text(
            "QSTASH_CURRENT_SIGNING_KEY differs from the key that QStash has now: the keys were rolled, and after the "
            "next roll every delivery is refused (401)."
        )
    return Text("QSTASH_NEXT_SIGNING_KEY differs from the key that QStash has now.")
