"""Who may call: QStash by its signature, a person or the app by the key, and this machine alone by nothing."""

import hmac
import ipaddress
import re
from collections.abc import Iterator

from lib.errors import SettingsError, Unauthenticated
from lib.setting_fixes import how_to_set
from lib.settings import Settings
from lib.text import Text
from lib.web.http import Request

# Headers in which a proxy or tunnel names the address or the host that it speaks for.
FORWARDING_HEADERS = frozenset(
    {
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-original-host",
        "x-host",
        "x-vercel-forwarded-for",
        "x-vercel-proxied-for",
        "x-vercel-ip",
        "cf-connecting-ip",
        "true-client-ip",
        "fastly-client-ip",
        "fly-client-ip",
        "ngrok-client-ip",
    }
)
NO_ADDRESS = frozenset({"x-forwarded-proto", "x-forwarded-port", "x-forwarded-scheme", "x-forwarded-ssl"})


def require_signature(request: Request, settings: Settings, *, path: str) -> None:
    """Raises SignatureRejected unless QStash signed this request for our URL, or it is a local call."""
    token = request.headers.get("upstash-signature", "")
    if not token and is_local_call(request, settings):
        return
    from lib.web.signature import verify_signature  # which the functions with a key do without

    verify_signature(
        token,
        request.body,
        url=settings.app_url + path,
        current_key=settings.qstash_current_signing_key,
        next_key=settings.qstash_next_signing_key,
    )


def require_key(request: Request, settings: Settings) -> None:
    """Raises Unauthenticated without the admin key, SettingsError where none is set; lets a local call in."""
    if is_local_call(request, settings):
        return
    if not settings.admin_api_key:
        raise SettingsError(Text("ADMIN_API_KEY is not set, so nobody can be let in."), fix=how_to_set("ADMIN_API_KEY"))
    given = _given_key(request.headers.get("authorization", ""))
    if not hmac.compare_digest(given.encode("utf-8", "replace"), settings.admin_api_key.encode()):
        raise Unauthenticated(
            Text("This needs the admin key."),
            fix=Text("Send `Authorization: Bearer $ADMIN_API_KEY`; in a browser give the key as the password."),
        )


def _given_key(authorization: str) -> str:
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        import base64  # a browser asks so; the app's server doesn't

        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except ValueError:  # neither ASCII, nor base64, nor UTF-8
            return ""
    return ""


def is_local_call(request: Request, settings: Settings) -> bool:
    """True where ALLOW_UNSIGNED_LOCAL holds and everything about the request says that it began on this machine."""
    return (
        settings.allow_unsigned_local
        and not settings.is_deployed
        and not settings.may_hide_a_tunnel
        and (request.remote_address is None or _is_loopback(request.remote_address))
        and _is_loopback(_host_of(request.headers.get("host", "")))
        and all(_is_loopback(name) for name in _forwarded_names(request))
        and _is_loopback(_host_of(request.headers.get("origin", "http://localhost").partition("://")[2]))
        and request.headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    )


def _forwarded_names(request: Request) -> Iterator[str]:
    """Every address and host that a forwarding header names; one that can't be read yields a name that is not ours."""
    for name, value in request.headers.items():
        if name == "forwarded":
            yield from (_host_of(host) for host in re.findall(r'(?:for|host|by)="?([^";,\s]*)', value.lower()) or [""])
        elif name in FORWARDING_HEADERS or (name.startswith("x-forwarded-") and name not in NO_ADDRESS):
            yield from (_host_of(part) for part in value.split(","))


def _host_of(value: str) -> str:
    """The host of `host`, `host:port`, `[v6]:port` or a bare v6 address."""
    value = value.strip()
    if value.count(":") > 1 and not value.startswith("["):
        return value
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{0,5})?", value)
    return (match[1] or match[2]).lower() if match else ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
