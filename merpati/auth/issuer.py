"""A small OAuth 2.0 issuer, FOR THE DEMO AND THE TESTS ONLY: it keeps its users in memory and hands tokens to them.

It serves its keys (JWKS), its description (OpenID Connect Discovery) and a token endpoint; whoever holds the object can
sign any claims.  No installation that takes real mail runs it.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any

import jwt
import jwt.algorithms
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from merpati.auth.credentials import OAuthIssuer
from merpati.clock import Clock
from merpati.errors import Unavailable
from merpati.ids import Dice

LIFETIME = 3600
"""Seconds a token is good for."""


class DemoIssuer:
    """An issuer of tokens; `start` puts it on a port of loopback, `url` is its name then."""

    def __init__(
        self,
        clock: Clock,
        dice: Dice,
        *,
        users: Mapping[str, str] | None = None,
        audience: str = "merpati",
        scope: str = "mail",
        algorithm: str = "EdDSA",
    ) -> None:
        """`users` is address → password, for the token endpoint; `algorithm` is EdDSA or RS256."""
        self._clock = clock
        self._dice = dice
        self._users = dict(users or {})
        self._audience = audience
        self._scope = scope
        self._algorithm = algorithm
        self._keys: dict[str, ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey] = {}
        self._runner: web.AppRunner | None = None
        self.url = ""
        self.kid = ""
        self.rotate()

    @property
    def settings(self) -> OAuthIssuer:
        """What a server needs to trust it."""
        return OAuthIssuer(issuer=self.url, jwks_url=self.url + "/jwks", audience=self._audience, scope=self._scope)

    def rotate(self) -> str:
        """A new key, the old ones withdrawn; its kid."""
        self.kid = self._dice.bytes(8).hex()
        self._keys = {self.kid: _new_key(self._algorithm)}
        return self.kid

    def token(self, address: str, **claims: Any) -> str:
        """A token for `address`; a claim that is given replaces ours, None leaves it out."""
        now = int(self._clock.time())
        ours: dict[str, Any] = {
            "iss": self.url,
            "aud": self._audience,
            "sub": address,
            "email": address,
            "scope": self._scope,
            "iat": now,
            "exp": now + LIFETIME,
        }
        said = {name: value for name, value in (ours | claims).items() if value is not None}
        return jwt.encode(said, self._keys[self.kid], self._algorithm, headers={"kid": self.kid})

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517)."""
        return {"keys": [_public(key) | {"kid": kid, "use": "sig"} for kid, key in self._keys.items()]}

    async def fetch(self, url: str) -> bytes:
        """The documents without a network: stands in for a fetcher."""
        if url != self.url + "/jwks":
            raise Unavailable("a document could not be fetched", url=url, reason="status 404")
        return json.dumps(self.jwks()).encode()

    async def start(self, port: int = 0) -> None:
        """Serve on 127.0.0.1."""
        application = web.Application(client_max_size=16_384)
        application.router.add_get("/jwks", self._serve_jwks)
        application.router.add_get("/.well-known/openid-configuration", self._serve_description)
        application.router.add_post("/token", self._serve_token)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Serve no more."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _serve_jwks(self, _: web.Request) -> web.Response:
        return web.json_response(self.jwks())

    async def _serve_description(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.url,
                "jwks_uri": self.url + "/jwks",
                "token_endpoint": self.url + "/token",
                "grant_types_supported": ["password"],
                "scopes_supported": [self._scope],
                "id_token_signing_alg_values_supported": [self._algorithm],
            }
        )

    async def _serve_token(self, request: web.Request) -> web.Response:
        # RFC 6749 section 4.3: what a demo can do without a browser; RFC 9700 section 2.4 tells real ones not to
        form = await request.post()
        user, password = str(form.get("username", "")), str(form.get("password", ""))
        if form.get("grant_type") != "password":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        known = self._users.get(user)
        if known is None or not hmac.compare_digest(known.encode(), password.encode("utf-8", "replace")):
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response(
            {"access_token": self.token(user), "token_type": "Bearer", "expires_in": LIFETIME, "scope": self._scope},
            headers={"Cache-Control": "no-store"},
        )


def _new_key(algorithm: str) -> ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey:
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65_537, 2048)


def _public(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> dict[str, Any]:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return dict(jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True))
    return dict(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True))
