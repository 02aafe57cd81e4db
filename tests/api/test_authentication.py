"""Who is let in: a local call by nothing, a person by the key."""

import base64
import dataclasses
from collections.abc import Mapping

import pytest

from lib.errors import SettingsError, SignatureRejected, Unauthenticated
from lib.settings import Settings
from lib.web.authentication import is_local_call, require_key, require_signature
from lib.web.http import Request

LOCAL = Settings(
    allow_unsigned_local=True,
    admin_api_key="the-admin-key",
    app_url="https://shop.example.com",
    qstash_current_signing_key="sig_current",
    qstash_next_signing_key="sig_next",
)
ON_VERCEL_DEV = dataclasses.replace(LOCAL, app_url="http://localhost:3000", is_vercel_dev=True)
DEPLOYED = dataclasses.replace(LOCAL, allow_unsigned_local=False)
NGROK = {"x-forwarded-for": "203.0.113.7", "x-forwarded-host": "abc.ngrok.app", "x-forwarded-proto": "https"}
VERCEL_DEV = {
    "x-forwarded-for": "::ffff:127.0.0.1",
    "x-forwarded-host": "localhost:3000",
    "x-forwarded-proto": "http",
    "x-real-ip": "::ffff:127.0.0.1",
    "x-vercel-forwarded-for": "127.0.0.1",
}


def request(
    headers: Mapping[str, str] | None = None, *, host: str = "localhost:3000", address: str | None = "127.0.0.1"
) -> Request:
    return Request("POST", {}, {"host": host, **(headers or {})}, b"", address)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(request(), id="curl"),
        pytest.param(request(host="127.0.0.1:3000"), id="by address"),
        pytest.param(request(host="[::1]:3000", address="::1"), id="by IPv6"),
        pytest.param(request(address=None), id="a server that tells no address"),
        pytest.param(request(VERCEL_DEV), id="vercel dev"),
        pytest.param(request({"forwarded": 'for="[::1]:4711";host=localhost;proto=http'}), id="Forwarded, loopback"),
        pytest.param(request({"sec-fetch-site": "none"}), id="typed into a browser"),
        pytest.param(request({"sec-fetch-site": "same-origin"}), id="a link of our own"),
    ],
)
def test_a_call_of_this_machine_needs_nothing(call: Request) -> None:
    assert is_local_call(call, LOCAL)
    require_key(call, LOCAL)
    require_signature(call, LOCAL, path="/api/init")


def test_vercel_dev_lets_a_call_of_this_machine_in_while_no_tunnel_leads_there() -> None:
    assert is_local_call(request(VERCEL_DEV), ON_VERCEL_DEV)


@pytest.mark.parametrize("app_url", ["https://abc.ngrok.app", ""])
def test_behind_vercel_dev_nobody_is_local_once_the_app_may_be_public(app_url: str) -> None:
    assert not is_local_call(request(VERCEL_DEV), dataclasses.replace(ON_VERCEL_DEV, app_url=app_url))


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(request(NGROK), id="ngrok that rewrites Host"),
        pytest.param(request(host="abc.ngrok.app"), id="ngrok as it is"),
        pytest.param(request(host=""), id="no Host"),
        pytest.param(request(host="localhost.evil.example"), id="a Host that begins like ours"),
        pytest.param(request(host="localhost:3000@evil.example"), id="a Host with a user name"),
        pytest.param(request(address="192.168.1.5"), id="a neighbour"),
        pytest.param(request({"x-forwarded-for": "127.0.0.1, 203.0.113.7"}), id="one foreign address of two"),
        pytest.param(request({"x-forwarded-for": ""}), id="an empty forwarding header"),
        pytest.param(request({"x-forwarded-server": "proxy.example"}), id="a header of the family"),
        pytest.param(request({"x-real-ip": "203.0.113.7"}), id="X-Real-IP"),
        pytest.param(request({"cf-connecting-ip": "203.0.113.7"}), id="Cloudflare"),
        pytest.param(request({"forwarded": "for=203.0.113.7"}), id="Forwarded"),
        pytest.param(request({"forwarded": "for=127.0.0.1;host=abc.ngrok.app"}), id="Forwarded host"),
        pytest.param(request({"forwarded": "nonsense"}), id="Forwarded, unreadable"),
        pytest.param(request({"via": "1.1 proxy.example"}), id="Via"),
        pytest.param(request({"sec-fetch-site": "cross-site"}), id="another site's page"),
        pytest.param(request({"sec-fetch-site": "same-site"}), id="another port's page"),
    ],
)
def test_a_call_from_elsewhere_needs_the_signature_or_the_key(call: Request) -> None:
    assert not is_local_call(call, LOCAL)
    with pytest.raises(Unauthenticated):
        require_key(call, LOCAL)
    with pytest.raises(SignatureRejected):
        require_signature(call, LOCAL, path="/api/init")


@pytest.mark.parametrize("vercel_env", ["production", "preview"])
def test_on_a_deployment_nothing_is_local(vercel_env: str) -> None:
    assert not is_local_call(request(), dataclasses.replace(LOCAL, vercel_env=vercel_env))


def test_under_vercel_dev_and_without_the_flag() -> None:
    assert is_local_call(request(), dataclasses.replace(LOCAL, vercel_env="development"))
    assert not is_local_call(request(), DEPLOYED)


def test_a_local_call_with_a_wrong_signature_is_refused() -> None:
    with pytest.raises(SignatureRejected):
        require_signature(request({"upstash-signature": "wrong"}), LOCAL, path="/api/init")


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    "authorization",
    ["Bearer the-admin-key", "bearer  the-admin-key ", basic("", "the-admin-key"), basic("x", "the-admin-key")],
)
def test_the_key_opens_as_a_bearer_token_and_as_a_password(authorization: str) -> None:
    require_key(request({"authorization": authorization}), DEPLOYED)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer wrong",
        "Bearer the-admin-ke",
        "the-admin-key",
        "Digest the-admin-key",
        basic("the-admin-key", ""),
        "Basic the-admin-key",
        "Basic //8=",
        "Bearer \u00fc",
        "Basic \u00fc",
    ],
)
def test_anything_but_the_key_is_refused(authorization: str) -> None:
    with pytest.raises(Unauthenticated):
        require_key(request({"authorization": authorization}), DEPLOYED)


@pytest.mark.parametrize("authorization", ["", "Bearer ", basic("", "")])
def test_without_a_configured_key_nobody_gets_in(authorization: str) -> None:
    with pytest.raises(SettingsError, match="ADMIN_API_KEY"):
        require_key(request({"authorization": authorization}), dataclasses.replace(DEPLOYED, admin_api_key=""))
