"""An issuer's public keys (RFC 7517): fetched, remembered, fetched again when a token names one that is not there.

Called by `oauth`.  The document comes from the URL of the settings and from nowhere else, by way of an injected
fetcher; while the issuer is down the keys that were fetched last stay good.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from merpati.clock import Clock
from merpati.errors import MerpatiError, Temporary, Unavailable

Fetch = Callable[[str], Awaitable[bytes]]
"""Gives the body at a URL, bounded in size and time, no redirect followed; raises `MerpatiError`."""

MAX_KEYS = 100
"""Keys of a set that are looked at."""
MIN_RSA_BITS = 2048
"""RFC 7518 section 3.3: a key of 2048 bits or larger must be used."""
CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ALGORITHMS = (*RSA_ALGORITHMS, *CURVES, "EdDSA")
"""Signatures with public keys only: never `none`, never HS*, for which a public key would be the secret."""


class JwksLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When keys are fetched."""

    fresh: float = 3600.0
    """Seconds until they are fetched again, while the old ones serve."""
    stale: float = 86_400.0
    """Seconds the last ones stay good while the issuer is down."""
    again: float = 30.0
    """Seconds between fetches at least, however many unknown keys are named."""


class VerificationKey(msgspec.Struct, frozen=True):
    """A public key and the algorithms it is for."""

    kid: str | None
    algorithms: tuple[str, ...]
    key: Any


def read_jwks(document: bytes) -> tuple[VerificationKey, ...]:
    """The usable keys of a set; one that is not usable is left out.  Raises ValueError for what is no set."""
    try:
        parsed = json.loads(document)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("keys"), list):
        raise ValueError("not a JSON Web Key Set")
    found = (_read_key(entry) for entry in parsed["keys"][:MAX_KEYS] if isinstance(entry, dict))
    return tuple(key for key in found if key is not None)


def _read_key(entry: dict[str, Any]) -> VerificationKey | None:
    operations = entry.get("key_ops")
    if entry.get("use", "sig") != "sig" or (isinstance(operations, list) and "verify" not in operations):
        return None  # RFC 7517 sections 4.2, 4.3
    kid = entry.get("kid")
    if not (kid is None or isinstance(kid, str)) or entry.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    # without private members, and without the `alg` that would choose for us
    public: dict[str, Any] = {name: entry[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in entry}
    try:
        key = jwt.PyJWK.from_dict(public, _any_algorithm(entry)).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    algorithms = _algorithms_of(key)
    if "alg" in entry:
        # RFC 7517 section 4.4: the key is for that algorithm
        algorithms = tuple(name for name in algorithms if name == entry["alg"])
    return VerificationKey(kid, algorithms, key) if algorithms else None


def _any_algorithm(entry: dict[str, Any]) -> str:
    return {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}[entry["kty"]]


def _algorithms_of(key: object) -> tuple[str, ...]:
    """RFC 8725 section 3.1: the key says which algorithms it is for, not the token."""
    if isinstance(key, rsa.RSAPublicKey):
        return RSA_ALGORITHMS if key.key_size >= MIN_RSA_BITS else ()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return tuple(name for name, curve in CURVES.items() if isinstance(key.curve, curve))
    return ("EdDSA",) if isinstance(key, ed25519.Ed25519PublicKey) else ()


class Jwks:
    """The keys of one issuer."""

    def __init__(self, url: str, fetch: Fetch, clock: Clock, limits: JwksLimits = JwksLimits()) -> None:
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._limits = limits
        self._keys: tuple[VerificationKey, ...] = ()
        self._fetched: float | None = None
        self._tried: float | None = None
        self._failed = ""
        self._running: asyncio.Task[None] | None = None

    async def keys_for(self, kid: str | None, algorithm: str) -> tuple[VerificationKey, ...]:
        """The keys that a token may have been signed with; none if the issuer has no such key.

        Raises `Temporary` if that cannot be told: no keys yet, or an unknown one while the issuer is down.
        """
        if self._age() > self._limits.stale:
            self._keys, self._fetched = (), None
        if self._fetched is None:
            await self._refresh()
            if self._fetched is None:
                raise self._down()
        elif self._age() > self._limits.fresh:
            self._begin_refresh()  # nobody waits for it
        found = self._matching(kid, algorithm)
        if not found:
            await self._refresh()
            found = self._matching(kid, algorithm)
            if not found and self._failed:
                raise self._down()
        return found

    def _matching(self, kid: str | None, algorithm: str) -> tuple[VerificationKey, ...]:
        return tuple(key for key in self._keys if algorithm in key.algorithms and (kid is None or key.kid == kid))

    def _age(self) -> float:
        return 0.0 if self._fetched is None else self._clock.monotonic() - self._fetched

    def _down(self) -> Temporary:
        return Unavailable("the token issuer cannot be reached", url=self._url, reason=self._failed)

    async def _refresh(self) -> None:
        task = self._begin_refresh()
        if task is not None:
            await asyncio.shield(task)

    def _begin_refresh(self) -> asyncio.Task[None] | None:
        """The fetch that is under way, or None if the last one was a moment ago."""
        if self._running is None:
            now = self._clock.monotonic()
            if self._tried is not None and now - self._tried < self._limits.again:
                return None
            self._tried = now
            self._running = asyncio.create_task(self._fetch_keys())
            self._running.add_done_callback(self._end_refresh)
        return self._running

    def _end_refresh(self, _: object) -> None:
        self._running = None

    async def _fetch_keys(self) -> None:
        try:
            self._keys = read_jwks(await self._fetch(self._url))
        except MerpatiError as error:
            self._failed = str(error.facts.get("reason") or error.public)
        except ValueError as error:
            self._failed = f"no key set: {error}"[:200]
        else:
            self._failed = ""
            self._fetched = self._clock.monotonic()
