"""The demo's issuer, over HTTP, against the verifier it is for; and fetching documents that misbehave."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from merpati.auth.credentials import Refused, Secret
from merpati.auth.issuer import DemoIssuer
from merpati.auth.oauth import TokenVerifier
from merpati.clock import ManualClock
from merpati.errors import Misconfigured, Unavailable
from merpati.ids import SystemDice
from merpati.net.fetch import FetchLimits, HttpFetcher, check_url

USERS = {"alice@a.example": "right"}


@pytest_asyncio.fixture(params=["EdDSA", "RS256"])
async def issuer(request: pytest.FixtureRequest) -> AsyncIterator[DemoIssuer]:
    demo = DemoIssuer(ManualClock(), SystemDice(), users=USERS, algorithm=request.param)
    await demo.start()
    yield demo
    await demo.stop()


async def ask(issuer: DemoIssuer, **form: str) -> tuple[int, dict[str, str]]:
    async with aiohttp.ClientSession() as session, session.post(issuer.url + "/token", data=form) as response:
        return response.status, await response.json()


async def test_a_token_of_the_endpoint_logs_in(issuer: DemoIssuer) -> None:
    verifier = TokenVerifier([issuer.settings], HttpFetcher(), ManualClock())
    status, body = await ask(issuer, grant_type="password", username="alice@a.example", password="right")
    assert (status, body["token_type"]) == (200, "Bearer")
    assert await verifier.verify(Secret(body["access_token"])) == "alice@a.example"


@pytest.mark.parametrize(
    "form",
    [
        {"grant_type": "password", "username": "alice@a.example", "password": "wrong"},
        {"grant_type": "password", "username": "bob@a.example", "password": "right"},
        {"grant_type": "password"},
        {"grant_type": "client_credentials", "username": "alice@a.example", "password": "right"},
        {},
    ],
)
async def test_nobody_else_gets_one(issuer: DemoIssuer, form: dict[str, str]) -> None:
    status, body = await ask(issuer, **form)
    assert status == 400
    assert "access_token" not in body


async def test_any_claims_can_be_signed_and_are_held_against_the_settings(issuer: DemoIssuer) -> None:
    verifier = TokenVerifier([issuer.settings], issuer.fetch, ManualClock())
    assert await verifier.verify(Secret(issuer.token("bob@a.example"))) == "bob@a.example"
    for wrong in ({"aud": "other"}, {"scope": None}, {"exp": 1}, {"iss": "http://127.0.0.1:1"}, {"email": None}):
        with pytest.raises(Refused):
            await verifier.verify(Secret(issuer.token("bob@a.example", **wrong)))


async def test_a_rotated_key_is_found_and_the_old_one_is_gone(issuer: DemoIssuer) -> None:
    clock = ManualClock()
    verifier = TokenVerifier([issuer.settings], HttpFetcher(), clock)
    old = issuer.token("alice@a.example")
    assert await verifier.verify(Secret(old))
    issuer.rotate()
    await clock.advance(60)
    assert await verifier.verify(Secret(issuer.token("alice@a.example")))
    with pytest.raises(Refused):
        await verifier.verify(Secret(old))


async def test_it_describes_itself(issuer: DemoIssuer) -> None:
    async with aiohttp.ClientSession() as session, session.get(issuer.settings.discovery) as response:
        described = await response.json()
    assert described["issuer"] == issuer.settings.issuer
    assert described["jwks_uri"] == issuer.settings.jwks_url
    assert "d" not in (await HttpFetcher()(issuer.settings.jwks_url)).decode().split('"'), "no private member"


# -- fetching ----------------------------------------------------------------------------------------------------------


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(b"x" * 10_000)
    except (ConnectionError, OSError):
        return response


async def squeezed(request: web.Request) -> web.StreamResponse:
    response = web.Response(body=b"x" * 5_000_000)
    response.enable_compression(web.ContentCoding.gzip)
    return response


async def silent(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def moved(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound(location="http://169.254.169.254/latest/meta-data")


async def failing(request: web.Request) -> web.StreamResponse:
    return web.Response(status=503, body=b"{}")


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (endless, "longer than"),
        (squeezed, "longer than"),
        (silent, "timeout"),
        (moved, "status 302"),
        (failing, "status 503"),
    ],
)
async def test_a_document_that_misbehaves_is_unavailable(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], reason: str
) -> None:
    application = web.Application()
    application.router.add_get("/", handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        fetch = HttpFetcher(FetchLimits(seconds=0.5, size=100_000))
        with pytest.raises(Unavailable, match=reason):
            await fetch(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    finally:
        await runner.cleanup()


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await HttpFetcher()("http://127.0.0.1:1/keys")


@pytest.mark.parametrize(
    "url", ["https://id.example/keys", "http://127.0.0.1:8080/keys", "http://localhost/keys", "http://[::1]:1/keys"]
)
def test_an_url_is_https_or_at_home(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "keys",
        "http://id.example/keys",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "https:///x",
        "https://[::1/x",
        "http://127.0.0.1.evil.example/x",
    ],
)
def test_any_other_url_is_a_mistake(url: str) -> None:
    with pytest.raises(Misconfigured):
        check_url(url)
