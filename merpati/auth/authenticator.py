"""Who has logged in: one answer for every protocol and every kind of credentials.

Called by the services at the end of a SASL exchange, or of USER and PASS.  It takes an attempt and the facts of the
client, and gives a `Principal` or raises; the same refusal for whatever reason, and no faster for one than for another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from merpati.auth.credentials import (
    AccountCredentials,
    ClientFacts,
    Credentials,
    CredentialSource,
    EncryptionRequired,
    PasswordAttempt,
    Principal,
    Refused,
    TokenAttempt,
    TooManyFailures,
)
from merpati.auth.oauth import TokenVerifier
from merpati.auth.passwords import Passwords
from merpati.auth.sasl import SaslFacts, offered
from merpati.auth.throttle import Throttle
from merpati.clock import Clock
from merpati.errors import MerpatiError, Temporary
from merpati.ids import AccountId
from merpati.net.addresses import Network, is_within


class Outcome(msgspec.Struct, frozen=True):
    """How an attempt ended, for the log and the counters; never a secret in it.

    `what`: accepted, refused, throttled, temporary, in-clear.  `why` is for the log alone: the client is not told.
    """

    what: str
    kind: str
    client: ClientFacts
    login: str = ""
    account_id: AccountId | None = None
    why: str = ""


Report = Callable[[Outcome], None]
Upgrade = Callable[[AccountCredentials, str], Awaitable[None]]
"""Keep a new hash of an account's password, made with today's parameters."""
MayActAs = Callable[[AccountCredentials, AccountCredentials], bool]


def unreported(_: Outcome) -> None:
    """Nobody is told."""


def nobody_may(_: AccountCredentials, __: AccountCredentials) -> bool:
    """Nobody acts as another."""
    return False


class Authenticator:
    """Decides about attempts."""

    def __init__(
        self,
        directory: CredentialSource,
        passwords: Passwords,
        oauth: TokenVerifier | None,
        throttle: Throttle,
        clock: Clock,
        *,
        plaintext_networks: tuple[Network, ...] = (),
        report: Report = unreported,
        upgrade: Upgrade | None = None,
        may_act_as: MayActAs = nobody_may,
    ) -> None:
        self._directory = directory
        self._passwords = passwords
        self._oauth = oauth if oauth is not None and oauth.issuers else None
        self._throttle = throttle
        self._clock = clock
        self._plaintext_networks = plaintext_networks
        self._report = report
        self._upgrade = upgrade
        self._may_act_as = may_act_as

    def is_safe(self, client: ClientFacts) -> bool:
        """Whether the client may send a secret: over TLS, or from a network that the operator trusts."""
        return client.tls or is_within(client.ip, self._plaintext_networks)

    def mechanisms(self, client: ClientFacts) -> tuple[str, ...]:
        """The SASL mechanisms to offer this client now."""
        brings = {PasswordAttempt} | ({TokenAttempt} if self._oauth else set())
        return offered(brings, safe=self.is_safe(client))

    @property
    def sasl_facts(self) -> SaslFacts:
        """What mechanisms may tell of the issuer."""
        if self._oauth is None:
            return SaslFacts()
        first = self._oauth.issuers[0]
        return SaslFacts(scope=first.scope, discovery=first.discovery)

    async def authenticate(self, attempt: Credentials, client: ClientFacts) -> Principal:
        """Who the client is.

        Raises `Refused`, the same for every reason; `EncryptionRequired` for a secret in clear; `TooManyFailures` and
        other `Temporary` when the directory, the issuer's keys or a free worker cannot be had.
        """
        kind = "password" if isinstance(attempt, PasswordAttempt) else "token"
        outcome = Outcome("", kind, client, _loggable(attempt.user))
        try:
            if not self.is_safe(client):
                raise EncryptionRequired
            account = await self._throttled(attempt, client)
        except MerpatiError as failure:
            what = "temporary" if isinstance(failure, Temporary) else "refused"
            what = {EncryptionRequired: "in-clear", TooManyFailures: "throttled"}.get(type(failure), what)
            why = str(failure.facts.get("why") or failure.facts.get("reason") or "")
            self._report(msgspec.structs.replace(outcome, what=what, why=why))
            raise
        self._report(msgspec.structs.replace(outcome, what="accepted", account_id=account.account))
        return Principal(account.account, account.address, account.version)

    async def _throttled(self, attempt: Credentials, client: ClientFacts) -> AccountCredentials:
        secret = attempt.password if isinstance(attempt, PasswordAttempt) else attempt.token
        user = attempt.user.casefold()
        fingerprint = self._passwords.fingerprint(user.encode("utf-8", "replace"), secret.reveal())
        admission = self._throttle.admit(self._clock.monotonic(), client.ip, user, fingerprint)
        if admission is None:
            raise TooManyFailures
        if admission.wait > 0:
            await self._clock.sleep(admission.wait)
        try:
            if isinstance(attempt, PasswordAttempt):
                account = await self._by_password(attempt)
            else:
                account = await self._by_token(attempt)
        except Refused:
            self._throttle.settle(self._clock.monotonic(), admission, right=False)
            raise
        self._throttle.settle(self._clock.monotonic(), admission, right=True)
        return account

    async def _by_password(self, attempt: PasswordAttempt) -> AccountCredentials:
        account = await self._directory.credentials(attempt.user)
        # nobody's password is verified too, and takes as long
        known = account.password_hash if account else ""
        verdict = await self._passwords.verify(known, attempt.password, attempt.user.casefold())
        if account is None:
            raise Refused("unknown user")
        if not verdict.right:
            raise Refused("wrong password")
        if not account.enabled:
            raise Refused("disabled")
        if verdict.rehash and self._upgrade is not None:
            await self._rehash(account, attempt)
        return await self._acting(account, attempt.act_as) if attempt.act_as else account

    async def _rehash(self, account: AccountCredentials, attempt: PasswordAttempt) -> None:
        try:
            fresh = await self._passwords.hash(attempt.password)
            if self._upgrade is not None:
                await self._upgrade(account, fresh)
        except MerpatiError:
            return  # the old hash is still good; the next login tries again

    async def _acting(self, account: AccountCredentials, act_as: str) -> AccountCredentials:
        # RFC 4616 section 2: whether authcid may act as authzid
        other = await self._directory.credentials(act_as)
        if other is not None and other.account == account.account:
            return account
        if other is None or not other.enabled or not self._may_act_as(account, other):
            raise Refused("may not act as another")
        return other

    async def _by_token(self, attempt: TokenAttempt) -> AccountCredentials:
        if self._oauth is None:
            raise Refused("no issuer")
        account = await self._directory.credentials(await self._oauth.verify(attempt.token))
        if account is None:
            raise Refused("unknown user")
        if attempt.user:
            # RFC 7628 section 3.1: whom the client names must be whom the token is for
            named = await self._directory.credentials(attempt.user)
            if named is None or named.account != account.account:
                raise Refused("token of another user")
        if not account.enabled:
            raise Refused("disabled")
        return account


def _loggable(login: str) -> str:
    """A login name for the log; what has no @ might be a password in the wrong field."""
    return login[:320] if "@" in login and login.isprintable() and " " not in login else ""
