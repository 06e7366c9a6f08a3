"""An issuer's keys: which are usable, when they are fetched, what serves while the issuer is down."""

import asyncio
import json
from typing import Any

import pytest

from merpati.auth.jwks import ALGORITHMS, MAX_KEYS, Jwks, read_jwks
from merpati.clock import ManualClock
from merpati.errors import Temporary, Unavailable
from tests.auth.signing import ED_KEY, KEYS, OTHER_RSA_KEY, P256_KEY, RSA_KEY, SMALL_RSA_KEY, jwks, public_jwk

URL = "https://id.example/keys"


class Issuer:
    """Gives out a document, or fails, or takes its time; counts."""

    def __init__(self, document: bytes) -> None:
        self.document: bytes | None = document
        self.fetched = 0
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, url: str) -> bytes:
        assert url == URL
        self.fetched += 1
        await self.go.wait()
        if self.document is None:
            raise Unavailable("down", reason="timeout")
        return self.document


def kids(found: tuple[Any, ...]) -> list[str | None]:
    return [key.kid for key in found]


@pytest.mark.parametrize(
    ("entry", "algorithms"),
    [
        (public_jwk(RSA_KEY, "k"), ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        (public_jwk(RSA_KEY, "k", alg="RS256"), ("RS256",)),
        (public_jwk(P256_KEY, "k"), ("ES256",)),
        (public_jwk(ED_KEY, "k", alg="EdDSA", use="sig", key_ops=["verify"]), ("EdDSA",)),
        (public_jwk(ED_KEY), ("EdDSA",)),
    ],
)
def test_a_key_says_what_it_is_for(entry: dict[str, Any], algorithms: tuple[str, ...]) -> None:
    (key,) = read_jwks(jwks(entry))
    assert key.algorithms == algorithms
    assert set(algorithms) <= set(ALGORITHMS)


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k"},  # a shared secret is no public key
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k", "alg": "HS256"},
        public_jwk(RSA_KEY, "k", alg="HS256"),
        public_jwk(RSA_KEY, "k", alg="none"),
        public_jwk(RSA_KEY, "k", alg="ES256"),
        public_jwk(RSA_KEY, "k", use="enc"),
        public_jwk(RSA_KEY, "k", key_ops=["encrypt"]),
        public_jwk(SMALL_RSA_KEY, "k"),
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "k"},
        {"kty": "RSA", "n": "!", "e": 3, "kid": "k"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "k"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "kid": "k"},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43, "kid": "k"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "k"},
        {"kty": ["RSA"], "kid": "k"},
        public_jwk(RSA_KEY) | {"kid": 7},
        {},
    ],
)
def test_a_key_that_is_not_usable_is_left_out(entry: dict[str, Any]) -> None:
    good = public_jwk(ED_KEY, "good")
    assert kids(read_jwks(jwks(entry, good))) == ["good"]


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", b"null", b'{"keys": {}}', b"<html>", b"[" * 100_000, b"\xff"])
def test_what_is_no_key_set_is_said(document: bytes) -> None:
    with pytest.raises(ValueError):
        read_jwks(document)


def test_a_set_of_any_length_is_read_to_a_limit() -> None:
    many = [public_jwk(ED_KEY, str(i)) for i in range(MAX_KEYS + 50)] + ["no key"]
    assert len(read_jwks(json.dumps({"keys": many}).encode())) == MAX_KEYS


async def test_keys_are_fetched_once_and_again_when_old_while_the_old_ones_serve() -> None:
    clock, issuer = ManualClock(), Issuer(jwks())
    keys = Jwks(URL, issuer, clock)
    for _ in range(3):
        assert kids(await keys.keys_for("rsa", "RS256")) == ["rsa"]
    assert issuer.fetched == 1
    await clock.advance(3601)
    issuer.go.clear()  # the issuer is slow now
    assert kids(await keys.keys_for("rsa", "RS256")) == ["rsa"], "nobody waits for it"
    issuer.document = jwks(public_jwk(OTHER_RSA_KEY, "new"))
    issuer.go.set()
    await asyncio.sleep(0.01)
    assert issuer.fetched == 2
    assert kids(await keys.keys_for("new", "RS256")) == ["new"]


async def test_a_key_that_is_not_there_is_looked_for_once_in_a_while() -> None:
    clock, issuer = ManualClock(), Issuer(jwks())
    keys = Jwks(URL, issuer, clock)
    await keys.keys_for("rsa", "RS256")
    await clock.advance(31)
    issuer.document = jwks(*KEYS, public_jwk(OTHER_RSA_KEY, "rotated"))
    assert kids(await keys.keys_for("rotated", "RS256")) == ["rotated"]
    assert issuer.fetched == 2
    for i in range(100):
        assert await keys.keys_for(f"made up {i}", "RS256") == ()
    assert issuer.fetched == 2, "whoever makes up kids does not make us ask"
    await clock.advance(31)
    assert await keys.keys_for("made up", "RS256") == ()
    assert issuer.fetched == 3


async def test_many_who_wait_for_keys_wait_for_one_fetch() -> None:
    issuer = Issuer(jwks())
    issuer.go.clear()
    keys = Jwks(URL, issuer, ManualClock())
    waiting = [asyncio.create_task(keys.keys_for("rsa", "RS256")) for _ in range(20)]
    await asyncio.sleep(0.01)
    waiting[0].cancel()
    issuer.go.set()
    found = await asyncio.gather(*waiting[1:])
    assert [kids(each) for each in found] == [["rsa"]] * 19
    assert issuer.fetched == 1


async def test_old_keys_serve_while_the_issuer_is_down_but_not_for_ever() -> None:
    clock, issuer = ManualClock(), Issuer(jwks())
    keys = Jwks(URL, issuer, clock)
    await keys.keys_for("rsa", "RS256")
    for document in (None, b"<html>maintenance</html>"):
        issuer.document = document
        for _ in range(5):
            await clock.advance(7200)
            assert kids(await keys.keys_for("rsa", "RS256")) == ["rsa"]
            await asyncio.sleep(0)
    with pytest.raises(Temporary):
        await keys.keys_for("unknown", "RS256")  # perhaps rotated: it cannot be told
    await clock.advance(86_400)
    with pytest.raises(Temporary):
        await keys.keys_for("rsa", "RS256")
    issuer.document = jwks()
    await clock.advance(31)
    assert kids(await keys.keys_for("rsa", "RS256")) == ["rsa"]


async def test_an_issuer_that_was_never_reached_is_not_asked_at_every_login() -> None:
    clock, issuer = ManualClock(), Issuer(jwks())
    issuer.document = None
    keys = Jwks(URL, issuer, clock)
    for _ in range(10):
        with pytest.raises(Temporary) as caught:
            await keys.keys_for("rsa", "RS256")
    assert issuer.fetched == 1
    assert caught.value.facts["reason"] == "timeout"
    issuer.document = jwks()
    await clock.advance(31)
    assert kids(await keys.keys_for(None, "RS256")) == ["rsa"]
