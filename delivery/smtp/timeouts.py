"""How long the driver waits for what (RFC 5321 section 4.5.3.2, where a number is named there)."""

from __future__ import annotations

from msgspec import Struct

from delivery.smtp.outcome import Phase


class Timeouts(Struct, frozen=True, gc=False):
    """Seconds."""

    connect: float = 30.0
    greeting: float = 300.0
    """RFC 5321 section 4.5.3.2.1."""
    hello: float = 300.0
    starttls: float = 120.0
    handshake: float = 30.0
    login: float = 120.0
    mail: float = 300.0
    """RFC 5321 section 4.5.3.2.2."""
    rcpt: float = 300.0
    """RFC 5321 section 4.5.3.2.3; for each recipient."""
    data: float = 120.0
    """RFC 5321 section 4.5.3.2.4."""
    block: float = 180.0
    """RFC 5321 section 4.5.3.2.5; the server has taken nothing of the message for so long."""
    dot: float = 600.0
    """RFC 5321 section 4.5.3.2.6."""
    reset: float = 20.0
    quit: float = 5.0
    """All is done by then; RFC 5321 section 4.1.1.10 wants the answer awaited, not for long."""

    def of(self, phase: Phase) -> float:
        """How long to wait in `phase`."""
        return {
            Phase.CONNECT: self.connect,
            Phase.GREETING: self.greeting,
            Phase.EHLO: self.hello,
            Phase.STARTTLS: self.starttls,
            Phase.HANDSHAKE: self.handshake,
            Phase.AUTH: self.login,
            Phase.RSET: self.reset,
            Phase.MAIL: self.mail,
            Phase.RCPT: self.rcpt,
            Phase.DATA: self.data,
            Phase.BODY: self.block,
            Phase.DOT: self.dot,
        }.get(phase, self.quit)


TIMEOUTS = Timeouts()
