"""What every IMAP session of a process shares: the components it works with, and its named limits."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from access.login import Door
from access.standing import Accounts
from merpati.clock import Clock
from merpati.mailbox.api import Mailboxes
from merpati.telemetry import Metrics

if TYPE_CHECKING:
    from access.imap.session import Session


@dataclass(frozen=True, slots=True)
class ImapLimits:
    """Seconds and bytes."""

    before_login: float = 60.0
    """Seconds of silence before login."""
    login_within: float = 300.0
    """Seconds in which a client must have logged in."""
    idle: float = 1800.0
    """Seconds of silence after login: RFC 9051 section 5.4 asks for at least 30 minutes."""
    max_message: int = 50 * 1024 * 1024
    """Bytes of an APPEND, told as APPENDLIMIT (RFC 7889)."""
    max_bad: int = 20
    """Commands in a row that cannot be read, before the connection ends."""
    fetch_batch: int = 4 << 20
    """Bytes of message bodies that a FETCH holds at once."""
    stream_from: int = 1 << 20
    """A body larger than this is sent in pieces."""


@dataclass(frozen=True, slots=True)
class ImapContext:
    """Handed to each session."""

    mailboxes: Mailboxes
    door: Door
    """Logins, the same for IMAP and POP3."""
    accounts: Accounts
    """What the directory says of who has logged in."""
    tls: Callable[[], ssl.SSLContext] | None
    """For STARTTLS; None if there is no certificate."""
    hostname: str
    clock: Clock
    metrics: Metrics
    limits: ImapLimits = ImapLimits()
    present: set[Session] = field(default_factory=set)
    """The sessions of users, for when their mailboxes, or their right to be here, have to be looked at again."""
