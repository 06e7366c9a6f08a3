"""What all sessions of a service share: values and components, put together once by the service."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from ingest.crowd import Crowd
from ingest.limits import Limits
from merpati.auth.credentials import ClientFacts, Credentials, Principal
from merpati.auth.sasl import SaslFacts
from merpati.clock import Clock
from merpati.directory.api import Directory
from merpati.telemetry import Metrics


class Decider(Protocol):
    """The part of the authenticator that a door needs."""

    @property
    def sasl_facts(self) -> SaslFacts: ...
    def is_safe(self, client: ClientFacts) -> bool: ...
    def mechanisms(self, client: ClientFacts) -> tuple[str, ...]: ...
    async def authenticate(self, attempt: Credentials, client: ClientFacts) -> Principal: ...


@dataclass(frozen=True, slots=True)
class House:
    """What all sessions of a service share."""

    hostname: str
    clock: Clock
    limits: Limits
    crowd: Crowd
    metrics: Metrics
    directory: Directory
    authenticator: Decider | None = None
    """Who is asked at doors for users; None: nobody can log in."""
    tls_context: Callable[[], ssl.SSLContext] | None = None
    """Asked for each handshake, so that a new certificate is used at once; None: no TLS."""
    spool_folder: str | None = None
    """Where large messages wait; the system's folder for temporary files by default."""
    reverse: Callable[[str], Awaitable[str]] | None = None
    """The verified name of an address, or ""; None: nobody looks."""
