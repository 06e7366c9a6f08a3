"""What a session remembers: of the client (`Visitor`) and of the message that is being handed in (`Transaction`).

Both are aiosmtpd's, with what it lacks.  They are replaced as a whole, never emptied field by field.
"""

from __future__ import annotations

from ingest.carrier import Envelope, Greeting
from ingest.commands import MailFrom
from ingest.framing import ChunkBody, Fault
from ingest.spool import Spool
from merpati.directory.api import AccountEntry
from merpati.errors import MerpatiError, Permanent
from merpati.events import Recipient


class Farewell(MerpatiError):
    """A reply after which the connection is closed."""

    code = 554
    enhanced = "5.5.0"


class OutOfOrder(Permanent):
    """A command that cannot come here."""

    code = 503
    enhanced = "5.5.1"


class Visitor(Greeting):
    """What the client has said of itself; forgotten when TLS begins (RFC 3207 section 4.2)."""

    account: AccountEntry | None = None
    """Who has logged in."""


class Transaction(Envelope):
    """What MAIL, RCPT and DATA or BDAT have said so far; gone after RSET, EHLO and the message."""

    def __init__(self) -> None:
        super().__init__()
        self.mail: MailFrom | None = None
        self.recipients: list[Recipient] = []
        """One for each RCPT that was answered 250, the same address perhaps several times."""
        self.turned_away = 0
        """RCPT commands that were not."""
        self.spool: Spool | None = None
        """The bytes of the message."""
        self.chunks: ChunkBody | None = None
        """How far the message is, if it comes with BDAT."""
        self.fault: Fault | None = None
        """What is wrong with the bytes."""
        self.failure: MerpatiError | None = None
        """Why the bytes could not be put away."""

    def close(self) -> None:
        """Let go of the bytes."""
        if self.spool is not None:
            self.spool.close()
            self.spool = None
