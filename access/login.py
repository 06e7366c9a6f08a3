"""Logins, the same for IMAP and POP3: who may try, which mechanisms are offered, and one way to decide and count.

Each protocol has a `Door` of its own; the sessions give it what the client said and word the answers.  What a client
claims goes to the authenticator and nowhere else: no password or token is kept, logged or counted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from merpati.auth.credentials import (
    ClientFacts,
    Credentials,
    PasswordAttempt,
    Principal,
    Refused,
    Secret,
    TokenAttempt,
)
from merpati.auth.sasl import MAX_PASSWORD, MAX_USER, Cancelled, Malformed, SaslFacts, begin, converse, offered
from merpati.errors import Permanent, Temporary
from merpati.net.addresses import Network, is_within
from merpati.net.failures import Disconnected
from merpati.net.streams import Connection
from merpati.telemetry import Metrics, logger

__all__ = ["Abandoned", "Cancelled", "Door", "Malformed", "NoMechanism", "Principal", "Refused"]

BOTH: Collection[type] = (PasswordAttempt, TokenAttempt)


class Abandoned(Permanent):
    """The client went away in the middle of an exchange."""


class NoMechanism(Permanent):
    """The client named a mechanism that is not offered to it."""


class Decider(Protocol):
    """The part of the authenticator that a door needs."""

    async def authenticate(self, credentials: Credentials, client: ClientFacts) -> Principal:
        """Who it is.  Raises `Refused`, `Temporary`."""
        ...


class Door:
    """Logins of one protocol."""

    def __init__(
        self,
        protocol: str,
        authenticator: Decider,
        metrics: Metrics,
        *,
        plaintext_networks: tuple[Network, ...] = (),
        brings: Collection[type] = BOTH,
        facts: SaslFacts = SaslFacts(),
    ) -> None:
        """`brings`: the kinds of credentials that can be decided about; tokens only where an issuer is known."""
        self.protocol = protocol
        self.mechanisms = offered(brings, safe=True)
        """The names that are told to clients that may log in."""
        self._authenticator = authenticator
        self._metrics = metrics
        self._networks = plaintext_networks
        self._facts = facts
        self._log = logger("access/login").bind(protocol=protocol)

    def may_login(self, connection: Connection) -> bool:
        """Whether secrets are safe here: under TLS, or from a network that is trusted to have ended TLS before us."""
        return connection.tls is not None or is_within(connection.peer.host, self._networks)

    async def password(self, connection: Connection, user: str, password: str) -> Principal:
        """Raises `Refused`, `Temporary`."""
        sized = 0 < len(user.encode()) <= MAX_USER and 0 < len(password.encode()) <= MAX_PASSWORD
        if not sized or not user.isprintable() or "\0" in password:
            return await self._counted(connection, _refuse)
        attempt = PasswordAttempt(user, Secret(password))
        return await self._counted(connection, lambda: self._decide(connection, attempt))

    async def sasl(
        self,
        connection: Connection,
        mechanism: str,
        initial: bytes | None,
        ask: Callable[[bytes], Awaitable[bytes]],
    ) -> Principal:
        """Run an exchange; `ask` puts a challenge to the client and raises `Cancelled`, `Malformed` or `Abandoned`.

        Raises these, `NoMechanism`, `Refused`, `Temporary`.
        """
        exchange = begin(mechanism, self._facts) if mechanism.upper() in self.mechanisms else None
        if exchange is None:
            raise NoMechanism("no such mechanism")
        return await self._counted(
            connection,
            lambda: converse(exchange, initial, ask, lambda credentials: self._decide(connection, credentials)),
        )

    async def _decide(self, connection: Connection, credentials: Credentials) -> Principal:
        client = ClientFacts(connection.peer.host, connection.tls is not None, self.protocol)
        return await self._authenticator.authenticate(credentials, client)

    async def _counted(self, connection: Connection, decide: Callable[[], Awaitable[Principal]]) -> Principal:
        outcome = "error"
        try:
            principal = await decide()
            outcome = "ok"
            return principal
        except Refused:
            outcome = "refused"
            raise
        except (Cancelled, Malformed, Abandoned, Disconnected):
            outcome = "abandoned"
            raise
        except Temporary as failure:
            outcome = "unavailable"
            self._log.warning("login not possible", client=connection.peer.host, failure=str(failure))
            raise
        finally:
            self._metrics.logins.labels(self.protocol, outcome).inc()


async def _refuse() -> Principal:
    raise Refused("not a name, or not a password")
