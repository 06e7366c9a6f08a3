"""The values of logging in: what a client claims, who it turns out to be, and how it is refused.

Shared by the mechanisms, the authenticator and the services.  Nothing here decides anything.
"""

from __future__ import annotations

import hmac
from typing import NoReturn, Protocol

import msgspec

from merpati.directory.api import Directory
from merpati.errors import Permanent, Temporary
from merpati.ids import AccountId


class Secret:
    """Bytes that must not be seen: a password, a token.  `reveal` is the only way to them."""

    __slots__ = ("_bytes",)

    def __init__(self, value: bytes | str) -> None:
        self._bytes = value.encode("utf-8") if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        """The secret itself; do not keep it in a variable that an error report could show."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._bytes)

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __format__(self, _: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._bytes, other._bytes)

    __hash__ = None  # type: ignore[assignment]  # a hash of it in a table would say something about it

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written down")


class PasswordAttempt(msgspec.Struct, frozen=True):
    """`user` says to be the one who knows `password`, and wants to act as `act_as` (empty: as themselves)."""

    user: str
    password: Secret
    act_as: str = ""


class TokenAttempt(msgspec.Struct, frozen=True):
    """Someone holds `token`; `user` is whom they say it is for, or empty."""

    user: str
    token: Secret


Credentials = PasswordAttempt | TokenAttempt


class ClientFacts(msgspec.Struct, frozen=True):
    """Where an attempt comes from; `protocol` is imap, pop3, submission …"""

    ip: str
    tls: bool
    protocol: str


class AccountCredentials(msgspec.Struct, frozen=True):
    """What the directory knows of an account that wants to log in."""

    account: AccountId
    address: str
    password_hash: str
    enabled: bool
    version: int


class CredentialSource(Protocol):
    """Where accounts are looked up."""

    async def credentials(self, login: str) -> AccountCredentials | None:
        """The account of a login name, or None.  Raises `Temporary` if it cannot be told."""
        ...


class DirectoryCredentials:
    """The directory as a source of credentials."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def credentials(self, login: str) -> AccountCredentials | None:
        try:
            entry = await self._directory.account(login)
        except Permanent:
            return None  # not even an address
        if entry is None:
            return None
        return AccountCredentials(entry.id, entry.address, entry.password_hash, entry.enabled, entry.version)


class Principal(msgspec.Struct, frozen=True):
    """Who has logged in; `version` is the directory's: when it rises, the session's right has to be looked at again."""

    account_id: AccountId
    address: str
    version: int = 1


class Refused(Permanent):
    """Wrong password, no such user, disabled, bad token: a stranger is told one and the same (RFC 4954 section 6)."""

    code = 535
    enhanced = "5.7.8"

    def __init__(self, why: str = "") -> None:
        super().__init__("authentication failed")
        if why:
            self.facts["why"] = why


class EncryptionRequired(Permanent):
    """A secret was sent, or would be, in clear (RFC 4954 section 6: 538; RFC 5530: PRIVACYREQUIRED)."""

    code = 538
    enhanced = "5.7.11"

    def __init__(self) -> None:
        super().__init__("encryption required for the requested authentication mechanism")


class TooManyFailures(Temporary):
    """The client, or others near it, failed too often lately."""

    code = 454
    enhanced = "4.7.0"

    def __init__(self) -> None:
        super().__init__("too many failed logins, try again later")


class OAuthIssuer(msgspec.Struct, frozen=True, kw_only=True):
    """An issuer whose tokens log users in; the fields of the settings' `[[auth.oauth]]`."""

    issuer: str
    """Must equal the token's `iss`."""
    jwks_url: str
    """Where its public keys are."""
    audience: str
    """Must be among the token's `aud`."""
    scope: str = ""
    """Must be among the token's scopes; empty asks for none."""
    claim: str = "email"
    """The claim that names the account."""
    clients: tuple[str, ...] = ()
    """Whom the issuer may have given the token to (`azp` or `client_id`); empty is anyone."""

    @property
    def discovery(self) -> str:
        """The issuer's own description (OpenID Connect Discovery 1.0 section 4)."""
        return self.issuer.rstrip("/") + "/.well-known/openid-configuration"
