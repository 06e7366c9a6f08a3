"""What became of a recipient, or of the whole session.  Values; made by the client, judged by remote delivery."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from delivery.smtp.replies import Reply
from merpati.events import Recipient


class Phase(Enum):
    """What the client waits for; the driver has a time-out for each (RFC 5321 section 4.5.3.2)."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    HANDSHAKE = "TLS handshake"
    AUTH = "AUTH"
    IDLE = "idle"
    RSET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BODY = "message"
    DOT = "end of data"
    QUIT = "QUIT"
    CLOSED = "closed"


class Verdict(Enum):
    """How it ended for one recipient."""

    ACCEPTED = "accepted"
    """The peer has the message and the duty."""
    TEMPORARY = "temporary"
    """The peer does not have it; it may take it later."""
    PERMANENT = "permanent"
    """The peer will not take it."""
    UNKNOWN = "unknown"
    """The peer got all of it and did not answer (RFC 1047): send it again, with the same Message-ID."""


class Outcome(Struct, frozen=True, gc=False):
    """What became of one recipient."""

    recipient: Recipient
    verdict: Verdict
    status: str
    """Enhanced status code (RFC 3463), the peer's or ours."""
    text: str
    """The peer's reply, or our reason; one line of printable ASCII."""
    phase: Phase
    code: int = 0
    """The peer's reply code; 0 if it is not the peer who decided."""
    dsn_passed_on: bool = False
    """Whether the peer took over the duty to report (RFC 3461 section 5.2.1)."""


class Cause(Enum):
    """Why there is no session."""

    REFUSED = "refused"
    """The peer said so; `reply` has its words."""
    LOST = "lost"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"
    """The peer does not speak SMTP as RFC 5321 has it."""
    NO_TLS = "no TLS"
    """TLS is a must and STARTTLS was not offered, or refused."""
    HANDSHAKE = "TLS handshake"
    """STARTTLS was offered, and then failed; RFC 7435: without a policy against it, try again in clear."""
    INJECTION = "injection"
    """Bytes in clear came behind the answer to STARTTLS: somebody is in between."""
    LOGIN = "login"
    """Our credentials do not do, or may not be sent."""


class Trouble(Struct, frozen=True, gc=False):
    """Why there is no session.  It says nothing of any message."""

    cause: Cause
    phase: Phase
    text: str
    status: str = "4.4.2"
    reply: Reply | None = None

    @property
    def permanent(self) -> bool:
        """Whether the host says that it never takes mail: 521 (RFC 7504 section 3).

        Any other refusal to talk, 554 too, is of us, today: others may be tried, and this one later, as Postfix does.
        """
        return self.reply is not None and self.phase in (Phase.GREETING, Phase.EHLO) and self.reply.code == 521


def verdict_of(reply: Reply, phase: Phase) -> Verdict:
    """What a refusal means for a recipient."""
    # RFC 5321 section 4.5.3.1.10: 552 to RCPT means too many recipients, and is to be treated as temporary
    if reply.kind == 5 and not (reply.code == 552 and phase is Phase.RCPT):
        return Verdict.PERMANENT
    return Verdict.TEMPORARY
