"""What every POP3 session of a process shares: its components, its named limits, and which maildrops are locked."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from access.login import Door
from merpati.clock import Clock
from merpati.ids import AccountId
from merpati.mailbox.api import Mailboxes
from merpati.telemetry import Metrics

if TYPE_CHECKING:
    from access.pop3.session import Session


@dataclass(frozen=True, slots=True)
class Pop3Limits:
    """Seconds and bytes."""

    before_login: float = 60.0
    """Seconds of silence before login."""
    login_within: float = 300.0
    """Seconds in which a client must have logged in."""
    idle: float = 600.0
    """Seconds of silence after login: RFC 1939 section 3 asks for at least ten minutes."""
    max_bad: int = 20
    """Commands in a row that are refused, before the connection ends."""
    stream_from: int = 1 << 20
    """A message larger than this is sent in pieces."""


@dataclass(frozen=True, slots=True)
class Pop3Context:
    """Handed to each session."""

    mailboxes: Mailboxes
    door: Door
    tls: Callable[[], ssl.SSLContext] | None
    """For STLS; None if there is no certificate."""
    hostname: str
    clock: Clock
    metrics: Metrics
    limits: Pop3Limits = Pop3Limits()
    present: set[Session] = field(default_factory=set)
    """The sessions of users, for when their right to be here has to be looked at again."""
    locked: set[AccountId] = field(default_factory=set)
    """Whose maildrop a session has: RFC 1939 section 4, the exclusive-access lock.

    It holds within this process.  A second process may serve the same account: each session then works on the snapshot
    it took at login, and a message that both delete is deleted once.
    """
