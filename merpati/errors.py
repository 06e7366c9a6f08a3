"""What can go wrong, in the three kinds that a mail system knows.

Everything that fails raises one of these: `Temporary` (try again: SMTP 4yz, IMAP NO, POP3 `[SYS/TEMP]`), `Permanent`
(trying again is no use: 5yz) or something else, which is a bug and ends the task it happened in.  A foreign library's
exceptions are mapped to these at its one door file.  `public` is all that a peer is ever told; `facts` go to the log.
"""

from __future__ import annotations

from typing import ClassVar


class MerpatiError(Exception):
    """A failure with a reply code, an enhanced status code (RFC 3463), public words, and private facts for the log.

    `public` is one line of ASCII without CR or LF; `facts` may hold anything but a secret or a message body.
    """

    code: ClassVar[int] = 451
    enhanced: ClassVar[str] = "4.3.0"

    def __init__(self, public: str, *, enhanced: str = "", code: int = 0, **facts: object) -> None:
        super().__init__(public)
        self.public = " ".join(public.split())
        self.reply_code = code or self.code
        self.enhanced_code = enhanced or self.enhanced
        self.facts = facts

    def __str__(self) -> str:
        facts = " ".join(f"{name}={value!r}" for name, value in self.facts.items())
        return f"{self.public} ({facts})" if facts else self.public

    @property
    def reply(self) -> str:
        """The failure as an SMTP reply line without CRLF, e.g. `451 4.3.0 try again later`."""
        return f"{self.reply_code} {self.enhanced_code} {self.public}"


class Temporary(MerpatiError):
    """It may work later: a dependency is down, a limit is reached, a lookup did not answer.  Answered with 4yz."""


class Permanent(MerpatiError):
    """It will not work however often it is tried: bad input, no such user, forbidden.  Answered with 5yz."""

    code = 550
    enhanced = "5.0.0"


class Unavailable(Temporary):
    """A dependency (bus, store, directory, DNS) cannot be reached or is too slow."""


class Unknown(Temporary):
    """A write got no answer: it may or may not have been applied.  The caller looks before it tries again."""


class Misconfigured(Permanent):
    """The settings are wrong; raised at start, in words an operator understands, naming the key."""

    enhanced = "5.3.5"
