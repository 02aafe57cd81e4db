"""Whether a message really comes from QStash to this app: one is sent, and its arrival is looked for.

1. One `{"action": "ping", "nonce": …}` a minute at most is published to our own endpoint.
2. The endpoint verifies its signature as it does every delivery's and notes the nonce in Redis.
3. A few looks within two seconds, then "on its way": the next check finds out more.
4. Where QStash gave it up, QStash's own record of the answer says what stands in the way.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from lib.adapters.pings import Ping
from lib.adapters.qstash import Delivery
from lib.adapters.services import Services
from lib.core.schedules import BATCH_PROCESS_PATH
from lib.errors import RecommenderError, RedisUnavailable
from lib.jobs.checks.check import Check
from lib.jobs.checks.qstash import is_out_of_reach
from lib.setting_fixes import KEYS_FIX, how_to_set
from lib.text import Text

PATIENCE_SECONDS = 2.0  # somebody waits for the page
PAUSE_SECONDS = 0.2
DELIVERY_SECONDS = 10  # after which QStash gives the message up
QUOTED_LENGTH = 200  # characters of an answer

Said = tuple[Text, Text]  # what is wrong, and how to mend it


def check_delivery(services: Services, *, sends: bool) -> Iterator[Check]:
    """Without `sends` it looks only for a message that another check has sent."""
    services.settings.require(
        "QSTASH_TOKEN", "QSTASH_CURRENT_SIGNING_KEY", "QSTASH_NEXT_SIGNING_KEY", "NEXT_PUBLIC_APP_URL"
    )
    if is_out_of_reach(services):
        return  # which has its own line
    try:
        if sends:
            _send(services)
        ping, delivery = _follow(services)
    except RedisUnavailable:
        return  # which has its own line too
    if ping is None:
        return
    if ping.round_trip_ms is not None:
        message = Text("A signed message came back from QStash within {ms:,} ms.", ms=ping.round_trip_ms)
        yield Check("delivery", "ok", message)
    elif delivery is None:
        message = Text("The test message is on its way from QStash.")
        yield Check("delivery", "warning", message, Text("Reload in a few seconds."))
    else:
        yield Check("delivery", "error", *explain(delivery, services))


def _send(services: Services) -> None:
    nonce = secrets.token_urlsafe(16)
    if not services.pings.begin(nonce):
        return
    try:
        message_id = services.qstash.publish(
            url=services.settings.app_url + BATCH_PROCESS_PATH,
            body={"action": "ping", "nonce": nonce},
            retries=0,
            timeout_seconds=DELIVERY_SECONDS,
        )
    except RecommenderError:
        services.pings.forget()
        raise
    services.pings.note_message(nonce, message_id)


def _follow(services: Services) -> tuple[Ping | None, Delivery | None]:
    """The latest message, and what became of it where it has not arrived. QStash is asked first: a message that it has
    delivered is noted before its answer."""
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        ping = services.pings.latest()
        delivery = None
        if ping is not None and ping.round_trip_ms is None and ping.message_id:
            delivery = services.qstash.delivery(ping.message_id)
            ping = services.pings.latest()
        if ping is None or ping.round_trip_ms is not None or delivery is not None or time.monotonic() > ends_at:
            return ping, delivery
        time.sleep(PAUSE_SECONDS)


def explain(delivery: Delivery, services: Services) -> Said:
    """Why a message did not arrive, by what its destination answered."""
    url = services.settings.app_url
    if delivery.succeeded:
        return _answered_by_another(url)
    if _is_vercels_login(delivery):
        return _protected(has_secret=bool(services.settings.bypass_secret))
    if 300 <= delivery.status < 400:
        return _redirected(url, _first(delivery.headers, "location"))
    if delivery.status == 401 and '"unauthenticated"' in delivery.body:
        return _signature_refused(url)
    if delivery.status in (404, 405):
        return _not_there(url, delivery.status)
    if delivery.status:
        return _failed(url, delivery)
    message = Text("QStash can't reach {url}: {reason}", url=url, reason=delivery.error[:QUOTED_LENGTH] or "?")
    return message, Text("Open {url}/api/init from elsewhere: it must be public. {how}", url=url, how=_app_url_fix())


def _app_url_fix() -> Text:
    return how_to_set("NEXT_PUBLIC_APP_URL")


def _answered_by_another(url: str) -> Said:
    message = Text(
        "QStash's message was answered at {url}, but not by this deployment, or with another Redis.", url=url
    )
    return message, _app_url_fix()


def _protected(*, has_secret: bool) -> Said:
    message = (
        Text("Vercel's deployment protection asks QStash to log in: VERCEL_AUTOMATION_BYPASS_SECRET is not valid.")
        if has_secret
        else Text("Vercel's deployment protection asks QStash to log in, so no delivery gets through.")
    )
    return message, how_to_set("VERCEL_AUTOMATION_BYPASS_SECRET")


def _redirected(url: str, location: str) -> Said:
    place = urlsplit(location)
    target = f"{place.scheme}://{place.netloc}" if place.netloc else location
    message = Text("{url} redirects to {target}, and QStash follows no redirects.", url=url, target=target)
    return message, _app_url_fix()


def _signature_refused(url: str) -> Said:
    message = Text(
        "The app at {url} refuses QStash's signature (401): its signing keys or its address differ.", url=url
    )
    return message, KEYS_FIX


def _not_there(url: str, status: int) -> Said:
    message = Text("There are no functions of this project at {url} ({status}).", url=url, status=status)
    return message, _app_url_fix()


def _failed(url: str, delivery: Delivery) -> Said:
    message = Text(
        "The app at {url} answered QStash {status}: {reason}",
        url=url,
        status=delivery.status,
        reason=" ".join(delivery.body.split())[:QUOTED_LENGTH] or "?",
    )
    return message, Text("Look into the log of the function {path}, on Vercel under Logs.", path=BATCH_PROCESS_PATH)


def _is_vercels_login(delivery: Delivery) -> bool:
    said = delivery.body + " ".join(value for values in delivery.headers.values() for value in values)
    return delivery.status in (301, 302, 303, 307, 308, 401, 403) and any(
        mark in said for mark in ("_vercel_sso_nonce", "vercel.com/sso-api", "Vercel Authentication")
    )


def _first(headers: object, name: str) -> str:
    values: Sequence[str] = next(
        (values for key, values in dict(headers).items() if key.lower() == name),  # type: ignore[call-overload]
        (),
    )
    return next(iter(values), "")
