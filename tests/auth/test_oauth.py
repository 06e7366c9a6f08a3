"""Tokens: the good ones, and the table of attacks (`bad` says why each must fail)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merpati.auth.credentials import OAuthIssuer, Refused, Secret
from merpati.auth.oauth import MAX_TOKEN, TokenVerifier, read_token, wrong_claim
from merpati.clock import ManualClock
from merpati.errors import Misconfigured, Temporary, Unavailable
from tests.auth.signing import (
    ED_KEY,
    ISSUER,
    NOW,
    OTHER_RSA_KEY,
    P256_KEY,
    P384_KEY,
    SMALL_RSA_KEY,
    b64,
    claims,
    confused,
    handmade,
    jwks,
    signed,
)


def verifier(*issuers: OAuthIssuer, document: bytes | None = None) -> TokenVerifier:
    async def fetch(url: str) -> bytes:
        assert url == ISSUER.jwks_url, "no URL but that of the settings"
        return document if document is not None else jwks()

    return TokenVerifier(issuers or (ISSUER,), fetch, ManualClock(NOW))


GOOD = {
    "RS256": signed(),
    "ES256": signed(key=P256_KEY, algorithm="ES256", kid="p256"),
    "ES384": signed(key=P384_KEY, algorithm="ES384", kid="p384"),
    "EdDSA": signed(key=ED_KEY, algorithm="EdDSA", kid="ed"),
    "PS256": signed(algorithm="PS256"),
    "no kid": signed(kid=None),
    "an access token": signed(typ="at+jwt"),
    "no type": signed(typ=None),
    "several audiences": signed(claims(aud=["other", "merpati"])),
    "scope alone": signed(claims(scope="mail")),
    "scp list": signed(claims(scope=None, scp=["openid", "mail"])),
    "scp text": signed(claims(scope=None, scp="openid mail")),
    "a clock that is a little off": signed(claims(exp=int(NOW) - 50, iat=int(NOW) + 50, nbf=int(NOW) + 50)),
    "verified address": signed(claims(email_verified=True)),
    "fractions of seconds": signed(claims(exp=NOW + 0.5)),
    "an URL nobody follows": signed(jku="https://evil.example/keys", x5u="https://evil.example/cert"),
    "a key nobody uses": signed(jwk={"kty": "oct", "k": "AAAA"}),
}


@pytest.mark.parametrize("token", GOOD.values(), ids=GOOD.keys())
async def test_a_good_token_names_its_account(token: bytes) -> None:
    assert await verifier().verify(Secret(token)) == "alice@a.example"


def tampered(token: bytes, said: dict[str, Any]) -> bytes:
    header, _, signature = token.split(b".")
    return b".".join([header, b64(json.dumps(said).encode()), signature])


def exp_written(number: str) -> bytes:
    return json.dumps(claims(exp=1)).replace('"exp": 1', f'"exp": {number}').encode()


BAD = {
    "algorithm not allowed": {
        "alg none": handmade({"alg": "none", "typ": "JWT"}, claims()),
        "alg None": handmade({"alg": "None"}, claims()),
        "alg none with a kid": handmade({"alg": "none", "kid": "rsa"}, claims()),
        "alg empty": handmade({"alg": ""}, claims()),
        "alg missing": handmade({"typ": "JWT"}, claims()),
        "alg a list": handmade({"alg": ["RS256"]}, claims()),
        "HS256 with the public key": confused({"alg": "HS256", "kid": "rsa"}),
        "HS256 with an empty key": handmade({"alg": "HS256"}, claims(), b"\0" * 32),
    },
    "wrong signature": {
        "RS256 named, HMAC made": confused({"alg": "RS256", "kid": "rsa"}),
        "no signature": handmade({"alg": "RS256", "kid": "rsa"}, claims()),
        "signature of zeros": handmade({"alg": "ES256", "kid": "p256"}, claims(), b"\0" * 64),
        "signature of another token": tampered(signed(), claims(email="bob@a.example")),
        "another key": signed(key=OTHER_RSA_KEY),
        "another key without a kid": signed(key=OTHER_RSA_KEY, kid=None),
    },
    "no such key": {
        "kid of another key": signed(kid="p256"),
        "algorithm of another key": signed(key=P256_KEY, algorithm="ES256", kid="ed"),
        "curve of another algorithm": signed(key=P256_KEY, algorithm="ES256", kid="p384"),
        "a small RSA key": signed(key=SMALL_RSA_KEY, kid="small"),
        "a key for encryption": signed(key=OTHER_RSA_KEY, kid="for encryption"),
        "kid unknown": signed(kid="nobody"),
        "kid a path": signed(kid="../../../../dev/null"),
        "kid SQL": signed(kid="x' UNION SELECT 'secret' --"),
    },
    "malformed kid": {
        "kid too long": signed(kid="k" * 257),
        "kid no text": handmade({"alg": "RS256", "kid": {"$ne": None}}, claims()),
    },
    "critical extension": {
        "crit": signed(crit=["exp"], exp=1),
        "b64": handmade({"alg": "RS256", "kid": "rsa", "b64": False, "crit": ["b64"]}, claims()),
    },
    "token of another type": {
        "another type": signed(typ="logout+jwt"),
        "type no text": handmade({"alg": "RS256", "typ": 1}, claims()),
    },
    "unknown issuer": {
        "iss wrong": signed(claims(iss="https://evil.example")),
        "iss missing": signed(claims(iss=None)),
        "iss with a slash more": signed(claims(iss="https://id.example/")),
        "iss a list": handmade({"alg": "RS256"}, claims(iss=["https://id.example"])),
    },
    "wrong audience": {
        "aud wrong": signed(claims(aud="other")),
        "aud missing": signed(claims(aud=None)),
        "aud a prefix": signed(claims(aud="merpati2")),
        "aud a list without us": signed(claims(aud=["a", "b"])),
        "aud a number": handmade({"alg": "RS256"}, claims(aud=1)),
    },
    "expired": {
        "exp past": signed(claims(exp=int(NOW) - 61)),
    },
    "no expiry": {
        "exp missing": signed(claims(exp=None)),
        "exp text": handmade({"alg": "RS256", "kid": "rsa"}, claims(exp="9999999999")),
        "exp true": signed(claims(exp=True)),
        "exp of 400 digits": handmade({"alg": "RS256"}, exp_written("9" * 400)),
        "exp infinite": handmade({"alg": "RS256"}, exp_written("1e999")),
        "exp not a number": handmade({"alg": "RS256"}, exp_written("NaN")),
    },
    "not valid yet": {
        "nbf future": signed(claims(nbf=int(NOW) + 61)),
        "iat future": signed(claims(iat=int(NOW) + 3600)),
    },
    "malformed nbf": {
        "nbf text": signed(claims(nbf="soon")),
    },
    "missing scope": {
        "scope missing": signed(claims(scope=None)),
        "scope other": signed(claims(scope="openid")),
        "scope a prefix": signed(claims(scope="mail.read mailbox")),
    },
    "no account claim": {
        "account missing": signed(claims(email=None)),
        "account empty": signed(claims(email="")),
        "account a list": signed(claims(email=["alice@a.example"])),
        "account with a line end": signed(claims(email="alice@a.example\r\nx")),
        "account too long": signed(claims(email="a" * 321)),
    },
    "address not verified": {
        "address not verified": signed(claims(email_verified=False)),
        "address not verified, as text": signed(claims(email_verified="false")),
    },
    "not a signed token": {
        "encrypted": b"a.b.c.d.e",
        "two parts": b"a.b",
        "empty": b"",
    },
    "malformed token": {
        "dots": b"..",
        "no base64": b"!.!.!",
        "exp of 5000 digits": handmade({"alg": "RS256"}, exp_written("9" * 5000)),
        "no JSON": handmade(b"{", b"{"),
        "no object": handmade(b"[]", b"[]"),
        "nested": handmade(b"[" * 5000 + b"]" * 5000, b"{}"),
        "not UTF-8": handmade(b'{"alg":"\xff"}', b"{}"),
    },
    "token too long": {
        "too long": signed(claims(more="x" * MAX_TOKEN)),
        "1 MB": b"a" * 1_000_000 + b".b.c",
    },
}


@pytest.mark.parametrize(
    ("token", "why"), [pytest.param(token, why, id=name) for why, row in BAD.items() for name, token in row.items()]
)
async def test_a_bad_token_is_refused_in_the_same_words(token: bytes, why: str) -> None:
    with pytest.raises(Refused) as caught:
        await verifier().verify(Secret(token))
    assert caught.value.facts == {"why": why}
    assert caught.value.reply == "535 5.7.8 authentication failed"


async def test_only_the_clients_in_the_settings_may_have_asked_for_it() -> None:
    strict = OAuthIssuer(issuer=ISSUER.issuer, jwks_url=ISSUER.jwks_url, audience="merpati", clients=("webmail",))
    for said, good in [
        ({"azp": "webmail"}, True),
        ({"client_id": "webmail"}, True),
        ({"azp": "evil"}, False),
        ({}, False),
    ]:
        token = Secret(signed(claims(**said)))
        if good:
            assert await verifier(strict).verify(token)
        else:
            with pytest.raises(Refused):
                await verifier(strict).verify(token)


async def test_another_claim_may_name_the_account() -> None:
    named = OAuthIssuer(issuer=ISSUER.issuer, jwks_url=ISSUER.jwks_url, audience="merpati", claim="preferred_username")
    assert await verifier(named).verify(Secret(signed(claims(preferred_username="alice")))) == "alice"


async def test_one_issuer_does_not_speak_for_another() -> None:
    """A token is held against the keys of the issuer that it names, and no other's."""
    other = OAuthIssuer(issuer="https://other.example", jwks_url="https://other.example/keys", audience="merpati")
    documents = {
        ISSUER.jwks_url: jwks(),
        other.jwks_url: json.dumps({"keys": []}).encode(),
    }

    async def fetch(url: str) -> bytes:
        return documents[url]

    both = TokenVerifier([ISSUER, other], fetch, ManualClock(NOW))
    assert await both.verify(Secret(signed()))
    with pytest.raises(Refused):
        await both.verify(Secret(signed(claims(iss="https://other.example"))))


async def test_while_the_keys_cannot_be_had_it_is_temporary() -> None:
    async def fetch(url: str) -> bytes:
        raise Unavailable("down", reason="timeout")

    down = TokenVerifier([ISSUER], fetch, ManualClock(NOW))
    with pytest.raises(Temporary):
        await down.verify(Secret(signed()))
    with pytest.raises(Refused):
        await down.verify(Secret(signed(claims(exp=1))))  # expired, whatever the keys are


@pytest.mark.parametrize(
    "issuer",
    [
        OAuthIssuer(issuer="https://id.example", jwks_url="http://id.example/keys", audience="m"),
        OAuthIssuer(issuer="https://id.example", jwks_url="file:///etc/passwd", audience="m"),
        OAuthIssuer(issuer="https://id.example", jwks_url="keys", audience="m"),
        OAuthIssuer(issuer="https://id.example", jwks_url="https://id.example/keys", audience=""),
        OAuthIssuer(issuer="", jwks_url="https://id.example/keys", audience="m"),
    ],
)
def test_wrong_settings_are_said_at_start(issuer: OAuthIssuer) -> None:
    with pytest.raises(Misconfigured):
        verifier(issuer)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_token_or_refused(raw: bytes) -> None:
    try:
        read_token(Secret(raw))
    except Refused:
        pass


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "scope", "scp", "email", "email_verified", "azp"])


@given(st.dictionaries(NAMES, JSON))
@pytest.mark.slow
def test_any_claims_are_good_or_wrong(changes: dict[str, Any]) -> None:
    assert isinstance(wrong_claim(claims() | changes, ISSUER, NOW), str)
    assert wrong_claim(changes, ISSUER, NOW), "what an attacker makes up lacks something"
