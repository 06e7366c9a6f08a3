"""Bearer tokens as OAuth 2.0 issuers sign them (RFC 9068): whether one is good, and which account it names.

Called by the authenticator.  PyJWT checks the signature (with `jwks` this is its door); the claims are held against the
settings here, with our own clock.  No URL or key out of a token is ever used.
"""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from typing import Any

import jwt
import msgspec

from merpati.auth.credentials import OAuthIssuer, Refused, Secret
from merpati.auth.jwks import ALGORITHMS, Fetch, Jwks, JwksLimits, VerificationKey
from merpati.clock import Clock
from merpati.errors import Misconfigured
from merpati.net.fetch import check_url

MAX_TOKEN = 16_384
"""Bytes."""
MAX_KID = 256
"""Characters of a key's name."""
MAX_ADDRESS = 320
"""Characters of the claim that names the account."""
MAX_TRIES = 8
"""Keys that are tried for a token that names none."""
SKEW = 60.0
"""Seconds by which the issuer's clock may differ from ours."""
LAST_TIME = 1e12
"""Seconds since 1970: beyond it nothing is a time."""
TYPES = ("jwt", "at+jwt", "application/at+jwt", "application/jwt")

Claims = dict[str, Any]


class _Token(msgspec.Struct, frozen=True):
    """What a token says of itself, nothing of it verified."""

    algorithm: str
    kid: str | None
    claims: Claims


class TokenVerifier:
    """Verifies tokens of the issuers in the settings."""

    def __init__(
        self, issuers: Sequence[OAuthIssuer], fetch: Fetch, clock: Clock, limits: JwksLimits = JwksLimits()
    ) -> None:
        for issuer in issuers:
            check_url(issuer.jwks_url)
            if not (issuer.issuer and issuer.audience and issuer.claim):
                raise Misconfigured("auth.oauth: issuer, audience and claim must be given")
        self._clock = clock
        self._jws = jwt.PyJWS(algorithms=list(ALGORITHMS))
        self._issuers = {each.issuer: (each, Jwks(each.jwks_url, fetch, clock, limits)) for each in issuers}

    @property
    def issuers(self) -> tuple[OAuthIssuer, ...]:
        """The settings."""
        return tuple(issuer for issuer, _ in self._issuers.values())

    async def verify(self, token: Secret) -> str:
        """The account that a good token names.

        Raises `Refused` with the reason among its facts; `Temporary` if the issuer's keys cannot be had.
        """
        said = read_token(token)
        issuer, keys = self._issuers.get(_text(said.claims.get("iss")), (None, None))
        if issuer is None or keys is None:
            raise Refused("unknown issuer")
        # the claims first: what is expired needs no arithmetic, and no look-up of a key
        if wrong := wrong_claim(said.claims, issuer, self._clock.time()):
            raise Refused(wrong)
        candidates = (await keys.keys_for(said.kid, said.algorithm))[:MAX_TRIES]
        if not candidates:
            raise Refused("no such key")
        if not any(self._is_signed(token, said.algorithm, key) for key in candidates):
            raise Refused("wrong signature")
        return str(said.claims[issuer.claim])

    def _is_signed(self, token: Secret, algorithm: str, key: VerificationKey) -> bool:
        try:
            self._jws.decode_complete(token.reveal(), key.key, algorithms=[algorithm])
        except (jwt.PyJWTError, ValueError, TypeError):
            return False
        return True


def read_token(token: Secret) -> _Token:
    """The parts of a token.  Raises `Refused` for what is none, or is signed in a way that proves nothing."""
    if len(token) > MAX_TOKEN:
        raise Refused("token too long")
    # RFC 7515 section 3.1: header, payload, signature; five parts would be an encrypted one
    parts = token.reveal().split(b".")
    if len(parts) != 3:
        raise Refused("not a signed token")
    header, claims = _json(parts[0]), _json(parts[1])
    algorithm, kid = header.get("alg"), header.get("kid")
    # RFC 8725 section 3.1: the list is ours, not the token's
    if algorithm not in ALGORITHMS:
        raise Refused("algorithm not allowed")
    if not (kid is None or (isinstance(kid, str) and len(kid) <= MAX_KID)):
        raise Refused("malformed kid")
    # RFC 7515 section 4.1.11: an extension that must be understood, and is not; RFC 7797: a payload that is not coded
    if "crit" in header or "b64" in header:
        raise Refused("critical extension")
    if "typ" in header and _text(header["typ"]).lower() not in TYPES:
        raise Refused("token of another type")  # RFC 8725 section 3.11
    return _Token(str(algorithm), kid, claims)


def _json(part: bytes) -> Claims:
    try:
        value = json.loads(urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        raise Refused("malformed token") from None
    if not isinstance(value, dict):
        raise Refused("malformed token")
    return value


def wrong_claim(claims: Claims, issuer: OAuthIssuer, now: float) -> str:
    """What is wrong with the claims of a token, in a few words that name no value; empty if nothing is."""
    if claims.get("iss") != issuer.issuer:
        return "wrong issuer"
    if issuer.audience not in _texts(claims.get("aud")):
        return "wrong audience"
    if issuer.clients and _text(claims.get("azp", claims.get("client_id"))) not in issuer.clients:
        return "wrong client"
    return _wrong_time(claims, now) or _wrong_scope(claims, issuer.scope) or _wrong_account(claims, issuer.claim)


def _wrong_time(claims: Claims, now: float) -> str:
    # RFC 7519 sections 4.1.4 to 4.1.6; a token without an end is not taken
    if not _is_time(claims.get("exp")):
        return "no expiry"
    if claims["exp"] + SKEW <= now:
        return "expired"
    for name in ("nbf", "iat"):
        if name in claims:
            if not _is_time(claims[name]):
                return f"malformed {name}"
            if claims[name] - SKEW > now:
                return "not valid yet"
    return ""


def _is_time(value: object) -> bool:
    # the comparison leaves out NaN, infinity, and integers that no float can hold
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LAST_TIME


def _wrong_scope(claims: Claims, scope: str) -> str:
    if not scope:
        return ""
    granted: list[str] = []
    for name in ("scope", "scp"):  # RFC 8693 section 4.2; scp as some issuers have it
        for text in _texts(claims.get(name)):
            granted += text.split(" ")
    return "" if scope in granted else "missing scope"


def _wrong_account(claims: Claims, claim: str) -> str:
    name = claims.get(claim)
    if not isinstance(name, str) or not 0 < len(name) <= MAX_ADDRESS or not name.isprintable():
        return "no account claim"
    # OpenID Connect Core 1.0 section 5.1: an address that anyone may have typed in
    if claim == "email" and "email_verified" in claims and claims["email_verified"] not in (True, "true"):
        return "address not verified"
    return ""


def _texts(value: object) -> list[str]:
    """A claim that is a string or a list of them."""
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
