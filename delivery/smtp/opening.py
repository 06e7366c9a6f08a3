"""From the connection to the first MAIL: greeting, EHLO or HELO, STARTTLS and EHLO again, AUTH.

Called by the client with one reply at a time; what there is to do comes back as actions.
"""

from __future__ import annotations

from base64 import b64encode
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from delivery.smtp.actions import Action, Close, Failed, Ready, Send, StartTls
from delivery.smtp.extensions import NONE, extensions
from delivery.smtp.outcome import Cause, Phase, Trouble
from delivery.smtp.replies import Reply

QUIT = b"QUIT\r\n"


class Tls(Enum):
    """What is thought of STARTTLS."""

    NEVER = "never"
    MAY = "may"
    """Where it is offered (RFC 7435)."""
    MUST = "must"
    """Nothing is said in clear but EHLO and STARTTLS."""


class Login(Struct, frozen=True, gc=False):
    """Credentials for a smarthost."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login(user={self.user!r})"

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("user", self.user)]


class Options(Struct, frozen=True, gc=False):
    """How to behave towards one server."""

    hostname: str
    """What we call ourselves (RFC 5321 section 4.1.1.1)."""
    tls: Tls = Tls.MAY
    under_tls: bool = False
    """Whether the connection is TLS from the start (RFC 8314 section 3.3)."""
    login: Login | None = None
    login_in_clear: bool = False
    """Whether the password may go over a connection without TLS: to this machine, in a test."""
    pipelining: bool = True
    """Whether to believe a server that offers it; some that do lose commands."""


class Opening:
    """The opening of one session.  `offered` is what the server can do, once it is ready."""

    def __init__(self, options: Options) -> None:
        self.phase = Phase.GREETING
        self.offered = NONE
        self.under_tls = options.under_tls
        self._options = options
        self._helo = False
        self._answers: list[bytes] = []

    def reply(self, reply: Reply) -> list[Action]:
        """What to do on `reply`."""
        if reply.code == 421:
            return self._fail(Cause.REFUSED, reply)
        match self.phase:
            case Phase.GREETING:
                return self._hello() if reply.code == 220 else self._fail(Cause.REFUSED, reply)
            case Phase.EHLO:
                return self._greeted(reply)
            case Phase.STARTTLS:
                return self._tls_answered(reply)
            case _:
                return self._login_answered(reply)

    def tls_started(self) -> list[Action]:
        # RFC 3207 section 4.2: what was learned in clear is forgotten
        self.offered = NONE
        self.under_tls = True
        return self._hello()

    def trouble(self, cause: Cause, text: str, status: str = "4.4.2") -> list[Action]:
        """The end of a session that never was."""
        return [Failed(Trouble(cause, self.phase, text, status)), Close()]

    # What follows what

    def _hello(self, *, helo: bool = False) -> list[Action]:
        self.phase = Phase.EHLO
        self._helo = helo
        return [Send(f"{'HELO' if helo else 'EHLO'} {self._options.hostname}\r\n".encode())]

    def _greeted(self, reply: Reply) -> list[Action]:
        options = self._options
        if reply.code != 250:
            # RFC 5321 section 3.2: a server that does not know EHLO may know HELO; it has no TLS and no AUTH then
            can_do_without = options.login is None and (options.tls is not Tls.MUST or self.under_tls)
            if reply.kind == 5 and not self._helo and can_do_without:
                return self._hello(helo=True)
            return self._fail(Cause.REFUSED, reply)
        self.offered = NONE if self._helo else extensions(reply)
        if self.under_tls or options.tls is Tls.NEVER:
            return self._log_in()
        if self.offered.starttls:
            self.phase = Phase.STARTTLS
            return [Send(b"STARTTLS\r\n")]
        return self._without_tls("STARTTLS is not offered")

    def _tls_answered(self, reply: Reply) -> list[Action]:
        if reply.code != 220:
            return self._without_tls(f"STARTTLS was refused: {reply}")
        self.phase = Phase.HANDSHAKE
        return [StartTls()]

    def _without_tls(self, why: str) -> list[Action]:
        if self._options.tls is Tls.MUST:
            return [Send(QUIT), *self.trouble(Cause.NO_TLS, why, "4.7.4")]
        return self._log_in()

    def _log_in(self) -> list[Action]:
        login, offered = self._options.login, self.offered.auth
        if login is None:
            return self._ready()
        if not self.under_tls and not self._options.login_in_clear:
            return [Send(QUIT), *self.trouble(Cause.LOGIN, "no TLS to send a password over", "4.7.0")]
        self.phase = Phase.AUTH
        user, password = login.user.encode(), login.password.encode()
        if "PLAIN" in offered:  # RFC 4616 section 2
            return [Send(b"AUTH PLAIN " + b64encode(b"\0%b\0%b" % (user, password)) + b"\r\n")]
        if "LOGIN" in offered:
            self._answers = [b64encode(password), b64encode(user)]
            return [Send(b"AUTH LOGIN\r\n")]
        return [Send(QUIT), *self.trouble(Cause.LOGIN, "neither AUTH PLAIN nor AUTH LOGIN is offered", "4.7.0")]

    def _login_answered(self, reply: Reply) -> list[Action]:
        if reply.code == 235:
            return self._ready()
        if reply.code == 334 and self._answers:
            return [Send(self._answers.pop() + b"\r\n")]
        # whatever the class of the code: it is the operator's to mend, and no fault of a message
        return self._fail(Cause.LOGIN, reply)

    def _ready(self) -> list[Action]:
        self.phase = Phase.IDLE
        return [Ready()]

    def _fail(self, cause: Cause, reply: Reply) -> list[Action]:
        if reply.kind not in (4, 5):
            return self.trouble(Cause.PROTOCOL, f"unexpected reply: {reply}", "4.5.0")
        trouble = Trouble(cause, self.phase, str(reply), f"4{reply.status[1:]}", reply)
        if trouble.permanent:
            trouble = replace(trouble, status=reply.status)
        if reply.code == 421:
            return [Failed(trouble), Close()]
        return [Send(QUIT), Failed(trouble), Close()]
