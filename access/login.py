"""Logins, the same for IMAP and POP3: who may try, which mechanisms are offered, and one way to decide and count.

Each protocol has a `Door` of its own; the sessions give it what the client said and word the answers.  What a client
claims goes to the authenticator and nowhere else: no password or token is kept, logged or counted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from merpati.auth.credentials import ClientFacts, Credentials, PasswordAttempt, Principal, Refused, Secret
from merpati.auth.sasl import MAX_PASSWORD, MAX_USER, Cancelled, Malformed, SaslFacts, begin, converse
from merpati.errors import Permanent, Temporary
from merpati.net.failures import Disconnected
from merpati.net.streams import Connection
from merpati.telemetry import Metrics, logger

__all__ = ["Abandoned", "Cancelled", "Door", "Malformed", "NoMechanism", "Principal", "Refused"]

Ask = Callable[[bytes], Awaitable[bytes]]
"""Put a challenge to the client, bring its response; raises `Cancelled`, `Malformed` or `Abandoned`."""


class Abandoned(Permanent):
    """The client went away in the middle of an exchange."""


class NoMechanism(Permanent):
    """The client named a mechanism that is not offered to it."""


class Decider(Protocol):
    """The part of the authenticator that a door needs."""

    @property
    def sasl_facts(self) -> SaslFacts: ...
    def is_safe(self, client: ClientFacts) -> bool: ...
    def mechanisms(self, client: ClientFacts) -> tuple[str, ...]: ...
    async def authenticate(self, attempt: Credentials, client: ClientFacts) -> Principal: ...


class Door:
    """Logins of one protocol."""

    def __init__(self, protocol: str, authenticator: Decider, metrics: Metrics) -> None:
        self.protocol = protocol
        self._authenticator = authenticator
        self._metrics = metrics
        self._log = logger("access/login").bind(protocol=protocol)

    def may_login(self, connection: Connection) -> bool:
        """Whether secrets are safe here: under TLS, or from a network that is trusted to have ended TLS before us."""
        return self._authenticator.is_safe(self._facts(connection))

    def mechanisms(self, connection: Connection) -> tuple[str, ...]:
        """What this client is offered."""
        return self._authenticator.mechanisms(self._facts(connection))

    async def password(self, connection: Connection, user: str, password: str) -> Principal:
        """Raises `Refused`, `Temporary`."""
        sized = 0 < len(user.encode()) <= MAX_USER and 0 < len(password.encode()) <= MAX_PASSWORD
        if not sized or not user.isprintable() or "\0" in password:
            return await self._counted(connection, _refuse)
        attempt = PasswordAttempt(user, Secret(password))
        return await self._counted(connection, lambda: self._decide(connection, attempt))

    async def sasl(self, connection: Connection, mechanism: str, initial: bytes | None, ask: Ask) -> Principal:
        """Run an exchange.  Raises what `ask` raises, `NoMechanism`, `Refused`, `Temporary`."""
        known = mechanism.upper() in self.mechanisms(connection)
        exchange = begin(mechanism, self._authenticator.sasl_facts) if known else None
        if exchange is None:
            raise NoMechanism("no such mechanism")
        return await self._counted(
            connection,
            lambda: converse(exchange, initial, ask, lambda credentials: self._decide(connection, credentials)),
        )

    async def _decide(self, connection: Connection, credentials: Credentials) -> Principal:
        return await self._authenticator.authenticate(credentials, self._facts(connection))

    def _facts(self, connection: Connection) -> ClientFacts:
        return ClientFacts(connection.peer.host, connection.tls is not None, self.protocol)

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
